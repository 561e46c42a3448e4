package query_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

// some are random events of few values, so that many of them match.
func some(r *rand.Rand, n int) (events []*audit.Event) {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for i := range n {
		e := &audit.Event{
			ID: fmt.Sprint(i), Stage: audit.StageComplete, Time: start.Add(time.Duration(r.IntN(50)) * time.Second),
			User: pick("jane", "bob", "*", "a\x00b", ""), Verb: pick("get", "list", "delete"),
			Resource: pick("pods", "secrets", "namespaces", ""), Namespace: pick("shop", "other", "", "*"), Name: pick("a", "b", ""),
			Code: int32(200 + r.IntN(3)*100), SourceIPs: []string{pick("1.1.1.1", "2.2.2.2")},
			Groups: []string{pick("g1", "g2"), pick("g2", "g3")}[:r.IntN(3)],
		}
		events = append(events, e)
	}
	return events
}

func collect(t testing.TB, q query.Query, r audit.Reader) (found []*audit.Event) {
	t.Helper()
	var u query.Unjudged
	for e, err := range q.Run(context.Background(), r, &u) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, e)
	}
	if u.Count > 0 {
		t.Fatalf("%d unjudged: %v", u.Count, u.First)
	}
	return found
}

// TestRunEqualsNaive asks in pages and in one go, with conditions as filters and as CEL.
func TestRunEqualsNaive(t *testing.T) {
	condition := where(t, `event.user.username == "jane" || event.responseStatus.code == 400`)
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := some(r, r.IntN(120))
		var memory audit.Memory
		memory.Add(events...)
		q := query.Query{Order: audit.Order(r.IntN(2)), Filter: audit.Filter{Verbs: []string{"get", "list"}}}
		if r.IntN(2) == 0 {
			q.Where = condition
		}
		if r.IntN(2) == 0 {
			q.Filter.From, q.Filter.To = start.Add(10*time.Second), start.Add(40*time.Second)
		}
		var want []*audit.Event
		for _, e := range events {
			if q.Filter.Matches(e) && (q.Where == nil || e.User == "jane" || e.Code == 400) {
				want = append(want, e)
			}
		}
		slices.SortFunc(want, audit.Compare)
		if q.Order == audit.NewestFirst {
			slices.Reverse(want)
		}
		if got := collect(t, q, &memory); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d events, want %d", seed, len(got), len(want))
		}
		var paged []*audit.Event
		for q.Limit = 1 + r.IntN(7); ; {
			page := collect(t, q, &memory)
			paged = append(paged, page...)
			if len(page) < q.Limit {
				break
			}
			var err error
			if q.After, err = query.ParseCursor(query.CursorOf(page[len(page)-1]).String()); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(paged, want) {
			t.Fatalf("seed %d: %d events in pages of %d, want %d", seed, len(paged), q.Limit, len(want))
		}
	}
}

func TestUnjudged(t *testing.T) {
	var memory audit.Memory
	memory.Add(some(rand.New(rand.NewPCG(1, 1)), 10)...)
	q := query.Query{Where: where(t, `event.annotations["x"] == "y"`)}
	var u query.Unjudged
	for range q.Run(context.Background(), &memory, &u) {
		t.Error("it matches")
	}
	if u.Count != 10 || u.First == nil {
		t.Errorf("%+v", u)
	}
}

func TestParseCursor(t *testing.T) {
	for _, token := range []string{"x", "!", "W10", "WzEsMl0", "bnVsbA", strings.Repeat("A", 1000)} {
		if _, err := query.ParseCursor(token); err == nil {
			t.Errorf("%.20s is a cursor", token)
		}
	}
	if c, err := query.ParseCursor(""); err != nil || !c.IsZero() {
		t.Errorf("%v, %v", c, err)
	}
}

// FuzzScoped: whatever is asked of one namespace, nothing of another is told.
func FuzzScoped(f *testing.F) {
	f.Add("shop", "*", "", `true`, uint64(1))
	f.Add("*", "other", "pods", `event.objectRef.namespace != "shop"`, uint64(2))
	f.Add("", "", "namespaces", `event.requestObject == null`, uint64(3))
	f.Add("sh*", "shop", "*", `event.annotations["x"] == ""`, uint64(4))
	env, err := celevent.NewEnv(celevent.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, namespace, asked, resource, expression string, seed uint64) {
		var memory audit.Memory
		events := some(rand.New(rand.NewPCG(seed, 2)), 60)
		memory.Add(events...)
		allowed := 0
		for _, e := range events {
			if e.Namespace == namespace && namespace != "" {
				allowed++
			}
		}
		reader := query.Scoped(&memory, namespace)
		q := query.Query{Filter: audit.Filter{Namespaces: []string{asked, "*"}}}
		if resource != "" {
			q.Filter.Resources = []string{resource}
		}
		if p, err := env.Compile(expression, celevent.Bool); err == nil {
			q.Where = p
		}
		var u query.Unjudged
		found := 0
		for e, err := range q.Run(context.Background(), reader, &u) {
			if err != nil {
				t.Fatal(err)
			}
			if found++; e.Namespace != namespace || namespace == "" {
				t.Fatalf("asked in %q: an event of %q", namespace, e.Namespace)
			}
		}
		if found+int(u.Count) > allowed {
			t.Fatalf("%d found and %d not judged of %d", found, u.Count, allowed)
		}
		for r, err := range reader.Requests(context.Background(), time.Time{}, time.Time{}) {
			if err != nil || r.Namespace != namespace || namespace == "" {
				t.Fatalf("a request of %q, %v", r.Namespace, err)
			}
		}
		oldest, newest, err := reader.Span(context.Background())
		if err != nil || (oldest.IsZero() || newest.IsZero()) != (allowed == 0 || strings.Contains(namespace, "*")) {
			t.Fatalf("span %v %v %v of %d", oldest, newest, err, allowed)
		}
	})
}

func TestTail(t *testing.T) {
	clock := clocktesting.NewFakeClock(start)
	var memory audit.Memory
	memory.Add(&audit.Event{ID: "before", Time: start.Add(-time.Hour)})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got []string
	q := query.Query{}
	step := 0
	// advance moves on when the tail waits.
	advance := make(chan func())
	go func() {
		for f := range advance {
			for !clock.HasWaiters() {
				time.Sleep(time.Millisecond)
			}
			f()
			clock.Step(time.Second)
		}
	}()
	add := func(id string, at time.Duration) func() {
		return func() { memory.Add(&audit.Event{ID: id, Time: start.Add(at)}) }
	}
	advance <- add("first", time.Second)
	for n, err := range q.Tail(ctx, &memory, query.TailOptions{Clock: clock, Late: 10 * time.Second}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		if n.Gap != nil {
			got = append(got, "gap "+n.Gap.Reason)
		} else {
			got = append(got, n.Event.ID)
		}
		switch step++; step {
		case 1:
			advance <- add("late", 500*time.Millisecond) // older than what was told already
		case 2:
			// The audit ID is the client's to choose, so it alone makes nothing known.
			advance <- func() {
				memory.AddGap(audit.Gap{Start: start.Add(time.Second), End: start.Add(2 * time.Second), Reason: audit.GapDropped})
			}
		case 3:
			advance <- add("last", 3*time.Second)
		case 4:
			close(advance)
			cancel()
		}
	}
	if want := "first late gap dropped last"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestTimeline(t *testing.T) {
	l := &log{}
	rollout(l, false)
	l.event(60, "bob create pods/exec shop/"+pod+" 101", func(e *audit.Event) { e.Stage = audit.StageStarted })
	exec := l.event(90, "bob create pods/exec shop/"+pod+" 101")
	exec.ID, exec.URI = "id-008", "/x/pods/exec/shop/"+pod
	// The same ID, chosen by a client, for another request.
	l.event(95, "eve delete pods shop/x", func(e *audit.Event) { e.ID = "id-008" })
	l.AddGap(audit.Gap{Start: start.Add(30 * time.Second), End: start.Add(40 * time.Second), Count: 7, Reason: audit.GapDropped})
	show := func(o query.TimelineOptions) string {
		timeline, err := query.TimelineOf(context.Background(), l, o)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, lane := range timeline.Lanes {
			line := lane.Name + ":"
			for _, e := range lane.Events {
				line += " " + e.User[strings.LastIndexByte(e.User, ':')+1:] + "/" + e.Verb
			}
			lines = append(lines, line)
		}
		return fmt.Sprintf("%s\ngaps %d more %v", strings.Join(lines, "\n"), len(timeline.Gaps), timeline.More)
	}
	object := query.Object{Resource: "pods", Namespace: "shop", Name: pod}
	if got, want := show(query.TimelineOptions{Objects: []query.Object{object}}), "pods shop/"+pod+": kube-scheduler/create n1/patch bob/create\ngaps 1 more false"; got != want {
		t.Errorf("of an object:\n%s\nwant\n%s", got, want)
	}
	if got, want := show(query.TimelineOptions{By: query.ByUser, Filter: audit.Filter{From: start.Add(50 * time.Second)}}), "bob: bob/create\neve: eve/delete\ngaps 0 more false"; got != want {
		t.Errorf("by user:\n%s\nwant\n%s", got, want)
	}
	if got, want := show(query.TimelineOptions{Limit: 2}), "pods shop/"+pod+": bob/create\npods shop/x: eve/delete\ngaps 0 more true"; got != want {
		t.Errorf("limited:\n%s\nwant\n%s", got, want)
	}
	if _, err := query.TimelineOf(context.Background(), l, query.TimelineOptions{By: "x"}); err == nil {
		t.Error("lanes by x")
	}
}
