package operator

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Distinct fires where at least so many different values lie within a window; with Unseen,
// so many that are new.
type Distinct struct {
	AtLeast int
	Window  time.Duration
	// Unseen is for how long a value must not have come before it counts; zero where all
	// count.
	Unseen time.Duration
}

// maxUsual is how many values of a key are remembered that have come before.
const maxUsual = 1000

// most is how many values are remembered.
func (d Distinct) most() int {
	if d.Unseen > 0 {
		return max(2*d.AtLeast, maxUsual)
	}
	return 2 * d.AtLeast
}

// keep is how long a value is remembered.
func (d Distinct) keep() time.Duration { return max(d.Window, d.Unseen) }

func (d Distinct) cell() cell            { return &distinct{Last: map[uint64]int64{}} }
func (d Distinct) window() time.Duration { return d.Window }

// distinct holds when each value came last. Values are kept as hashes that nobody can
// make collide on purpose; those that came last also as text, for people.
type distinct struct {
	Last map[uint64]int64 `json:"l"`
	// Began is when each came that had not for as long as Unseen; the same keys as Last, or
	// none where all count.
	Began map[uint64]int64 `json:"b,omitempty"`
	IDs   []string         `json:"i"`
	Shown []string         `json:"s"`
}

func (d *distinct) observe(op Operator, late int64, o Observation) (Fire, bool) {
	spec := op.(Distinct)
	at, value := micros(o.At), hash(o.Value)
	last, known := d.Last[value]
	if !known {
		d.makeRoom(spec, at, late)
	}
	begins := !known || spec.Unseen > 0 && at-last > spec.Unseen.Microseconds()
	if begins {
		d.IDs = keepID(d.IDs, o.ID)
	}
	if begins && spec.Unseen > 0 {
		if d.Began == nil {
			d.Began = map[uint64]int64{}
		}
		d.Began[value] = at
	}
	// An event that was late does not make its value older.
	if !known || at > last || last-at > late {
		d.Last[value] = at
	}
	if spec.Unseen > 0 && !within(d.Began[value], at, spec.Window, late) {
		return Fire{}, false // it is usual
	}
	if text := shown(o.Value); !slices.Contains(d.Shown, text) {
		if len(d.Shown) == maxValues {
			d.Shown = slices.Delete(d.Shown, 0, 1)
		}
		d.Shown = append(d.Shown, text)
	}
	n, since := int64(0), at
	counted := d.Last
	if spec.Unseen > 0 {
		counted = d.Began
	}
	for _, t := range counted {
		if within(t, at, spec.Window, late) {
			n, since = n+1, min(since, t)
		}
	}
	if n < int64(spec.AtLeast) {
		return Fire{}, false
	}
	return Fire{At: o.At, Since: ofMicros(since), Count: n, IDs: slices.Clone(d.IDs), Values: slices.Clone(d.Shown)}, true
}

// makeRoom lets values go where there are twice as many as fire: those that count no more,
// or else the oldest, some at a time, so that a storm of new values does not look for the
// oldest of them all at each.
func (d *distinct) makeRoom(spec Distinct, at, late int64) {
	if len(d.Last) < spec.most() {
		return
	}
	old := make([]uint64, 0, len(d.Last))
	for value, t := range d.Last {
		if t <= at-spec.keep().Microseconds()-late {
			d.drop(value)
		} else {
			old = append(old, value)
		}
	}
	if len(d.Last) < spec.most() {
		return
	}
	slices.SortFunc(old, func(a, b uint64) int { return cmp.Or(cmp.Compare(d.Last[a], d.Last[b]), cmp.Compare(a, b)) })
	for _, value := range old[:1+len(old)/16] {
		d.drop(value)
	}
}

func (d *distinct) drop(value uint64) {
	delete(d.Last, value)
	delete(d.Began, value)
}

func hash(value string) uint64 {
	sum := sha256.Sum256([]byte(value))
	return binary.LittleEndian.Uint64(sum[:])
}

func (d *distinct) size() int { return 3*len(d.Last) + 5*len(d.IDs) + 10*len(d.Shown) }

func (d *distinct) valid(op Operator) bool {
	return d.Last != nil && len(d.Last) <= op.(Distinct).most() && len(d.Began) <= len(d.Last) && len(d.IDs) <= maxIDs && len(d.Shown) <= maxValues
}
