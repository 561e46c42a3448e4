package wal

import "github.com/gatehouse-io/gatehouse/audit"

// Decoder decodes many records of which one event after another is wanted. Lists and maps
// that lie in several records as the same bytes are made once, and shared by their events:
// the groups, tokens and decisions of a cluster are few. What it shares keeps the records
// in memory that it came from first. It is not safe for concurrent use.
type Decoder struct {
	lists       map[string][]string
	extras      map[string]map[string][]string
	annotations map[string]map[string]string
	room        []audit.Event // for the next events
}

// mostShared is how many lists or maps are remembered, before they are forgotten.
const mostShared = 4096

// Decode is Decode of the package.
func (d *Decoder) Decode(record string, bodies bool) (*audit.Event, error) {
	if len(d.room) == 0 {
		d.room = make([]audit.Event, eventsAtOnce)
	}
	e := &d.room[0]
	d.room = d.room[1:]
	return e, decode(e, record, bodies, d)
}

// eventsAtOnce is how many events are made with one allocation; who keeps one of them
// keeps all.
const eventsAtOnce = 16

func remember[K comparable, V any](m *map[K]V, key K, v V) {
	if *m == nil || len(*m) >= mostShared {
		*m = map[K]V{}
	}
	(*m)[key] = v
}
