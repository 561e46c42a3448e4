package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gatehouse-io/gatehouse/audit"
)

var (
	_ audit.Tallier = (*Store)(nil)
	_ audit.Tallier = (*Reader)(nil)
)

// Tally implements audit.Tallier. Segments are counted by their columns, side by side; an
// event that is sealed is in one of them. What is not sealed yet is counted event by event.
func (r *reading) Tally(ctx context.Context, f audit.Filter, by audit.Fields, start func() func(audit.Tallied)) error {
	var gone *goneError
	for {
		v, err := r.view()
		if err == nil && gone != nil && v.has(gone.name) {
			err = gone
		}
		if err == nil {
			if err = r.tally(ctx, v, f, by, start()); errors.As(err, &gone) {
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("count events of audit store: %w", err)
		}
		return nil
	}
}

func (r *reading) tally(ctx context.Context, v *view, f audit.Filter, by audit.Fields, add func(audit.Tallied)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	locked := func(t audit.Tallied) {
		mu.Lock()
		defer mu.Unlock()
		add(t)
	}
	var workers sync.WaitGroup
	segments := make(chan segmentView)
	for range readAhead() {
		workers.Go(func() {
			for s := range segments {
				if err := r.tallySegment(ctx, s, f, by, locked); err != nil {
					cancel(err) // the first is the one that is told
				}
			}
		})
	}
	for _, s := range v.segments {
		if s.Rows > 0 && overlaps(s.First, s.Last, &f) && (s.facts == nil || s.facts.May(&f)) && ctx.Err() == nil {
			segments <- s
		}
	}
	close(segments)
	for i := range v.parts {
		for e, err := range r.unsealed(ctx, &v.parts[i], v.segments, audit.Scan{Filter: f}) {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				cancel(err)
				break
			}
			locked(audit.Tallied{Event: e, Count: 1, First: e.Time, Last: e.Time})
		}
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (r *reading) tallySegment(ctx context.Context, s segmentView, f audit.Filter, by audit.Fields, add func(audit.Tallied)) error {
	opened, err := r.openSegment(s.Segment)
	if err != nil {
		return err
	}
	defer r.opened.put(opened)
	if err := opened.Tally(ctx, f, by, add); err != nil {
		return damagedError(ctx, s.Segment, err)
	}
	return nil
}
