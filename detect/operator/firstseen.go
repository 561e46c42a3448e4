package operator

import "time"

// FirstSeen fires at a value that its key has not had before.
type FirstSeen struct {
	// Learn is how long, from the first event of a key, values are learned in silence.
	Learn time.Duration
	// Forget is when a value is forgotten that does not come.
	Forget time.Duration
	// Values is how many of a key are remembered. Of more, the oldest goes.
	Values int
}

func (f FirstSeen) cell() cell            { return &firstSeen{Last: map[uint64]int64{}} }
func (f FirstSeen) window() time.Duration { return f.Learn }

// firstSeen holds when each value came last, and when the first event of the key was.
type firstSeen struct {
	First int64            `json:"f"`
	Last  map[uint64]int64 `json:"l"`
}

func (f *firstSeen) observe(op Operator, late int64, o Observation) (Fire, bool) {
	spec := op.(FirstSeen)
	at, value := micros(o.At), hash(o.Value)
	if f.First == 0 || at < f.First {
		f.First = at
	}
	last, known := f.Last[value]
	forgotten := known && at-last > spec.Forget.Microseconds()
	if !known && len(f.Last) >= spec.Values {
		f.dropOldest()
	}
	// An event that was late does not make its value older.
	if !known || at > last || last-at > late {
		f.Last[value] = at
	}
	if known && !forgotten || at-f.First < spec.Learn.Microseconds() {
		return Fire{}, false
	}
	return Fire{At: o.At, Since: o.At, Count: 1, IDs: []string{shown(o.ID)}, Values: []string{shown(o.Value)}}, true
}

func (f *firstSeen) dropOldest() {
	oldest, when := uint64(0), int64(0)
	for value, t := range f.Last {
		if when == 0 || t < when || t == when && value < oldest {
			oldest, when = value, t
		}
	}
	delete(f.Last, oldest)
}

func (f *firstSeen) size() int { return 3*len(f.Last) + 2 }

func (f *firstSeen) valid(op Operator) bool {
	return f.Last != nil && len(f.Last) <= op.(FirstSeen).Values
}
