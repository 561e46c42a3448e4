package store

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// source is where some of the events of a scan are, in order.
type source struct {
	// first and last bound their times; a source is opened when the merge comes there.
	first, last time.Time
	open        func(context.Context) iter.Seq2[*audit.Event, error]
	// ahead says that reading is worth a goroutine, which reads before the merge comes, so
	// many batches at most.
	ahead int
	// parts are what the source consists of, where that is to be read side by side.
	parts func() ([]*source, error)

	next  func() (*audit.Event, error, bool)
	stop  func()
	event *audit.Event
}

const (
	// batchSize is how many events a reading goroutine hands over at once.
	batchSize = 128
	// eventsAhead is how many such it is ahead at most, some megabytes, and bodiesAhead
	// where events have bodies.
	eventsAhead = 24
	bodiesAhead = 2
)

// start begins reading.
func (s *source) start(ctx context.Context) {
	if s.next != nil {
		return
	}
	if s.ahead == 0 {
		s.next, s.stop = iter.Pull2(s.open(ctx))
		return
	}
	type batch struct {
		events []*audit.Event
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	filled := make(chan batch, s.ahead)
	go func() {
		defer close(filled)
		var b batch
		size := 4 // the first come soon: a limit may need no more
		send := func() bool {
			select {
			case filled <- b:
				b = batch{}
				return true
			case <-ctx.Done():
				return false
			}
		}
		for e, err := range s.open(ctx) {
			if err != nil {
				b.err = err
				break
			}
			if b.events = append(b.events, e); len(b.events) >= size {
				size = min(size*4, batchSize)
				if !send() {
					return
				}
			}
		}
		send()
	}()
	var now batch
	s.next = func() (*audit.Event, error, bool) {
		for {
			if len(now.events) > 0 {
				e := now.events[0]
				now.events = now.events[1:]
				return e, nil, true
			}
			if now.err != nil {
				return nil, now.err, true
			}
			var ok bool
			if now, ok = <-filled; !ok {
				return nil, nil, false
			}
		}
	}
	s.stop = func() {
		cancel()
		for range filled { // its segment is put back before this returns
		}
	}
}

// merge yields the events of sources in order. What several have is yielded once. The
// sources come in the order of their first, or for the newest first of their last.
type merge struct {
	sources []*source
	newest  bool
	open    []*source // a heap
	begun   int       // how many of sources have been started, and not looked at yet or no more
	looked  int       // how many of sources are in the heap or at their end
}

func (m *merge) Len() int           { return len(m.open) }
func (m *merge) Swap(i, j int)      { m.open[i], m.open[j] = m.open[j], m.open[i] }
func (m *merge) Push(x any)         { m.open = append(m.open, x.(*source)) }
func (m *merge) Less(i, j int) bool { return m.before(m.open[i].event, m.open[j].event) }
func (m *merge) Pop() any {
	last := len(m.open) - 1
	s := m.open[last]
	m.open[last] = nil
	m.open = m.open[:last]
	return s
}

func (m *merge) before(a, b *audit.Event) bool {
	if m.newest {
		a, b = b, a
	}
	return audit.Compare(a, b) < 0
}

// due reports whether a source can have what comes before or beside an event.
func (m *merge) due(s *source, e *audit.Event) bool {
	if m.newest {
		return !s.last.Before(e.Time)
	}
	return !s.first.After(e.Time)
}

func (m *merge) all(ctx context.Context) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer func() {
			cancel()
			for _, s := range m.sources {
				if s.stop != nil {
					s.stop()
				}
			}
		}()
		var alike []*audit.Event // what was yielded last, and is not before or behind another
		for {
			if err := m.fill(ctx); err != nil {
				yield(nil, err)
				return
			}
			if len(m.open) == 0 {
				return
			}
			s := m.open[0]
			e := s.event
			ok, err := m.advance(ctx, s)
			if err != nil {
				yield(nil, err)
				return
			}
			if ok {
				heap.Fix(m, 0)
			} else {
				heap.Pop(m)
			}
			alike = among(alike, e)
			if twice(alike, e) {
				continue
			}
			alike = append(alike, e)
			if !yield(e, nil) {
				return
			}
		}
	}
}

// among keeps of what was yielded what an event could be the same as.
func among(alike []*audit.Event, e *audit.Event) []*audit.Event {
	if len(alike) > 0 && audit.Compare(alike[0], e) != 0 {
		return alike[:0]
	}
	return alike
}

func twice(alike []*audit.Event, e *audit.Event) bool {
	for _, other := range alike {
		if audit.Same(other, e) {
			return true
		}
	}
	return false
}

// fill opens the sources that are due, and lets as many read ahead as there are cores.
func (m *merge) fill(ctx context.Context) error {
	for m.looked < len(m.sources) && (len(m.open) == 0 || m.due(m.sources[m.looked], m.open[0].event)) {
		if m.begin(ctx) {
			continue // the next source may be another now
		}
		s := m.sources[m.looked]
		s.start(ctx)
		m.looked++
		ok, err := m.advance(ctx, s)
		if err != nil {
			return err
		}
		if ok {
			heap.Push(m, s)
		}
	}
	return nil
}

// begin starts the sources that are to be read now, until one turns out to have parts: they
// take its place then, and true is returned.
func (m *merge) begin(ctx context.Context) (divided bool) {
	for m.begun < min(m.looked+1+readAhead(), len(m.sources)) {
		s := m.sources[m.begun]
		if s.parts != nil {
			parts, err := s.parts()
			if err != nil { // it is told when the merge comes there
				parts = []*source{{first: s.first, last: s.last, open: func(context.Context) iter.Seq2[*audit.Event, error] {
					return func(yield func(*audit.Event, error) bool) { yield(nil, err) }
				}}}
			}
			m.sources = slices.Replace(m.sources, m.begun, m.begun+1, parts...)
			m.sort(m.sources[m.begun:])
			return true
		}
		if s.ahead > 0 || m.begun == m.looked {
			s.start(ctx)
		}
		m.begun++
	}
	return false
}

// sort puts sources in the order in which the merge comes to them.
func (m *merge) sort(sources []*source) {
	slices.SortStableFunc(sources, func(a, b *source) int {
		if m.newest {
			return b.last.Compare(a.last)
		}
		return cmp.Or(a.first.Compare(b.first), a.last.Compare(b.last))
	})
}

// errTime is damage that a segment's own reader cannot see.
var errTime = errors.New("an event has another time than its segment says; `gatehouse audit verify` names the segment")

func readAhead() int { return min(runtime.GOMAXPROCS(0), 4) }

// advance takes the next event of a source; false at its end, where it is closed.
func (m *merge) advance(ctx context.Context, s *source) (bool, error) {
	e, err, ok := s.next()
	if err != nil {
		return false, err
	}
	if !ok {
		s.stop()
		s.stop = nil
		if ctx.Err() != nil { // it did not come to its end
			return false, context.Cause(ctx)
		}
		return false, nil
	}
	if e.Time.Before(s.first) || e.Time.After(s.last) {
		return false, errTime
	}
	s.event = e
	return true, nil
}
