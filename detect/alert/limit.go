package alert

import "time"

// limit is a bucket of tokens: one Send takes one.
type limit struct {
	// every is how long it takes until there is one more.
	every time.Duration
	// until is when the bucket is full again.
	until time.Time
}

// burst is how many tokens there are at most.
const burst = 10

func newLimit(perMinute int) limit { return limit{every: time.Minute / time.Duration(perMinute)} }

// take takes a token, and returns how long to wait until it is there.
func (l *limit) take(now time.Time) time.Duration {
	if l.until.Before(now) {
		l.until = now
	}
	l.until = l.until.Add(l.every)
	return max(0, l.until.Sub(now)-burst*l.every)
}
