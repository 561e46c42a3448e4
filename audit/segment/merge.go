package segment

import (
	"container/heap"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Part is one of several sources of events whose times may overlap.
type Part struct {
	// First and Last bound the times of its events.
	First, Last time.Time
	Scan        func(ctx context.Context, s audit.Scan) iter.Seq2[*audit.Event, error]
}

// Merge yields the events of parts in one order, and those that several have once. A part
// is not read before the order comes to its time, so that a scan that stops early has
// touched few.
func Merge(ctx context.Context, parts []Part, s audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		m := &merge{order: s.Order}
		defer m.stop()
		var waiting []Part
		for _, p := range parts {
			if (s.Filter.From.IsZero() || !p.Last.Before(s.Filter.From)) && (s.Filter.To.IsZero() || p.First.Before(s.Filter.To)) {
				waiting = append(waiting, p)
			}
		}
		slices.SortStableFunc(waiting, func(a, b Part) int {
			if s.Order == audit.NewestFirst {
				return b.Last.Compare(a.Last)
			}
			return a.First.Compare(b.First)
		})
		var alike []*audit.Event // what was yielded last, and can be the same as what is next
		found := 0
		for {
			for len(waiting) > 0 && (len(m.open) == 0 || m.reaches(waiting[0])) {
				if err := m.add(ctx, waiting[0], s); err != nil {
					yield(nil, err)
					return
				}
				waiting = waiting[1:]
			}
			if len(m.open) == 0 {
				return
			}
			e := m.open[0].event
			if len(alike) > 0 && audit.Compare(alike[0], e) != 0 {
				alike = alike[:0]
			}
			if !slices.ContainsFunc(alike, func(other *audit.Event) bool { return audit.Same(other, e) }) {
				alike = append(alike, e)
				if !yield(e, nil) {
					return
				}
				if found++; found == s.Limit {
					return
				}
			}
			if err := m.advance(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// merge is a heap of the parts that are read, the one whose event is next at its top.
type merge struct {
	order audit.Order
	open  []source
}

type source struct {
	event *audit.Event
	next  func() (*audit.Event, error, bool)
	stop  func()
}

// reaches reports whether a part may have an event before the next one, or at its time.
func (m *merge) reaches(p Part) bool {
	if m.order == audit.NewestFirst {
		return !p.Last.Before(m.open[0].event.Time)
	}
	return !p.First.After(m.open[0].event.Time)
}

func (m *merge) add(ctx context.Context, p Part, s audit.Scan) error {
	next, stop := iter.Pull2(p.Scan(ctx, s))
	e, err, ok := next()
	if err != nil || !ok {
		stop()
		return err
	}
	heap.Push(m, source{e, next, stop})
	return nil
}

func (m *merge) advance() error {
	top := &m.open[0]
	e, err, ok := top.next()
	if err != nil {
		return err
	}
	if !ok {
		heap.Pop(m).(source).stop()
		return nil
	}
	top.event = e
	heap.Fix(m, 0)
	return nil
}

func (m *merge) stop() {
	for _, s := range m.open {
		s.stop()
	}
}

func (m *merge) Len() int      { return len(m.open) }
func (m *merge) Swap(i, j int) { m.open[i], m.open[j] = m.open[j], m.open[i] }
func (m *merge) Push(x any)    { m.open = append(m.open, x.(source)) }
func (m *merge) Less(i, j int) bool {
	if m.order == audit.NewestFirst {
		i, j = j, i
	}
	return audit.Compare(m.open[i].event, m.open[j].event) < 0
}

func (m *merge) Pop() any {
	last := m.open[len(m.open)-1]
	m.open = m.open[:len(m.open)-1]
	return last
}
