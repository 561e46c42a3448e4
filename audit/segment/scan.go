package segment

import (
	"context"
	"fmt"
	"iter"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Scan yields the events that are meant, in order. After an error there is nothing more.
// An Event that was yielded stays valid, and is not to be changed; those of one scan
// share texts.
func (s *Segment) Scan(ctx context.Context, scan audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		more := true
		err := s.scan(ctx, &scan, func(e *audit.Event) bool {
			more = yield(e, nil)
			return more
		})
		if err != nil && more {
			yield(nil, err)
		}
	}
}

func (s *Segment) scan(ctx context.Context, scan *audit.Scan, yield func(*audit.Event) bool) error {
	found := 0
	for i := range s.groups {
		if scan.Order == audit.NewestFirst {
			i = len(s.groups) - 1 - i
		}
		g := newRowGroup(&s.groups[i], i)
		for row := range s.groups[i].rows {
			if scan.Order == audit.NewestFirst {
				row = s.groups[i].rows - 1 - row
			}
			if row%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			e, err := s.event(g, row, scan.Bodies)
			if err != nil {
				return err
			}
			if !scan.Filter.Matches(e) {
				continue
			}
			if !yield(e) {
				return nil
			}
			if found++; found == scan.Limit {
				return nil
			}
		}
	}
	return nil
}

func (s *Segment) event(g *rowGroup, row int, bodies bool) (e *audit.Event, err error) {
	defer rescue(&err, "scan segment")
	return g.event(row, bodies), nil
}

// Keys yields the key of each event, in order.
func (s *Segment) Keys(ctx context.Context) iter.Seq2[audit.Key, error] {
	return func(yield func(audit.Key, error) bool) {
		for i := range s.groups {
			g := newRowGroup(&s.groups[i], i)
			for row := range s.groups[i].rows {
				if row%1024 == 0 && ctx.Err() != nil {
					yield(audit.Key{}, ctx.Err())
					return
				}
				key, err := g.key(row)
				if err != nil {
					yield(audit.Key{}, fmt.Errorf("read keys: %w", err))
					return
				}
				if !yield(key, nil) {
					return
				}
			}
		}
	}
}

func (g *rowGroup) key(row int) (k audit.Key, err error) {
	defer rescue(&err, "row")
	k.ID, _ = g.column(colID).text(row)
	k.Stage, _ = g.column(colStage).text(row)
	return k, nil
}
