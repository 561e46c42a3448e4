package operator

import "time"

// Rate fires where the weights within a window add up to at least so much, and to so many
// times what a window of the time before had on average.
//
// Time is cut into pieces, thirty of a window and twenty-four of the time before. What
// counts is the piece that the event is in and the 29 before it.
type Rate struct {
	AtLeast int64
	Window  time.Duration
	// Factor and Before are zero where it does not matter what is usual.
	Factor int
	Before time.Duration
}

const (
	fine   = 30
	coarse = 24
)

func (r Rate) cell() cell            { return &rated{} }
func (r Rate) window() time.Duration { return r.Window }

// piece is the number of a piece of time, and what was added up in it.
type piece struct {
	N   int64   `json:"n"`
	Sum float64 `json:"s"`
	// Last is when the last event of it was.
	Last int64 `json:"l"`
}

// rated holds the pieces of time: piece n is at n modulo their number, until a later
// one takes its place. There are more than count, for events that are late.
type rated struct {
	Fine   []piece  `json:"f"`
	Coarse []piece  `json:"c,omitempty"`
	IDs    []string `json:"i"`
}

func (r *rated) observe(op Operator, late int64, o Observation) (Fire, bool) {
	spec := op.(Rate)
	at := micros(o.At)
	r.IDs = keepID(r.IDs, o.ID)
	width := max(spec.Window.Microseconds()/fine, 1)
	spare := min(late/width+1, 4*fine) // pieces by which an event may be late
	now, sum, since := at/width, 0.0, at
	r.Fine = add(r.Fine, int(fine+2*spare), now, at, o.Weight, spare)
	for _, p := range r.Fine {
		if p.Last != 0 && p.N > now-fine && p.N <= now+spare {
			sum, since = sum+p.Sum, min(since, p.N*width)
		}
	}
	enough := sum >= float64(spec.AtLeast)
	if spec.Factor > 0 {
		wide := max(spec.Before.Microseconds()/coarse, 1)
		r.Coarse = add(r.Coarse, coarse+3, at/wide, at, o.Weight, 1)
		before := 0.0
		for _, p := range r.Coarse {
			if p.Last != 0 && p.N > at/wide-coarse && p.N <= at/wide+1 {
				before += p.Sum
			}
		}
		usual := max(before-sum, 0) * float64(spec.Window) / float64(spec.Before)
		enough = enough && sum >= float64(spec.Factor)*usual
	}
	if !enough {
		return Fire{}, false
	}
	return Fire{At: o.At, Since: ofMicros(since), Count: int64(sum), IDs: append([]string(nil), r.IDs...)}, true
}

// add adds a weight to its piece. A piece that lies further ahead than an event can be late
// is the work of a wrong clock, and gives way.
func add(pieces []piece, number int, n, at int64, weight float64, ahead int64) []piece {
	if len(pieces) != number {
		pieces = make([]piece, number)
	}
	p := &pieces[n%int64(number)]
	switch {
	case p.Last != 0 && p.N > n && p.N <= n+int64(number)+ahead:
		return pieces // its place has been taken by a later one
	case p.N != n || p.Last == 0:
		*p = piece{N: n}
	}
	p.Sum, p.Last = p.Sum+weight, at
	return pieces
}

func (r *rated) size() int { return 3*(len(r.Fine)+len(r.Coarse)) + 5*len(r.IDs) }

func (r *rated) valid(Operator) bool {
	return len(r.Fine) <= 10*fine && len(r.Coarse) <= coarse+3 && len(r.IDs) <= maxIDs
}
