package operator

import (
	"slices"
	"time"
)

// Count fires where at least so many events lie within a window.
type Count struct {
	AtLeast int
	Window  time.Duration
}

func (c Count) cell() cell            { return &counted{} }
func (c Count) window() time.Duration { return c.Window }

// counted holds the times of the events that came last, in the order in which they came:
// twice as many as fire, so that some may be out of order.
type counted struct {
	Times []int64  `json:"t"`
	Head  int      `json:"h,omitempty"` // where the oldest is, once Times is full
	IDs   []string `json:"i"`
}

func (c *counted) observe(op Operator, late int64, o Observation) (Fire, bool) {
	spec := op.(Count)
	at := micros(o.At)
	if len(c.Times) < 2*spec.AtLeast {
		c.Times = append(c.Times, at)
	} else {
		c.Times[c.Head] = at
		c.Head = (c.Head + 1) % len(c.Times)
	}
	c.IDs = keepID(c.IDs, o.ID)
	n, since := int64(0), at
	for _, t := range c.Times {
		if within(t, at, spec.Window, late) {
			n, since = n+1, min(since, t)
		}
	}
	if n < int64(spec.AtLeast) {
		return Fire{}, false
	}
	return Fire{At: o.At, Since: ofMicros(since), Count: n, IDs: slices.Clone(c.IDs[max(0, len(c.IDs)-int(n)):])}, true
}

// within reports whether a time counts together with an event that came at another: it is
// in the window that ends there, or is later because that event was late.
func within(t, at int64, window time.Duration, late int64) bool {
	return t > at-window.Microseconds() && t <= at+late
}

func (c *counted) size() int { return len(c.Times) + 5*len(c.IDs) }

func (c *counted) valid(op Operator) bool {
	full := 2 * op.(Count).AtLeast
	return len(c.Times) <= full && len(c.IDs) <= maxIDs && c.Head >= 0 && (c.Head == 0 || len(c.Times) == full && c.Head < full)
}
