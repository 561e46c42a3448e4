package watch

import (
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

const (
	// mostEvents and mostBytes bound the events that wait to be judged.
	mostEvents = 8192
	mostBytes  = 16 << 20
	// plainBytes is about what an event takes without its bodies.
	plainBytes = 1 << 10
)

// queue holds the events that wait to be judged. Nobody waits for room in it: what finds
// none is lost, and so is what comes after, until the loss has been taken note of. So a
// loss is one span of time.
type queue struct {
	// wake has one element where there may be something to do.
	wake chan struct{}

	mu     sync.Mutex
	events []*audit.Event
	bytes  int
	since  time.Time // when the first of them came
	lost   span
}

// span is a time in which events were lost. Count is 0 where there is none.
type span struct {
	count    int64
	from, to time.Time
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) put(events []*audit.Event, now time.Time) {
	q.mu.Lock()
	for _, e := range events {
		size := plainBytes + len(e.Request) + len(e.Response)
		if q.lost.count > 0 || len(q.events) >= mostEvents || q.bytes+size > mostBytes && len(q.events) > 0 {
			q.lost.add(e.Time)
			continue
		}
		if len(q.events) == 0 {
			q.since = now
		}
		q.events = append(q.events, e)
		q.bytes += size
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (s *span) add(at time.Time) {
	if s.count == 0 || at.Before(s.from) {
		s.from = at
	}
	if s.count == 0 || at.After(s.to) {
		s.to = at
	}
	s.count++
}

// take takes all events, and says since when the first has been waiting. The slice that
// was taken before is used again.
func (q *queue) take(used []*audit.Event) (events []*audit.Event, since time.Time) {
	clear(used)
	q.mu.Lock()
	defer q.mu.Unlock()
	events, since = q.events, q.since
	q.events, q.bytes, q.since = used[:0], 0, time.Time{}
	return events, since
}

// takeLost takes note of a loss: what comes from now on is kept again.
func (q *queue) takeLost() span {
	q.mu.Lock()
	defer q.mu.Unlock()
	lost := q.lost
	q.lost = span{}
	return lost
}

// waiting is since when the oldest event has been; zero where there is none.
func (q *queue) waiting() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lost.count > 0 && q.since.IsZero() {
		return q.lost.from
	}
	return q.since
}
