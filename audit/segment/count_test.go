package segment_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// counters are how a test counts by a column.
var counters = map[string]func(e *audit.Event) []string{
	"verb":        func(e *audit.Event) []string { return []string{e.Verb} },
	"user_name":   func(e *audit.Event) []string { return []string{e.User} },
	"audit_id":    func(e *audit.Event) []string { return []string{e.ID} },
	"request_uri": func(e *audit.Event) []string { return []string{e.URI} },
	"decision":    func(e *audit.Event) []string { return []string{e.Decision()} },
	"code":        func(e *audit.Event) []string { return []string{fmt.Sprint(e.Code)} },
	"hour":        func(e *audit.Event) []string { return []string{e.Time.Truncate(time.Hour).Format(time.RFC3339)} },
	"day":         func(e *audit.Event) []string { return []string{e.Time.Format(time.DateOnly)} },
	"user_groups": func(e *audit.Event) []string { return distinct(e.Groups) },
	"source_ips":  func(e *audit.Event) []string { return distinct(e.SourceIPs) },
}

func distinct(all []string) []string {
	if len(all) == 0 {
		return []string{""}
	}
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

func TestCountsAsCountingDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	events := randomEvents(r, 9000)
	half, _, _ := write(t, events[:5000])
	rest, _, _ := write(t, events[5000:])
	names := []string{"verb", "user_name", "audit_id", "request_uri", "decision", "code", "hour", "day", "user_groups", "source_ips"}
	for range 60 {
		var by []string
		for range r.IntN(4) {
			by = append(by, names[r.IntN(len(names))])
		}
		filter := randomFilter(r, events)
		tally, err := segment.NewTally(by...)
		if err != nil {
			t.Fatal(err)
		}
		beside, err := segment.NewTally(by...)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tally.Add(context.Background(), half, filter), beside.Add(context.Background(), rest, filter)); err != nil {
			t.Fatal(err)
		}
		tally.Merge(beside)
		want := map[string]segment.Group{}
		for _, e := range events {
			if !filter.Matches(e) {
				continue
			}
			combinations := [][]string{nil}
			for _, name := range by {
				var next [][]string
				for _, c := range combinations {
					for _, v := range counters[name](e) {
						next = append(next, append(slices.Clone(c), v))
					}
				}
				combinations = next
			}
			for _, c := range combinations {
				g, ok := want[fmt.Sprintf("%q", c)]
				if !ok {
					g = segment.Group{Values: c, First: e.Time}
				}
				g.Events++
				g.Last = e.Time
				want[fmt.Sprintf("%q", c)] = g
			}
		}
		got := tally.Groups()
		if len(got) != len(want) {
			t.Fatalf("by %v: %d groups, not %d: %+v", by, len(got), len(want), filter)
		}
		for i, g := range got {
			w := want[fmt.Sprintf("%q", g.Values)]
			if len(by) == 0 {
				w.Values = g.Values
			}
			if !reflect.DeepEqual(g, w) || i > 0 && got[i-1].Events < g.Events {
				t.Fatalf("by %v: %+v, not %+v", by, g, w)
			}
		}
	}
	for _, bad := range []string{"", "time", "annotations", "user_extra", "stage_timestamp", "request_object", "nothing"} {
		if _, err := segment.NewTally(bad); err == nil {
			t.Errorf("counts by %q", bad)
		}
	}
}
