package segment

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// window is how many rows are looked at together.
const window = 4096

var errOrder = errors.New("scan segment: it is damaged: its events are not in order")

// Scan yields the events that are meant, in order. After an error there is nothing more.
// An Event that was yielded stays valid, and is not to be changed; those of one scan
// share texts.
func (s *Segment) Scan(ctx context.Context, scan audit.Scan) iter.Seq2[*audit.Event, error] {
	if !s.beside {
		return s.scan(ctx, scan, 0, len(s.groups))
	}
	return Merge(ctx, s.Parts(), scan)
}

// Parts are the row groups, each of which can be scanned by itself, and beside the others.
// Those whose times overlap are as the files that they come from.
func (s *Segment) Parts() []Part {
	parts := make([]Part, len(s.groups))
	for i := range s.groups {
		first, last, ok := s.groups[i].times()
		if !ok {
			first, last = math.MinInt64, math.MaxInt64
		}
		parts[i] = Part{First: microseconds(first), Last: microseconds(last), Scan: func(ctx context.Context, scan audit.Scan) iter.Seq2[*audit.Event, error] {
			return s.scan(ctx, scan, i, i+1)
		}}
	}
	return parts
}

// scan is Scan of some of the row groups, whose times do not overlap.
func (s *Segment) scan(ctx context.Context, scan audit.Scan, from, to int) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		found, stopped := 0, false
		var last *audit.Event
		err := s.matches(ctx, &scan.Filter, scan.Order, from, to, func(g *rowGroup, rows []int32) (bool, error) {
			for i := range rows {
				row := rows[i]
				if scan.Order == audit.NewestFirst {
					row = rows[len(rows)-1-i]
				}
				e, err := g.read(int(row), scan.Bodies)
				if err != nil {
					return false, err
				}
				if last != nil && e.Time != last.Time && e.Time.Before(last.Time) != (scan.Order == audit.NewestFirst) {
					return false, errOrder
				}
				last = e
				if !yield(e, nil) {
					stopped = true
					return false, nil
				}
				if found++; found == scan.Limit {
					return false, nil
				}
			}
			return true, nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// matches looks in row groups, and gives to each, window by window, the rows of events that are meant. Rows of a
// window ascend; windows are in the order that is asked for.
func (s *Segment) matches(ctx context.Context, f *audit.Filter, order audit.Order, from, to int, each func(g *rowGroup, rows []int32) (more bool, err error)) error {
	room := make([]int32, 0, window)
	var before [columns]*reader
	for k := from; k < to; k++ {
		i := k
		if order == audit.NewestFirst {
			i = to - 1 - (k - from)
		}
		g := newRowGroup(&s.groups[i], i)
		g.before = before
		more, err := g.matches(ctx, f, order, room, each)
		g.done()
		before, g.before = g.readers, [columns]*reader{}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (g *rowGroup) matches(ctx context.Context, f *audit.Filter, order audit.Order, room []int32, each func(g *rowGroup, rows []int32) (more bool, err error)) (more bool, err error) {
	p, err := g.plan(f)
	if err != nil {
		return false, err
	}
	for p.low < p.high {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		rows, err := p.next(room, order)
		if err != nil {
			return false, err
		}
		if len(rows) == 0 {
			continue
		}
		if more, err := each(g, rows); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// plan is what is left to do of a row group: the rows from low to high.
type plan struct {
	low, high int
	tests     []test
}

// plan finds the rows of the time that is meant, and whether any can be meant at all.
func (g *rowGroup) plan(f *audit.Filter) (p plan, err error) {
	defer rescue(&err, "scan segment")
	p.high = g.of.rows
	if p.high == 0 {
		return p, nil
	}
	times := g.column(colTime)
	if !f.From.IsZero() {
		p.low = times.firstFrom(f.From)
	}
	if !f.To.IsZero() {
		p.high = times.firstFrom(f.To)
	}
	if p.low >= p.high {
		return plan{}, nil
	}
	p.tests = tests(g, f)
	for _, t := range p.tests {
		if t.never() {
			return plan{}, nil
		}
	}
	return p, nil
}

// firstFrom is the first row that is not before a time; the rows are in the order of it.
func (r *reader) firstFrom(t time.Time) int {
	// A time within a microsecond counts from the next one.
	at := t.UnixMicro()
	if t.After(microseconds(at)) {
		at++
	}
	low, high := 0, r.group.of.rows
	for low < high {
		middle := (low + high) / 2
		// The bounds of pages spare the pages in between.
		page := r.pageOf(middle)
		if b := r.bounds; page < len(b.min) && len(b.min[page]) == 8 && len(b.max[page]) == 8 && page != r.page {
			location := r.locations[page]
			if little64(b.max[page]) < at {
				low = location.first + location.rows
				continue
			}
			if little64(b.min[page]) >= at {
				high = location.first
				continue
			}
		}
		if v, _ := r.number(middle); v < at {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

func little64(b []byte) (v int64) {
	for i := range 8 {
		v |= int64(b[i]) << (8 * i)
	}
	return v
}

// next are the rows of the next window that are meant.
func (p *plan) next(room []int32, order audit.Order) (rows []int32, err error) {
	defer rescue(&err, "scan segment")
	from, to := p.low, min(p.low+window, p.high)
	if order == audit.NewestFirst {
		from, to = max(p.high-window, p.low), p.high
		p.high = from
	} else {
		p.low = to
	}
	rows = room[:0]
	for row := from; row < to; row++ {
		rows = append(rows, int32(row))
	}
	for _, t := range p.tests {
		if len(rows) == 0 {
			break
		}
		rows = t.keep(rows)
	}
	return rows, nil
}

func (g *rowGroup) read(row int, bodies bool) (e *audit.Event, err error) {
	defer rescue(&err, "scan segment")
	return g.event(row, bodies), nil
}
