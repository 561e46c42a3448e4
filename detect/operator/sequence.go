package operator

import (
	"slices"
	"time"
)

// Sequence fires where so many steps follow each other within a window. One event is one
// step at most.
type Sequence struct {
	Steps  int
	Window time.Duration
}

func (s Sequence) cell() cell            { return &sequence{} }
func (s Sequence) window() time.Duration { return s.Window }

// chain is steps that have followed each other.
type chain struct {
	Start int64    `json:"s"` // when the first was
	Last  int64    `json:"l"` // when the last was
	IDs   []string `json:"i"` // of all of them
}

// hit is an event that came a short time ago.
type hit struct {
	At    int64  `json:"t"`
	Steps uint16 `json:"s"`
	ID    string `json:"i"`
}

// MaxSteps is how many a Sequence has at most: as many as an Observation has bits for.
const MaxSteps = 16

// maxHits is how many events are kept for those that come late before them.
const maxHits = 32

// sequence holds, for each step, the chain up to it that began last: whatever can follow
// can follow that one. Recent are events that one which comes late may be put before.
type sequence struct {
	Chains []chain `json:"c"` // by step; Start 0 for none
	Recent []hit   `json:"r"` // in the order of time
}

func (s *sequence) observe(op Operator, late int64, o Observation) (Fire, bool) {
	spec := op.(Sequence)
	if len(s.Chains) != spec.Steps {
		s.Chains = make([]chain, spec.Steps)
	}
	h := hit{At: micros(o.At), Steps: o.Steps, ID: shown(o.ID)}
	s.Recent = slices.DeleteFunc(s.Recent, func(r hit) bool { return r.At < h.At-late || r.At > h.At+late })
	if len(s.Recent) == maxHits {
		s.Recent = slices.Delete(s.Recent, 0, 1)
	}
	place := len(s.Recent)
	for place > 0 && s.Recent[place-1].At > h.At {
		place--
	}
	s.Recent = slices.Insert(s.Recent, place, h)
	var done chain
	for _, again := range s.Recent[place:] {
		if c, ok := s.step(spec, late, again); ok {
			done = c
		}
	}
	if done.Start == 0 {
		return Fire{}, false
	}
	return Fire{At: o.At, Since: ofMicros(done.Start), Count: int64(spec.Steps), IDs: slices.Clone(done.IDs)}, true
}

// step puts an event behind the chains that it can follow, the last step first, since it
// is no more than one of them.
func (s *sequence) step(spec Sequence, late int64, h hit) (done chain, ok bool) {
	for i := spec.Steps - 1; i >= 0; i-- {
		if h.Steps&(1<<i) == 0 {
			continue
		}
		var next chain
		if i == 0 {
			next = chain{Start: h.At, Last: h.At, IDs: []string{h.ID}}
		} else {
			before := s.Chains[i-1]
			if before.Start == 0 || before.Last > h.At+late || h.At-before.Start > spec.Window.Microseconds() || before.IDs[i-1] == h.ID && before.Last == h.At {
				continue
			}
			next = chain{Start: before.Start, Last: max(before.Last, h.At), IDs: append(slices.Clone(before.IDs), h.ID)}
		}
		if i == spec.Steps-1 {
			done, ok = next, true
		}
		// One that began later, by a clock that is wrong, gives way.
		if old := s.Chains[i]; old.Start <= next.Start || old.Start > h.At+late {
			s.Chains[i] = next
		}
	}
	return done, ok
}

func (s *sequence) size() int { return 20*len(s.Chains) + 8*len(s.Recent) }

func (s *sequence) valid(op Operator) bool {
	if len(s.Chains) != op.(Sequence).Steps || len(s.Recent) > maxHits {
		return false
	}
	for i, c := range s.Chains {
		if c.Start != 0 && len(c.IDs) != i+1 {
			return false
		}
	}
	return true
}
