package replay

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// What is made of reduced events is what is made of the events, but for the distinct
// requests, which a Memory does not tell from events.
func TestReducedIsTheSame(t *testing.T) {
	c := newChance(12)
	before, after := c.world(40), c.world(40)
	events := c.recorded(3000, before.upstream())
	reduced := &Reduced{}
	reduced.Add(events[:2000]...)
	reduced.Add(events[1000:]...)
	if read, repeated := reduced.Counts(); read != 4000 || repeated != 1000 {
		t.Errorf("%d read, %d repeated", read, repeated)
	}
	show := func(reader audit.Reader) string {
		report, err := Run(context.Background(), reader, Options{Current: World{View: before.view()}, Proposed: World{View: after.view()}})
		if err != nil {
			t.Fatal(err)
		}
		for _, tally := range []*Tally{&report.Seen, &report.Judged, &report.Refused, &report.Allowed, &report.Impersonated, &report.Consistency.Recorded, &report.Consistency.Reproduced, &report.Consistency.Gained, &report.Consistency.Lost} {
			tally.Distinct = 0
		}
		for i := range report.Flips {
			report.Flips[i].Distinct = 0
		}
		data, _ := json.Marshal(report)
		return string(data)
	}
	if got, want := show(reduced), show(memory(events)); got != want {
		t.Errorf("reduced\n%s\nevents\n%s", got, want)
	}
	n := 0
	for range reduced.Requests(context.Background(), time.Time{}, time.Time{}) {
		n++
	}
	if n >= 2900 || n < 500 {
		t.Errorf("%d distinct requests of 3000 events", n)
	}
}

func TestReducedIsBounded(t *testing.T) {
	reduced := &Reduced{MaxRequests: 100}
	events := benchEvents(5000)
	for i, e := range events {
		e.User, e.Groups = "jane", nil
		if i%10 == 0 {
			e.Resource, e.URI = "", "/a/"+e.Name
		}
	}
	reduced.Add(events...)
	named, omitted, requests := 0, 0, int64(0)
	for r, err := range reduced.Requests(context.Background(), time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if requests += r.Count; r.NameOmitted {
			omitted++
		} else {
			named++
		}
	}
	gaps, _ := reduced.Gaps(context.Background(), time.Time{}, time.Time{})
	if named != 100 || omitted != 100 || len(gaps) != 1 || gaps[0].Reason != GapBound || requests+gaps[0].Count != 5000 {
		t.Errorf("%d named, %d omitted, %d requests, gaps %+v", named, omitted, requests, gaps)
	}
}

func TestReducedHasBounds(t *testing.T) {
	events := benchEvents(10)
	reduced := &Reduced{From: events[2].Time, To: events[8].Time}
	reduced.Add(events...)
	if read, _ := reduced.Counts(); read != 6 {
		t.Errorf("%d read", read)
	}
	if oldest, newest, _ := reduced.Span(context.Background()); !oldest.Equal(events[2].Time) || !newest.Equal(events[7].Time) {
		t.Errorf("%v to %v", oldest, newest)
	}
	for _, err := range reduced.Scan(context.Background(), audit.Scan{}) {
		if err == nil {
			t.Error("it has events")
		}
	}
}
