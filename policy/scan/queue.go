package scan

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// queue is what the watch of a kind has told of and the kind has not taken yet: objects
// that have changed, the one that changed first before the others, of each its last
// version alone; and objects that are gone. When there are too many it forgets them all,
// and is behind until a list has told what there is. It is safe for concurrent use.
type queue struct {
	// wake has an element when something has come that is not to wait: the first that
	// has changed, or what is gone.
	wake chan struct{}

	mu    sync.Mutex
	of    map[types.UID]Item
	order []types.UID // those of `of`, and some that have gone from it
	gone  []types.UID
	// behind says that changes were forgotten, the first of them at since, and the last
	// at last.
	behind      bool
	since, last time.Time
}

// mostQueued bounds the memory that waiting objects take.
const mostQueued = 1000

// A burst of changes is over when none has come for burstEnd, and taken to be when it
// has lasted for longestBurst.
const burstEnd, longestBurst = time.Second, 30 * time.Second

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put notes a version of an object. fell says that the queue is behind from now on.
func (q *queue) put(o Item, now time.Time) (fell bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	uid := o.GetUID()
	if q.behind || q.of[uid] == nil && q.fullLocked() {
		return q.forgetLocked(now)
	}
	if q.of == nil {
		q.of = map[types.UID]Item{}
	}
	if q.of[uid] == nil {
		if len(q.order) >= 2*mostQueued {
			q.order = q.waitingLocked()
		}
		q.order = append(q.order, uid)
	}
	q.of[uid] = o
	if len(q.of) == 1 {
		q.wakeUp()
	}
	return false
}

// drop notes that an object is gone.
func (q *queue) drop(uid types.UID, now time.Time) (fell bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.of, uid)
	if q.behind || q.fullLocked() {
		return q.forgetLocked(now)
	}
	q.gone = append(q.gone, uid)
	q.wakeUp()
	return false
}

func (q *queue) fullLocked() bool { return len(q.of)+len(q.gone) >= mostQueued }

func (q *queue) forgetLocked(now time.Time) (fell bool) {
	q.last = now
	if q.behind {
		return false
	}
	q.of, q.order, q.gone = nil, nil, nil
	q.behind, q.since = true, now
	q.wakeUp()
	return true
}

// waitingLocked is order without those that are gone from it.
func (q *queue) waitingLocked() []types.UID {
	kept := make([]types.UID, 0, 2*mostQueued)
	seen := make(map[types.UID]bool, len(q.of))
	for _, uid := range q.order {
		if q.of[uid] != nil && !seen[uid] {
			seen[uid] = true
			kept = append(kept, uid)
		}
	}
	return kept
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take is the next object; nil where none waits.
func (q *queue) take() Item {
	q.mu.Lock()
	defer q.mu.Unlock()
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

// takeGone are the objects that are gone.
func (q *queue) takeGone() []types.UID {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := q.gone
	q.gone = nil
	return gone
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.of)
}

// fallenBehind tells if changes were forgotten, and how long the burst of them is still
// waited for.
func (q *queue) fallenBehind(now time.Time) (left time.Duration, behind bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return min(q.last.Add(burstEnd).Sub(now), q.since.Add(longestBurst).Sub(now)), q.behind
}

// clear forgets all, before a list that tells what there is.
func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of, q.order, q.gone, q.behind = nil, nil, nil, false
}
