package store

import (
	"bytes"
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// part is what one file of the write-ahead log holds, in memory as it is on disk:
// records, which take a third of the memory of events and none of the collector's time.
// One goroutine adds to it. What readers see grows under the lock of the view that holds
// it, and never changes.
type part struct {
	sequence uint64
	chunks   []*chunk
	events   int
	bytes    int64
	born     time.Time // by the clock of the store, when the first event came
	gaps     []audit.Gap
	// seen finds a record by the hash of its identity; the goroutine that adds uses it.
	seen   map[uint64]place
	file   *wal.Writer // nil once the part is closed
	closed bool        // no event is added any more: it waits to be sealed
}

// chunk is some records one behind the other, each behind its length, as in a frame.
type chunk struct {
	bytes          []byte // never grown beyond its capacity: readers have parts of it
	rows           []row
	oldest, newest int64 // of the rows, in microseconds since 1970
}

// row is where a record is in its chunk.
type row struct {
	at            int64 // time of the event, in microseconds since 1970
	start, length uint32
}

// place is where a record is in a part.
type place struct{ chunk, row uint32 }

const (
	smallestChunk = 64 << 10
	largestChunk  = 1 << 20
)

// newPart makes a part that will have so many events, or more.
func newPart(sequence uint64, file *wal.Writer, events int) *part {
	return &part{sequence: sequence, file: file, seen: make(map[uint64]place, events)}
}

// has reports whether the same event is in the part already.
func (p *part) has(hash uint64, identity []byte) bool {
	at, ok := p.seen[hash]
	if !ok {
		return false
	}
	c := p.chunks[at.chunk]
	r := c.rows[at.row]
	record := c.bytes[r.start : r.start+r.length]
	return len(record) >= len(identity) && bytes.Equal(record[:len(identity)], identity) && wal.Identity(textOf(record)) == len(identity)
}

// room is a chunk that has room for so many bytes.
func (p *part) room(n int) *chunk {
	size := smallestChunk
	if len(p.chunks) > 0 {
		last := p.chunks[len(p.chunks)-1]
		if cap(last.bytes)-len(last.bytes) >= n {
			return last
		}
		size = min(cap(last.bytes)*2, largestChunk)
	}
	return &chunk{bytes: make([]byte, 0, max(size, n)), oldest: math.MaxInt64, newest: math.MinInt64}
}

// textOf is bytes that never change any more as a text, without copying them.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// partView is a part as it was at one moment.
type partView struct {
	chunks []chunk
}

// snapshot is called under the lock.
func (p *part) snapshot() partView {
	v := partView{chunks: make([]chunk, len(p.chunks))}
	for i, c := range p.chunks {
		v.chunks[i] = *c
	}
	return v
}

// ref is a record of a partView.
type ref struct {
	at int64
	place
}

func (v *partView) record(r ref) string {
	c := &v.chunks[r.chunk]
	row := c.rows[r.row]
	return textOf(c.bytes[row.start : row.start+row.length])
}

// refs are the records from one time to before another, in the order of audit.Compare.
func (v *partView) refs(from, to int64) []ref {
	n := 0
	for i := range v.chunks {
		if c := &v.chunks[i]; c.newest >= from && c.oldest < to {
			n += len(c.rows)
		}
	}
	refs := make([]ref, 0, n)
	for i := range v.chunks {
		c := &v.chunks[i]
		if c.newest < from || c.oldest >= to {
			continue
		}
		for j := range c.rows {
			if at := c.rows[j].at; at >= from && at < to {
				refs = append(refs, ref{at, place{uint32(i), uint32(j)}})
			}
		}
	}
	slices.SortFunc(refs, func(a, b ref) int {
		if a.at != b.at {
			return cmp.Compare(a.at, b.at)
		}
		x, _ := wal.Look(v.record(a))
		y, _ := wal.Look(v.record(b))
		return cmp.Or(cmp.Compare(x.ID, y.ID), cmp.Compare(x.Stage, y.Stage))
	})
	return refs
}

// scan yields what is meant of the part, in order.
func (v *partView) scan(s *audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		from, to := bounds(s.Filter.From, s.Filter.To)
		refs := v.refs(from, to)
		if s.Order == audit.NewestFirst {
			slices.Reverse(refs)
		}
		for _, r := range refs {
			record := v.record(r)
			if g, ok := wal.Look(record); ok && !may(&s.Filter, &g) {
				continue
			}
			// The event does not keep a whole chunk in memory.
			e, err := wal.Decode(strings.Clone(record), s.Bodies)
			if err != nil {
				yield(nil, err)
				return
			}
			if s.Filter.Matches(e) && !yield(e, nil) {
				return
			}
		}
	}
}

// may reports whether an event that looks so can be meant: what costs no allocation is
// asked first.
func may(f *audit.Filter, g *wal.Glance) bool {
	return one(f.Users, g.User, g.AsUser) && one(f.Namespaces, g.Namespace) && one(f.Verbs, g.Verb) &&
		one(f.Names, g.Name) && one(f.IDs, g.ID) && one(f.Stages, g.Stage) &&
		(f.URIContains == "" || strings.Contains(g.URI, f.URIContains)) &&
		(len(f.Codes) == 0 || slices.ContainsFunc(f.Codes, func(c string) bool { return audit.MatchesCode(c, g.Code) })) &&
		(len(f.Resources) == 0 || slices.ContainsFunc(f.Resources, func(r string) bool {
			return audit.MatchesResource(r, g.Group, g.Resource, g.Subresource)
		}))
}

func one(patterns []string, values ...string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		for _, v := range values {
			if audit.MatchesText(p, v) {
				return true
			}
		}
	}
	return false
}

// bounds are a time as numbers that can be compared: from ≤ t < to.
func bounds(from, to time.Time) (int64, int64) {
	lower, upper := int64(math.MinInt64), int64(math.MaxInt64)
	if !from.IsZero() {
		lower = from.UnixMicro()
		if from.Nanosecond()%1000 != 0 {
			lower++ // a time between two microseconds is before the second
		}
	}
	if !to.IsZero() {
		upper = to.UnixMicro()
		if to.Nanosecond()%1000 != 0 {
			upper++
		}
	}
	return lower, upper
}
