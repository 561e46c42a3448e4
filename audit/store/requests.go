package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// Requests implements audit.Reader. Those of segments come from the catalog, which keeps
// them by the hour; a segment that it lacks is read.
func (r *reading) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		if err := r.requests(ctx, from, to, yield); err != nil {
			yield(nil, fmt.Errorf("read distinct requests of audit store: %w", err))
		}
	}
}

func (r *reading) requests(ctx context.Context, from, to time.Time, yield func(*audit.Request, error) bool) error {
	var before *goneError
	for {
		v, err := r.view()
		if err != nil {
			return err
		}
		if before != nil && v.has(before.name) {
			return before
		}
		snapshot, err := r.catalogSnapshot(ctx)
		if err != nil {
			return err
		}
		sources, err := r.requestSources(ctx, v, snapshot, from, to)
		if errors.As(err, &before) {
			snapshot.Close()
			continue
		}
		if err == nil {
			for request, mergeErr := range catalog.Merge(sources, from, to, r.names) {
				if err = mergeErr; err == nil {
					err = context.Cause(ctx)
				}
				if err != nil || !yield(request, nil) {
					break
				}
			}
		}
		snapshot.Close()
		return err
	}
}

func (r *reading) catalogSnapshot(ctx context.Context) (*catalog.Snapshot, error) {
	if c := r.catalogNow(); c != nil {
		snapshot, err := c.Snapshot(ctx)
		if err == nil || ctx.Err() != nil {
			return snapshot, err
		}
	}
	return nil, nil // everything is read
}

func (r *reading) requestSources(ctx context.Context, v *view, snapshot *catalog.Snapshot, from, to time.Time) (sources []catalog.Source, err error) {
	f := audit.Filter{From: from, To: to}
	for _, s := range v.segments {
		switch n := numberOf(s.Segment); {
		case s.Rows == 0 || !overlaps(s.First, s.Last, &f):
		case snapshot.Has(n):
			sources = append(sources, snapshot.Requests(ctx, n))
		default:
			summary, err := r.summarize(ctx, s.Link)
			if err != nil {
				return nil, err
			}
			sources = append(sources, summary.Entries())
		}
	}
	for i := range v.parts {
		summary, err := r.summarizePart(ctx, v, i, f)
		if err != nil {
			return nil, err
		}
		sources = append(sources, summary.Entries())
	}
	return sources, nil
}

// summarizePart is what the catalog would have of a part, once it is sealed.
func (r *reading) summarizePart(ctx context.Context, v *view, part int, f audit.Filter) (*catalog.Summary, error) {
	b := catalog.NewBuilder(r.names)
	for e, err := range r.unsealed(ctx, &v.parts[part], v.segments, audit.Scan{Filter: f}) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		b.Add(e)
	}
	return b.Finish(), nil
}

// Counts are hourly roll-ups of a time, in the order of hours: how many events of a verb,
// resource, namespace, class of status and decision there were. What is not sealed yet is
// counted too; the first and the last hour are whole.
func (r *reading) Counts(ctx context.Context, from, to time.Time) iter.Seq2[catalog.Count, error] {
	return func(yield func(catalog.Count, error) bool) {
		fail := func(err error) { yield(catalog.Count{}, fmt.Errorf("count events of audit store: %w", err)) }
		v, err := r.view()
		if err != nil {
			fail(err)
			return
		}
		if !from.IsZero() {
			from = from.UTC().Truncate(time.Hour)
		}
		if !to.IsZero() {
			to = to.UTC().Add(time.Hour - 1).Truncate(time.Hour)
		}
		snapshot, err := r.catalogSnapshot(ctx)
		if err != nil {
			fail(err)
			return
		}
		defer snapshot.Close()
		numbers := map[uint64]bool{}
		f := audit.Filter{From: from, To: to}
		var beside []*catalog.Summary
		for _, s := range v.segments {
			switch n := numberOf(s.Segment); {
			case s.Rows == 0 || !overlaps(s.First, s.Last, &f):
			case snapshot.Has(n):
				numbers[n] = true
			default:
				summary, err := r.summarize(ctx, s.Link)
				if err != nil {
					fail(err)
					return
				}
				beside = append(beside, summary)
			}
		}
		for i := range v.parts {
			summary, err := r.summarizePart(ctx, v, i, f)
			if err != nil {
				fail(err)
				return
			}
			beside = append(beside, summary)
		}
		for n, err := range snapshot.Counts(ctx, numbers, beside, from, to) {
			if err != nil {
				fail(err)
				return
			}
			if !yield(n, nil) {
				return
			}
		}
	}
}
