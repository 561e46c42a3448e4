package events_test

import (
	"reflect"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

func TestSameSeedSameEvents(t *testing.T) {
	const n = 20_000
	var first []*audit.Event
	seen, users, bodies := map[audit.Identity]bool{}, map[string]int{}, 0
	for e := range events.Stream(events.Options{Seed: 1, Count: n}) {
		if len(first) > 0 && audit.Compare(first[len(first)-1], e) >= 0 {
			t.Fatalf("event %d is not behind the one before", len(first))
		}
		if seen[e.Identity()] {
			t.Fatalf("event %d: %v comes twice", len(first), e.Identity())
		}
		seen[e.Identity()] = true
		users[e.User]++
		if e.Request != nil {
			bodies++
		}
		first = append(first, e)
	}
	i := 0
	for e := range events.Stream(events.Options{Seed: 1, Count: n}) {
		if !reflect.DeepEqual(e, first[i]) {
			t.Fatalf("event %d differs the second time", i)
		}
		i++
	}
	if len(first) != n || i != n || len(users) < 300 || bodies < n/1000 {
		t.Errorf("%d events of %d users, %d with bodies", len(first), len(users), bodies)
	}
}

func BenchmarkStream(b *testing.B) {
	for range events.Stream(events.Options{Count: b.N}) {
	}
}
