package store

import (
	"context"
	"sync"
)

// request is one Append that waits to be written.
type request struct {
	bytes []byte  // records, each behind its length
	rows  []entry // one for each record
	done  chan error
	state requestState // under the queue's lock
}

// entry is a record of a request.
type entry struct {
	at            int64
	hash          uint64
	start, length uint32
	identity      uint32
}

type requestState int

const (
	waiting   requestState = iota // for room
	queued                        // to be written
	taken                         // being written: it can no longer be taken back
	withdrawn                     // its caller gave up
)

// queue holds requests within a bound of bytes, first come first served.
type queue struct {
	mu      sync.Mutex
	limit   int64
	bytes   int64      // of queued and taken requests
	queued  []*request // to be written, in order
	waiting []*request // for room, in order
	closed  bool
	wake    chan struct{} // has a token where there may be something to take
}

func newQueue(limit int64) *queue { return &queue{limit: limit, wake: make(chan struct{}, 1)} }

// fits is called under the lock. A request above the limit goes alone.
func (q *queue) fits(r *request) bool { return q.bytes == 0 || q.bytes+int64(len(r.bytes)) <= q.limit }

// put queues a request, or makes it wait for room where that is wanted.
func (q *queue) put(r *request, wait bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case len(q.waiting) == 0 && q.fits(r):
		q.admit(r)
	case !wait:
		return ErrDropped
	default:
		r.state = waiting
		q.waiting = append(q.waiting, r)
	}
	return nil
}

func (q *queue) admit(r *request) {
	r.state = queued
	q.bytes += int64(len(r.bytes))
	q.queued = append(q.queued, r)
	q.ping()
}

func (q *queue) ping() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// withdraw takes a request back, unless it is being written.
func (q *queue) withdraw(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch r.state {
	case waiting:
		q.waiting = without(q.waiting, r)
	case queued:
		q.queued = without(q.queued, r)
		q.bytes -= int64(len(r.bytes))
		q.fill()
	default:
		return false
	}
	r.state = withdrawn
	return true
}

func without(list []*request, r *request) []*request {
	for i := range list {
		if list[i] == r {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// fill admits those that wait, while there is room.
func (q *queue) fill() {
	for len(q.waiting) > 0 && q.fits(q.waiting[0]) {
		r := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.admit(r)
	}
}

// take takes what one frame has room for; nothing where nothing waits.
func (q *queue) take(most int) (group []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := 0
	for len(q.queued) > 0 {
		r := q.queued[0]
		if len(group) > 0 && size+len(r.bytes) > most {
			q.ping()
			break
		}
		size += len(r.bytes)
		r.state = taken
		group = append(group, r)
		q.queued[0] = nil
		q.queued = q.queued[1:]
	}
	return group
}

// putBack queues again, in front, what could not be written now.
func (q *queue) putBack(group []*request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range group {
		r.state = queued
	}
	q.queued = append(append([]*request(nil), group...), q.queued...)
}

// finish tells the callers what became of their requests.
func (q *queue) finish(group []*request, err error) {
	q.mu.Lock()
	for _, r := range group {
		q.bytes -= int64(len(r.bytes))
	}
	q.fill()
	q.mu.Unlock()
	for _, r := range group {
		r.done <- err
	}
}

// drain refuses what is not taken, and everything that comes.
func (q *queue) drain(err error) {
	q.mu.Lock()
	refused := append(q.queued, q.waiting...)
	for _, r := range q.queued {
		q.bytes -= int64(len(r.bytes))
	}
	q.queued, q.waiting, q.closed = nil, nil, true
	for _, r := range refused {
		r.state = taken
	}
	q.mu.Unlock()
	for _, r := range refused {
		r.done <- err
	}
}

// close lets nothing more in; what waits is still written.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ping()
}

// idle reports whether everything that was let in has been written.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queued) == 0 && len(q.waiting) == 0
}

// wait waits for the end of a request that was put. Where the context ends before the
// request is taken, it is withdrawn.
func (q *queue) wait(ctx context.Context, r *request) (err error, gaveUp bool) {
	select {
	case err := <-r.done:
		return err, false
	case <-ctx.Done():
		if q.withdraw(r) {
			return context.Cause(ctx), true
		}
		return <-r.done, false
	}
}
