package wal

import (
	"errors"
	"math"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// ErrRecord says that bytes are no record of an event.
var ErrRecord = errors.New("read audit record: it is damaged, or of a newer version")

// Decode reads a record. Texts of the event are parts of the record and keep all of it
// in memory. Bodies are read where they are wanted.
func Decode(record string, bodies bool) (*audit.Event, error) {
	e := new(audit.Event)
	return e, DecodeInto(e, record, bodies)
}

// DecodeInto is Decode into an event that is there.
func DecodeInto(e *audit.Event, record string, bodies bool) error {
	return decode(e, record, bodies, nil)
}

func decode(e *audit.Event, record string, bodies bool, shared *Decoder) error {
	d := decoder{s: record, shared: shared}
	if !d.version() {
		return ErrRecord
	}
	at := d.varint()
	e.Time = time.UnixMicro(at).UTC()
	e.ID = d.text()
	e.Stage = d.word()
	e.Verb = d.word()
	e.URI = d.text()
	e.User = d.text()

	e.AsUser = d.text()
	e.Namespace = d.text()
	e.Resource = d.text()
	e.Subresource = d.text()
	e.APIGroup = d.text()
	e.Name = d.text()
	code := d.varint()
	if code < math.MinInt32 || code > math.MaxInt32 {
		return ErrRecord
	}
	e.Code = int32(code)

	e.APIVersion = d.word()
	e.Level = d.word()
	e.Received = time.UnixMicro(at + d.varint()).UTC()
	e.UID = d.text()
	e.Groups = d.list()
	e.Extra = d.extra()
	e.AsUID = d.text()
	e.AsGroups = d.list()
	e.AsExtra = d.extra()
	e.Constraint = d.text()
	e.SourceIPs = d.list()
	e.UserAgent = d.text()
	e.ObjectUID = d.text()
	e.ResourceVersion = d.text()
	e.Status = d.word()
	e.StatusReason = d.word()
	e.Message = d.text()
	e.Annotations = d.annotations()
	e.Source = d.word()
	e.Unknown = d.list()
	switch d.byte() {
	case 0:
	case 1:
		e.Truncated = true
	default:
		return ErrRecord
	}
	request, response := d.body(), d.body()
	if d.bad || d.at != len(d.s) {
		return ErrRecord
	}
	if bodies {
		e.Request, e.Response = request.bytes(), response.bytes()
	}
	return nil
}

// Glance is what most filters ask for, read without an allocation.
type Glance struct {
	Time                                                        int64 // in microseconds since 1970
	ID, Stage, Verb, URI                                        string
	User, AsUser, Namespace, Resource, Subresource, Group, Name string
	Code                                                        int32
}

// Look reads the beginning of a record; false where it is damaged.
func Look(record string) (g Glance, ok bool) {
	d := decoder{s: record}
	if !d.version() {
		return g, false
	}
	g.Time = d.varint()
	g.ID, g.Stage, g.Verb, g.URI, g.User = d.text(), d.word(), d.word(), d.text(), d.text()
	g.AsUser, g.Namespace, g.Resource, g.Subresource, g.Group, g.Name = d.text(), d.text(), d.text(), d.text(), d.text(), d.text()
	g.Code = int32(d.varint())
	return g, !d.bad
}

// Identity is how many bytes at the beginning of a record make the event the same as
// another; 0 where the record is damaged.
func Identity(record string) int {
	d := decoder{s: record}
	if !d.version() {
		return 0
	}
	d.varint()
	d.text()
	d.word()
	d.word()
	d.text()
	d.text()
	if d.bad {
		return 0
	}
	return d.at
}

// decoder reads a record from its beginning. After something damaged all that it reads
// is empty.
type decoder struct {
	s      string
	at     int
	bad    bool
	shared *Decoder // nil where nothing is
}

func (d *decoder) version() bool { return d.byte() == version && !d.bad }

func (d *decoder) byte() byte {
	if d.at >= len(d.s) {
		d.fail()
		return 0
	}
	d.at++
	return d.s[d.at-1]
}

func (d *decoder) fail() {
	d.bad, d.at = true, len(d.s)
}

func (d *decoder) uvarint() uint64 {
	if d.at < len(d.s) && d.s[d.at] < 0x80 { // nearly all of them
		d.at++
		return uint64(d.s[d.at-1])
	}
	var value uint64
	for shift := 0; shift < 64 && d.at < len(d.s); shift += 7 {
		b := d.s[d.at]
		d.at++
		if shift == 63 && b > 1 {
			break
		}
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	d.fail()
	return 0
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.s)-d.at) {
		d.fail()
		return ""
	}
	d.at += int(n)
	return d.s[d.at-int(n) : d.at]
}

func (d *decoder) text() string { return d.take(d.uvarint()) }

func (d *decoder) word() string {
	n := d.uvarint()
	switch {
	case n >= wordLimit:
		return d.take(n - wordLimit)
	case n >= uint64(len(words)):
		d.fail()
		return ""
	}
	return words[n]
}

// count is the length of a list, each element of which has a byte at least: a hostile
// count allocates no more than the record is long.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.s)-d.at) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) list() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	from := d.at
	if d.shared != nil {
		d.skip(n)
		if list, ok := d.shared.lists[d.s[from:d.at]]; ok && len(list) == n {
			return list
		}
		d.at = from
	}
	list := d.words(n)
	if d.shared != nil && !d.bad {
		remember(&d.shared.lists, d.s[from:d.at], list)
	}
	return list
}

func (d *decoder) words(n int) []string {
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.word()
	}
	return list
}

// skip passes over words.
func (d *decoder) skip(n int) {
	for range n {
		if n := d.uvarint(); n >= wordLimit {
			d.take(n - wordLimit)
		}
	}
}

func (d *decoder) extra() map[string][]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	from := d.at
	if d.shared != nil {
		for range n {
			d.skip(1)
			d.skip(d.count())
		}
		if m, ok := d.shared.extras[d.s[from:d.at]]; ok && len(m) == n {
			return m
		}
		if d.bad {
			return nil
		}
		d.at = from
	}
	m := make(map[string][]string, min(n, 64))
	for range n {
		k := d.word()
		v := d.words(d.count())
		if d.bad {
			return nil
		}
		m[k] = v
	}
	if d.shared != nil {
		remember(&d.shared.extras, d.s[from:d.at], m)
	}
	return m
}

func (d *decoder) annotations() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	from := d.at
	if d.shared != nil {
		d.skip(2 * n)
		if m, ok := d.shared.annotations[d.s[from:d.at]]; ok && len(m) == n {
			return m
		}
		if d.bad {
			return nil
		}
		d.at = from
	}
	m := make(map[string]string, min(n, 64))
	for range n {
		k := d.word()
		v := d.word()
		if d.bad {
			return nil
		}
		m[k] = v
	}
	if d.shared != nil {
		remember(&d.shared.annotations, d.s[from:d.at], m)
	}
	return m
}

// body is a body as it lies in the record.
type body struct {
	there bool
	text  string
}

func (b body) bytes() []byte {
	if !b.there {
		return nil
	}
	return []byte(b.text)
}

func (d *decoder) body() body {
	n := d.uvarint()
	if n == 0 {
		return body{}
	}
	return body{there: true, text: d.take(n - 1)}
}
