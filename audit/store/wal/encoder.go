package wal

import (
	"reflect"
	"unsafe"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Encoder encodes many events, of which some share lists and maps: the groups, addresses
// and annotations of a cluster are few, and audit/record makes each once. It remembers
// their bytes by where they are in memory, and keeps them there, so that nothing else
// comes to their place. Nobody may change them. It is not safe for concurrent use.
type Encoder struct {
	lists map[listKey]string
	maps  map[unsafe.Pointer]string
}

type listKey struct {
	first *string
	n     int
}

// Encode is Encode of the package.
func (c *Encoder) Encode(to []byte, e *audit.Event) (record []byte, identity int) {
	return encode(to, e, c)
}

func (c *Encoder) list(to []byte, list []string) []byte {
	if c == nil || len(list) == 0 {
		return appendList(to, list)
	}
	key := listKey{&list[0], len(list)}
	if known, ok := c.lists[key]; ok {
		return append(to, known...)
	}
	from := len(to)
	to = appendList(to, list)
	remember(&c.lists, key, string(to[from:]))
	return to
}

func (c *Encoder) extra(to []byte, m map[string][]string) []byte {
	if c == nil || len(m) == 0 {
		return appendExtra(to, m)
	}
	key := reflect.ValueOf(m).UnsafePointer()
	if known, ok := c.maps[key]; ok {
		return append(to, known...)
	}
	from := len(to)
	to = appendExtra(to, m)
	remember(&c.maps, key, string(to[from:]))
	return to
}

func (c *Encoder) annotations(to []byte, m map[string]string) []byte {
	if c == nil || len(m) == 0 {
		return appendAnnotations(to, m)
	}
	key := reflect.ValueOf(m).UnsafePointer()
	if known, ok := c.maps[key]; ok {
		return append(to, known...)
	}
	from := len(to)
	to = appendAnnotations(to, m)
	remember(&c.maps, key, string(to[from:]))
	return to
}
