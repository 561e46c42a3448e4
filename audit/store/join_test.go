package store

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// shuffled are samples of which neighbours have changed places, as those of requests do
// that end at the same time.
func shuffled(from, to int) []*audit.Event {
	events := samples(from, to)
	for i := 0; i+5 < len(events); i += 3 {
		events[i], events[i+5] = events[i+5], events[i]
	}
	for i, e := range events {
		switch i % 11 {
		case 3:
			e.AsUser, e.AsGroups = "root", []string{"system:masters"}
		case 5:
			e.User, e.Annotations, e.Code = "", nil, 401
		case 7:
			e.Groups, e.SourceIPs, e.UserAgent = nil, nil, ""
		}
	}
	return events
}

// TestJoin compacts by copying, and finds what was there: the events, and in the catalog
// what it would have of the events.
func TestJoin(t *testing.T) {
	for _, joinEvents := range []int64{1, 1 << 15} {
		dir := t.TempDir() + "/s"
		s := mustOpen(t, dir, Options{SegmentEvents: 500, CompactEvents: 3500, joinEvents: joinEvents, SegmentAge: time.Hour})
		events := shuffled(0, 9000)
		for part := range slices.Chunk(events, 250) {
			mustAppend(t, s, part...)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		agree(t, s, events)
		before := len(s.manifest.live)
		if err := s.Upkeep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Upkeep(t.Context()); err != nil { // joins what is joined
			t.Fatal(err)
		}
		if after := len(s.manifest.live); before < 10 || after > 4 {
			t.Fatalf("%d segments became %d", before, after)
		}
		agree(t, s, events)
		intact(t, dir)
		groups := 0
		snapshot, err := s.catalog.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.manifest.live {
			opened, err := s.opened.get(l.Segment)
			if err != nil {
				t.Fatal(err)
			}
			groups += opened.RowGroups()
			s.opened.put(opened)
			want, err := s.summarize(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			n := numberOf(l.Segment)
			if got := s.facts[n]; !reflect.DeepEqual(*got, want.Facts) {
				t.Errorf("facts of %s:\n got %+v\nwant %+v", l.Segment, *got, want.Facts)
			}
			var got, counts []catalog.Count
			for c, err := range snapshot.Counts(t.Context(), map[uint64]bool{n: true}, nil, time.Time{}, time.Time{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, c)
			}
			for c := range snapshot.Counts(t.Context(), nil, []*catalog.Summary{want}, time.Time{}, time.Time{}) {
				counts = append(counts, c)
			}
			if !reflect.DeepEqual(got, counts) {
				t.Errorf("%d roll-ups of %s, want %d", len(got), l.Segment, len(counts))
			}
		}
		snapshot.Close()
		if joined := groups > len(s.manifest.live); joined != (joinEvents == 1) {
			t.Errorf("joinEvents %d: %d row groups in %d segments", joinEvents, groups, len(s.manifest.live))
		}
	}
}

// TestJoinRefusesWhatWasChanged does not vouch for a segment that is not what was sealed.
func TestJoinRefusesWhatWasChanged(t *testing.T) {
	dir := t.TempDir() + "/s"
	var log []string
	s := mustOpen(t, dir, Options{SegmentEvents: 500, joinEvents: 1, Log: func(m string) { log = append(log, m) }})
	mustAppend(t, s, samples(0, 500)...)
	mustAppend(t, s, samples(500, 1000)...)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := s.dir.segment(s.manifest.live[0].Segment)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[1000] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Upkeep(t.Context()); err == nil || !strings.Contains(err.Error(), s.manifest.live[0].Segment+" is not what was sealed") {
		t.Errorf("compacted: %v", err)
	}
	if len(s.manifest.live) != 2 || len(log) == 0 {
		t.Errorf("%d segments, told %q", len(s.manifest.live), log)
	}
}
