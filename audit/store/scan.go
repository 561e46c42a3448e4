package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// reading answers an audit.Reader's questions about views of a store.
type reading struct {
	dir    layout
	opened *opened
	names  int // Options.MaxNames
	// view is the store as it is now, and gaps what is missing in it, oldest first.
	view func() (*view, error)
	gaps func() ([]audit.Gap, error)
	// catalogNow is the catalog; nil where there is none.
	catalogNow func() *catalog.Catalog
}

// view is a store at one moment: each acknowledged event is in a part or a segment of it,
// or, while one becomes the other, in both.
type view struct {
	parts    []partView
	segments []segmentView
}

// segmentView is a segment, and what the catalog knows of it; nil for nothing.
type segmentView struct {
	chain.Link
	facts *catalog.Facts
}

func (v *view) has(name string) bool {
	return slices.ContainsFunc(v.segments, func(s segmentView) bool { return s.Segment == name })
}

// goneError says that the file of a segment is not there any more: retention or
// compaction came between the view and the reading.
type goneError struct {
	name string
	err  error
}

func (e *goneError) Error() string { return fmt.Sprintf("segment %s is missing: %v", e.name, e.err) }
func (e *goneError) Unwrap() error { return e.err }

// Scan implements audit.Reader. It sees the store as it was when the scan began; what
// retention deletes meanwhile may be missing. An error about a segment names it.
func (r *reading) Scan(ctx context.Context, s audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		if err := r.scan(ctx, s, yield); err != nil {
			yield(nil, fmt.Errorf("scan audit store: %w", err))
		}
	}
}

// scan looks at a view until a segment of it is gone, and then goes on behind the last
// event in another view.
func (r *reading) scan(ctx context.Context, s audit.Scan, yield func(*audit.Event, error) bool) error {
	left := s.Limit
	var alike []*audit.Event // the last that were yielded
	var gone *goneError
	for {
		v, err := r.view()
		if err != nil {
			return err
		}
		if gone != nil && v.has(gone.name) {
			return gone
		}
		gone = nil
		rest := s
		if len(alike) > 0 {
			if s.Order == audit.NewestFirst {
				rest.Filter.To = alike[0].Time.Add(time.Microsecond)
			} else {
				rest.Filter.From = alike[0].Time
			}
		}
		if left > 0 {
			rest.Limit = left + len(alike)
		}
		for e, err := range r.merged(v, rest).all(ctx) {
			if errors.As(err, &gone) {
				break
			}
			if err != nil {
				return err
			}
			if len(alike) > 0 {
				if c := audit.Compare(e, alike[0]); c == 0 && twice(alike, e) || c != 0 && (c < 0) == (s.Order == audit.OldestFirst) {
					continue
				}
			}
			alike = append(among(alike, e), e)
			if !yield(e, nil) {
				return nil
			}
			if left--; left == 0 {
				return nil
			}
		}
		if gone == nil {
			return nil
		}
	}
}

// merged are the sources of a view that can have what is meant.
func (r *reading) merged(v *view, s audit.Scan) *merge {
	m := &merge{newest: s.Order == audit.NewestFirst}
	for i := range v.parts {
		m.sources = append(m.sources, v.parts[i].sources(s)...)
	}
	for _, segment := range v.segments {
		if segment.Rows > 0 && overlaps(segment.First, segment.Last, &s.Filter) && (segment.facts == nil || segment.facts.May(&s.Filter)) {
			m.sources = append(m.sources, r.segmentSource(segment.Link, s))
		}
	}
	m.sort(m.sources)
	return m
}

func overlaps(first, last time.Time, f *audit.Filter) bool {
	return (f.From.IsZero() || !last.Before(f.From)) && (f.To.IsZero() || first.Before(f.To))
}

// openSegment opens a segment, which is to be put back. One that is not there any more is a
// *goneError.
func (r *reading) openSegment(name string) (*openSegment, error) {
	s, err := r.opened.get(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = &goneError{name, err}
	}
	return s, err
}

// damagedError says which segment cannot be read, where nobody gave up reading it.
func damagedError(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("segment %s cannot be read; `gatehouse audit repair` sets it aside: %w", name, err)
}

// segmentSource is a segment. Its row groups are read side by side.
func (r *reading) segmentSource(l chain.Link, s audit.Scan) *source {
	whole := func(s *segment.Segment) segment.Part { return segment.Part{Scan: s.Scan} }
	from := r.partSource(l, s, whole)
	from.first, from.last = l.First, l.Last
	from.parts = func() ([]*source, error) {
		opened, err := r.openSegment(l.Segment)
		if err != nil {
			return nil, err
		}
		defer r.opened.put(opened)
		var parts []*source
		for i, p := range opened.Parts() {
			if !overlaps(p.First, p.Last, &s.Filter) {
				continue
			}
			part := r.partSource(l, s, func(s *segment.Segment) segment.Part { return s.Parts()[i] })
			part.first, part.last = p.First, p.Last
			parts = append(parts, part)
		}
		return parts, nil
	}
	return from
}

// partSource is a part of a segment, which is open while it is read.
func (r *reading) partSource(l chain.Link, s audit.Scan, part func(*segment.Segment) segment.Part) *source {
	ahead := eventsAhead
	if s.Bodies {
		ahead = bodiesAhead
	}
	return &source{ahead: ahead, open: func(ctx context.Context) iter.Seq2[*audit.Event, error] {
		return func(yield func(*audit.Event, error) bool) {
			opened, err := r.openSegment(l.Segment)
			if err != nil {
				yield(nil, err)
				return
			}
			defer r.opened.put(opened)
			for e, err := range part(opened.Segment).Scan(ctx, s) {
				if err != nil {
					err = damagedError(ctx, l.Segment, err)
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}}
}

// sources are one for the part, where it has what is meant.
func (v *partView) sources(s audit.Scan) []*source {
	oldest, newest, any := v.span()
	if !any || !overlaps(oldest, newest, &s.Filter) {
		return nil
	}
	return []*source{{first: oldest, last: newest, open: func(context.Context) iter.Seq2[*audit.Event, error] { return v.scan(&s) }}}
}

// span is when the oldest and the newest event of the part were.
func (v *partView) span() (oldest, newest time.Time, any bool) {
	for i := range v.chunks {
		first, last := micro(v.chunks[i].oldest), micro(v.chunks[i].newest)
		if !any || first.Before(oldest) {
			oldest = first
		}
		if !any || last.After(newest) {
			newest = last
		}
		any = true
	}
	return oldest, newest, any
}

// Span implements audit.Reader.
func (r *reading) Span(context.Context) (oldest, newest time.Time, err error) {
	v, err := r.view()
	if err != nil {
		return oldest, newest, fmt.Errorf("read audit store: %w", err)
	}
	oldest, newest = v.span()
	return oldest, newest, nil
}

// span is when the oldest and the newest event were.
func (v *view) span() (oldest, newest time.Time) {
	any := false
	widen := func(first, last time.Time) {
		if !any || first.Before(oldest) {
			oldest = first
		}
		if !any || last.After(newest) {
			newest = last
		}
		any = true
	}
	for i := range v.parts {
		if first, last, some := v.parts[i].span(); some {
			widen(first, last)
		}
	}
	for _, s := range v.segments {
		if s.Rows > 0 {
			widen(s.First, s.Last)
		}
	}
	return oldest, newest
}

// Gaps implements audit.Reader.
func (r *reading) Gaps(_ context.Context, from, to time.Time) (found []audit.Gap, err error) {
	all, err := r.gaps()
	if err != nil {
		return nil, fmt.Errorf("read audit store: %w", err)
	}
	for _, g := range all {
		if g.Overlaps(from, to) {
			found = append(found, g)
		}
	}
	return found, nil
}
