package catalog

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Source yields entries by key: those of one segment, or of what is not sealed yet.
type Source = iter.Seq2[*Entry, error]

// Entries are a Source of what a Builder gathered.
func (s *Summary) Entries() Source {
	return func(yield func(*Entry, error) bool) {
		for i := range s.Requests {
			if !yield(&s.Requests[i], nil) {
				return
			}
		}
	}
}

// Merge yields the distinct requests of some sources that were made within a time, each
// once. It holds one entry of each source.
func Merge(sources []Source, from, to time.Time, names int) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		for e, err := range MergeEntries(sources, from, to, names) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(e.Request(), nil) {
				return
			}
		}
	}
}

// MergeEntries is Merge by the hour: a Source again.
func MergeEntries(sources []Source, from, to time.Time, names int) Source {
	return func(yield func(*Entry, error) bool) {
		var h cursors
		defer func() {
			for _, c := range h {
				c.stop()
			}
		}()
		for _, s := range sources {
			next, stop := iter.Pull2(s)
			c := &cursor{next: next, stop: stop}
			if c.advance() {
				h = append(h, c)
				continue
			}
			stop()
			if c.err != nil {
				yield(nil, c.err)
				return
			}
		}
		heap.Init(&h)
		now := pending{yield: yield, names: max(names, 1)}
		for len(h) > 0 {
			c := h[0]
			if !now.add(c.entry, from, to) {
				return
			}
			if c.advance() {
				heap.Fix(&h, 0)
				continue
			}
			heap.Pop(&h)
			c.stop()
			if c.err != nil {
				yield(nil, c.err)
				return
			}
		}
		now.end()
	}
}

// pending is the group that a merge is in.
type pending struct {
	yield   func(*Entry, error) bool
	names   int
	now     *Entry // the entry it is at; of one source, or a copy
	copied  bool
	named   int // how many names of the group have been told apart
	omitted *Entry
	stopped bool
}

// add adds the next entry; false where no more are wanted.
func (p *pending) add(e *Entry, from, to time.Time) bool {
	e, ok := e.within(from, to)
	if !ok {
		return !p.stopped
	}
	if at := p.at(); at != nil && at.group != e.group {
		p.end()
	}
	switch {
	case e.omitted:
		p.omit(e)
	case p.now != nil && p.now.name == e.name:
		if !p.copied {
			entry := *p.now
			entry.Hours = slices.Clone(entry.Hours)
			p.now, p.copied = &entry, true
		}
		p.now.join(e)
	case p.named < p.names:
		p.flush()
		p.now, p.copied = e, false
		p.named++
	default:
		p.omit(e)
	}
	return !p.stopped
}

// at is an entry of the group it is in; nil before the first.
func (p *pending) at() *Entry {
	if p.now != nil {
		return p.now
	}
	return p.omitted
}

func (p *pending) omit(e *Entry) {
	if p.omitted == nil {
		p.omitted = &Entry{request: e.request, group: e.group, subject: e.subject, omitted: true}
	}
	p.omitted.join(e)
}

// join adds the hours of another entry.
func (e *Entry) join(other *Entry) {
	for _, h := range other.Hours {
		i, _ := slices.BinarySearchFunc(e.Hours, hourOf(h.First), func(have Hour, hour int64) int { return cmp.Compare(hourOf(have.First), hour) })
		if i < len(e.Hours) && hourOf(e.Hours[i].First) == hourOf(h.First) {
			e.Hours[i].merge(h)
			continue
		}
		e.Hours = slices.Insert(e.Hours, i, h)
	}
}

func (p *pending) flush() {
	if p.now != nil && !p.stopped {
		p.stopped = !p.yield(p.now, nil)
	}
	p.now = nil
}

func (p *pending) end() {
	p.flush()
	if p.omitted != nil && !p.stopped {
		p.stopped = !p.yield(p.omitted, nil)
	}
	p.omitted, p.named = nil, 0
}

type cursor struct {
	next  func() (*Entry, error, bool)
	stop  func()
	entry *Entry
	err   error
}

func (c *cursor) advance() bool {
	e, err, ok := c.next()
	c.entry, c.err = e, err
	return ok && err == nil
}

type cursors []*cursor

func (h cursors) Len() int           { return len(h) }
func (h cursors) Less(i, j int) bool { return compare(h[i].entry, h[j].entry) < 0 }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}
