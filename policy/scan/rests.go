package scan

import (
	"sync"
	"time"
)

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
