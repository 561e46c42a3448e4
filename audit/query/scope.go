package query

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Scoped is a Reader of the events of one namespace alone: those whose objectRef is in
// it, which the object of the namespace itself is too. Of no other event it tells
// anything, whatever a filter says. An empty namespace has no events.
//
// Gaps are those of the whole store, since it is not known what was lost in them.
//
// One that tallies goes on to.
func Scoped(r audit.Reader, namespace string) audit.Reader {
	s := &scoped{r, namespace}
	if t, ok := r.(audit.Tallier); ok {
		return &scopedTallier{s, t}
	}
	return s
}

type scoped struct {
	of        audit.Reader
	namespace string
}

// narrow makes a filter one of the namespace; false where it has nothing that is meant.
func (s *scoped) narrow(f *audit.Filter) bool {
	// A name with a * would be a pattern of the filter.
	if s.namespace == "" || strings.Contains(s.namespace, "*") || !meant(f.Namespaces, s.namespace) {
		return false
	}
	f.Namespaces = []string{s.namespace}
	return true
}

// scopedTallier is a scoped that counts.
type scopedTallier struct {
	*scoped
	of audit.Tallier
}

// Tally implements audit.Tallier.
func (s *scopedTallier) Tally(ctx context.Context, f audit.Filter, by audit.Fields, start func() func(audit.Tallied)) error {
	if !s.narrow(&f) {
		return nil
	}
	return s.of.Tally(ctx, f, by, start)
}

// Scan implements audit.Reader.
func (s *scoped) Scan(ctx context.Context, scan audit.Scan) iter.Seq2[*audit.Event, error] {
	return func(yield func(*audit.Event, error) bool) {
		if !s.narrow(&scan.Filter) {
			return
		}
		for e, err := range s.of.Scan(ctx, scan) {
			if err == nil && e.Namespace != s.namespace {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Requests implements audit.Reader.
func (s *scoped) Requests(ctx context.Context, from, to time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		for r, err := range s.of.Requests(ctx, from, to) {
			if err == nil && (s.namespace == "" || r.Namespace != s.namespace) {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Gaps implements audit.Reader.
func (s *scoped) Gaps(ctx context.Context, from, to time.Time) ([]audit.Gap, error) {
	return s.of.Gaps(ctx, from, to)
}

// Span implements audit.Reader: of the namespace's events.
func (s *scoped) Span(ctx context.Context) (oldest, newest time.Time, err error) {
	for _, order := range []audit.Order{audit.OldestFirst, audit.NewestFirst} {
		for e, err := range s.Scan(ctx, audit.Scan{Order: order, Limit: 1}) {
			if err != nil {
				return time.Time{}, time.Time{}, err
			}
			if order == audit.OldestFirst {
				oldest = e.Time
			} else {
				newest = e.Time
			}
		}
	}
	return oldest, newest, nil
}

// meant reports whether one of the patterns means a value, or whether there is none.
func meant(patterns []string, value string) bool {
	for _, p := range patterns {
		if audit.MatchesText(p, value) {
			return true
		}
	}
	return len(patterns) == 0
}
