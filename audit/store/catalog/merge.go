package catalog

import (
	"container/heap"
	"iter"
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
		var h cursors
		defer func() {
			for _, c := range h {
				c.stop()
			}
		}()
		for _, s := range sources {
			next, stop := iter.Pull2(s)
			c := &cursor{next: next, stop: stop}
			h = append(h, c)
			if !c.advance() {
				h = h[:len(h)-1]
				stop()
			}
			if c.err != nil {
				yield(nil, c.err)
				return
			}
		}
		heap.Init(&h)
		var now pending
		out := func() bool {
			for _, r := range now.done {
				if !yield(r, nil) {
					return false
				}
			}
			now.done = now.done[:0]
			return true
		}
		for len(h) > 0 {
			c := h[0]
			now.add(c.entry, from, to, max(names, 1))
			if !out() {
				return
			}
			if c.advance() {
				heap.Fix(&h, 0)
			} else {
				heap.Pop(&h)
				c.stop()
			}
			if c.err != nil {
				yield(nil, c.err)
				return
			}
		}
		now.end()
		out()
	}
}

// pending is the group that the merge is in.
type pending struct {
	group   string
	key     string
	request *audit.Request // the entry it is at, within the time
	named   int            // how many names of the group have been told apart
	omitted *audit.Request
	done    []*audit.Request
}

func (p *pending) add(e *Entry, from, to time.Time, names int) {
	if e.key[:e.group] != p.group {
		p.end()
		*p = pending{group: e.key[:e.group], done: p.done}
	}
	r, ok := e.within(from, to)
	if !ok {
		return
	}
	switch {
	case r.NameOmitted:
		p.omit(&r)
	case p.request != nil && p.key == e.key:
		sum(p.request, &r)
	case p.named < names:
		p.flush()
		p.request, p.key = &r, e.key
		p.named++
	default:
		r.Name, r.Path, r.NameOmitted = "", "", true
		p.omit(&r)
	}
}

func (p *pending) omit(r *audit.Request) {
	if p.omitted == nil {
		p.omitted = r
		return
	}
	sum(p.omitted, r)
}

func (p *pending) flush() {
	if p.request != nil {
		p.done = append(p.done, p.request)
		p.request = nil
	}
}

func (p *pending) end() {
	p.flush()
	if p.omitted != nil {
		p.done = append(p.done, p.omitted)
		p.omitted = nil
	}
}

func sum(to, r *audit.Request) {
	h := Hour{to.First, to.Last, to.Count, to.Reason}
	h.merge(Hour{r.First, r.Last, r.Count, r.Reason})
	to.First, to.Last, to.Count, to.Reason = h.First, h.Last, h.Count, h.Reason
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
func (h cursors) Less(i, j int) bool { return h[i].entry.key < h[j].entry.key }
func (h cursors) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *cursors) Push(x any)        { *h = append(*h, x.(*cursor)) }
func (h *cursors) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}
