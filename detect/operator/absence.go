package operator

import "time"

// Absence fires where an event does not come within a window. Bit 0 of
// Observation.Steps is that event.
type Absence struct {
	Window time.Duration
	// After says that it is waited for after another event, bit 1, and not after itself.
	After bool
}

func (a Absence) cell() cell            { return &absence{} }
func (a Absence) window() time.Duration { return a.Window }

// absence holds since when is waited.
type absence struct {
	Since int64  `json:"s"` // 0 where nothing is waited for
	ID    string `json:"i"` // of the event after which
	// Came is when what is waited for came last.
	Came int64 `json:"c"`
}

func (a *absence) observe(op Operator, late int64, o Observation) (fire Fire, yes bool) {
	spec := op.(Absence)
	at := micros(o.At)
	if o.Steps&1 != 0 {
		if a.Since != 0 && at > a.Since+spec.Window.Microseconds() {
			fire, yes = a.expire(op), true
		}
		if spec.After && at >= a.Since {
			a.Since, a.ID = 0, ""
		}
		// One that came later, by a clock that is wrong, gives way.
		if at > a.Came || a.Came-at > late {
			a.Came = at
			if !spec.After {
				a.Since, a.ID = at, shown(o.ID)
			}
		}
	}
	// What is waited for may have been read first, of two that came in one batch.
	answered := a.Came >= at && a.Came <= at+late
	if spec.After && o.Steps&2 != 0 && a.Since == 0 && !answered {
		a.Since, a.ID = at, shown(o.ID)
	}
	return fire, yes
}

func (a *absence) deadline(op Operator) int64 {
	if a.Since == 0 {
		return 0
	}
	return a.Since + op.(Absence).Window.Microseconds()
}

func (a *absence) expire(op Operator) Fire {
	f := Fire{At: ofMicros(a.deadline(op)), Since: ofMicros(a.Since), Count: 1, IDs: []string{a.ID}}
	a.Since, a.ID = 0, ""
	return f
}

func (a *absence) postpone(at int64) {
	if a.Since != 0 {
		a.Since = max(a.Since, at)
	}
}

func (a *absence) size() int { return 8 }

func (a *absence) valid(Operator) bool { return true }
