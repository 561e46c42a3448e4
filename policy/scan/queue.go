package scan

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// queue are objects that have changed and wait to be judged, the one that changed first
// before the others. Of an object it has the last version alone.
type queue struct {
	of    map[types.UID]metav1.Object
	order []types.UID // those of `of`, and some that have gone from it
}

// mostQueued bounds the memory that waiting objects take: with as many waiting, the
// oldest is judged at once.
const mostQueued = 1000

func (q *queue) put(o metav1.Object) {
	if q.of == nil {
		q.of = map[types.UID]metav1.Object{}
	}
	if q.of[o.GetUID()] == nil {
		q.order = append(q.order, o.GetUID())
	}
	q.of[o.GetUID()] = o
}

// drop forgets an object that is gone.
func (q *queue) drop(uid types.UID) { delete(q.of, uid) }

// take is the next one; nil where none waits.
func (q *queue) take() metav1.Object {
	for len(q.order) > 0 {
		uid := q.order[0]
		q.order = q.order[1:]
		if o := q.of[uid]; o != nil {
			delete(q.of, uid)
			return o
		}
	}
	q.order = nil
	return nil
}

func (q *queue) len() int { return len(q.of) }

func (q *queue) clear() { *q = queue{} }

// The shares of one core that judging takes: of what has changed, which admission has
// just judged, and of what a list goes through, for which somebody may wait.
const changedShare, listedShare = 0.1, 0.25

// rests keeps judging, over all kinds, to a share of the processor: requests wait for
// neither. It is safe for concurrent use.
type rests struct {
	mu    sync.Mutex
	until time.Time // when what was judged has been paid for
}

// leastRest is what is waited for: below that a timer costs more than it gives.
const leastRest = 2 * time.Millisecond

// pay notes that judging took so long, of a share.
func (r *rests) pay(now time.Time, took time.Duration, share float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until.Before(now) {
		r.until = now
	}
	r.until = r.until.Add(time.Duration(float64(took) * (1/share - 1)))
}

// left is how long nothing is judged.
func (r *rests) left(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if left := r.until.Sub(now); left >= leastRest {
		return left
	}
	return 0
}
