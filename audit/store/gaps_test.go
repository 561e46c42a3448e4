package store

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// TestAddGap: a gap that somebody else knows of is told at once, and after a restart.
func TestAddGap(t *testing.T) {
	dir := t.TempDir() + "/s"
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	want := []audit.Gap{
		{Start: at, End: at.Add(time.Minute), Count: 3, Reason: audit.GapUnreadable},
		{Start: at.Add(time.Hour), End: at.Add(time.Hour), Count: 1, Reason: audit.GapUnreadable},
	}
	s := mustOpen(t, dir, Options{})
	for _, g := range want {
		s.AddGap(g)
	}
	want[1].End = want[1].End.Add(time.Microsecond)
	same := func(when string, r audit.Reader) {
		t.Helper()
		got, err := r.Gaps(t.Context(), time.Time{}, time.Time{})
		if err != nil || !slices.EqualFunc(got, want, func(a, b audit.Gap) bool {
			return a.Start.Equal(b.Start) && a.End.Equal(b.End) && a.Count == b.Count && a.Reason == b.Reason
		}) {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	same("at once", s)
	mustAppend(t, s, samples(0, 10)...)
	same("beside events", s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	same("after a restart", s)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	same("sealed", s)
	if got, err := s.Gaps(t.Context(), at.Add(2*time.Minute), at.Add(time.Hour)); err != nil || len(got) != 0 {
		t.Errorf("between them: %v, %v", got, err)
	}
}
