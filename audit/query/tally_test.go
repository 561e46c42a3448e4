package query_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

// strange is an event of which each field is set, empty, unknown or hostile.
func strange(r *rand.Rand, i int) *audit.Event {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	list := func(of ...string) (all []string) {
		for range r.IntN(4) {
			all = append(all, pick(of...))
		}
		return all
	}
	e := &audit.Event{
		ID: fmt.Sprintf("id-%d", i), Stage: pick(audit.StageComplete, audit.StageComplete, audit.StageStarted, audit.StageReceived), Level: pick("Metadata", "Request"),
		Time: start.Add(time.Duration(i)*40*time.Second + time.Duration(r.IntN(90))*time.Second), Verb: pick("get", "list", "watch", "delete", ""),
		URI: "/api/v1/" + pick("pods", "secrets") + "/" + pick("a", "b", "") + pick("", "?labelSelector=x", "?token=abc", "?"), User: pick("jane", "ci", "", "\x1b[31m"),
		Groups: list("dev", "ops", "", "system:authenticated", strings.Repeat("g", 300)), UserAgent: pick("kubectl", "", strings.Repeat("ä", 200)),
		SourceIPs: list("10.0.0.1", "10.0.0.2", ""), APIGroup: pick("", "apps"), Resource: pick("pods", "secrets", "deployments", ""), Subresource: pick("", "", "scale"),
		Namespace: pick("shop", "web", ""), Name: pick("a", "b", "", "c/d"), Code: int32([]int{0, 200, 403, 404}[r.IntN(4)]), Source: pick("serve", "gke"),
		Unknown: slices.Compact(slices.Sorted(slices.Values(list(audit.UnknownGroups, audit.UnknownCode, audit.UnknownDecision, audit.UnknownUserAgent)))),
	}
	if r.IntN(3) == 0 {
		e.AsUser, e.AsGroups = pick("root", "jane"), list("system:masters")
	}
	for range r.IntN(3) {
		if e.Annotations == nil {
			e.Annotations = map[string]string{}
		}
		e.Annotations[pick(audit.AnnotationDecision, audit.AnnotationReason, "x")] = pick("allow", "forbid", "")
	}
	return e
}

func someFilter(r *rand.Rand, events []*audit.Event) (f audit.Filter) {
	some := func(to *[]string, of ...string) {
		if r.IntN(7) == 0 {
			*to = append(*to, of[r.IntN(len(of))])
		}
	}
	some(&f.Users, "jane", "root", "*", "nobody", "")
	some(&f.Groups, "dev", "system:*", "")
	some(&f.Verbs, "get", "l*", "none")
	some(&f.Resources, "secrets", "pods/*", "deployments.apps", "")
	some(&f.Namespaces, "shop", "", "*e*")
	some(&f.Codes, "4xx", "200")
	some(&f.Decisions, "forbid", "")
	if r.IntN(5) == 0 {
		f.URIContains = "labelSelector"
	}
	if r.IntN(3) == 0 {
		f.From = events[r.IntN(len(events))].Time
	}
	if r.IntN(3) == 0 {
		f.To = events[r.IntN(len(events))].Time
	}
	return f
}

// TestTallyEqualsScan counts by every field, and by several, in a store whose events are
// in segments, in segments that were joined, in parts that wait, in the open part, and
// twice in several of them; and the same events one by one. The answers are equal.
func TestTallyEqualsScan(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir() + "/s"
	s, err := store.Open(dir, store.Options{SyncEvery: store.DefaultSyncEvery, SegmentEvents: 130})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	redactor := redact.New(redact.Options{Key: []byte("key")})
	memory := &audit.Memory{}
	var events []*audit.Event
	for i := range 2000 {
		e := strange(r, i)
		redactor.Event(e)
		events = append(events, e)
	}
	memory.Add(events...)
	add := func(part []*audit.Event) {
		if err := s.Append(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	for part := range slices.Chunk(events[:1500], 50) {
		add(part)
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(events[1500:1600])
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(events[1400:1700]) // a part of it is sealed already
	add(events[1650:])
	beside, err := store.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	names := query.FieldNames()
	groups := 0
	for round := range 200 {
		by := []string{names[round%len(names)]}
		for range r.IntN(3) {
			by = append(by, names[r.IntN(len(names))])
		}
		q := query.Query{Filter: someFilter(r, events)}
		if round < len(names) {
			by, q.Filter = by[:1], audit.Filter{}
		}
		fields := parse(t, by...)
		for name, namespace := range map[string]string{"all": "", "scoped": "shop", "nothing": "*"} {
			scope := func(r audit.Reader) audit.Reader {
				if name == "all" {
					return r
				}
				return query.Scoped(r, namespace)
			}
			want, err := query.Count(t.Context(), scope(memory), q, fields, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, reader := range []audit.Reader{s, beside} {
				if _, ok := scope(reader).(audit.Tallier); !ok {
					t.Fatal("a store does not tally")
				}
				got, err := query.Count(t.Context(), scope(reader), q, fields, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(utc(got.Counts(0)), utc(want.Counts(0))) {
					t.Fatalf("by %v of %+v, %s:\n got %+v\nwant %+v", by, q.Filter, name, got.Counts(0), want.Counts(0))
				}
				groups += len(got.Counts(0).Groups)
			}
		}
	}
	if groups < 10_000 {
		t.Errorf("only %d groups were compared", groups)
	}
	// A condition is asked of whole events.
	q := query.Query{Where: where(t, `event.user.username == "jane"`)}
	var u query.Unjudged
	got, err := query.Count(t.Context(), s, q, parse(t, "verb"), 0, &u)
	if err != nil {
		t.Fatal(err)
	}
	want, err := query.Count(t.Context(), memory, q, parse(t, "verb"), 0, nil)
	if err != nil || !reflect.DeepEqual(utc(got.Counts(0)), utc(want.Counts(0))) || got.Counts(0).Events == 0 {
		t.Errorf("got %+v, want %+v: %v", got.Counts(0), want.Counts(0), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := query.Count(ctx, s, query.Query{}, parse(t, "verb"), 0, nil); err == nil {
		t.Error("counted although nobody waits")
	}
}

func utc(c *query.Counts) *query.Counts {
	for i := range c.Groups {
		c.Groups[i].First, c.Groups[i].Last = c.Groups[i].First.UTC(), c.Groups[i].Last.UTC()
	}
	return c
}

// again is a reader that begins anew once, as one does whose segment was deleted.
type again struct{ audit.Memory }

func (a *again) Tally(_ context.Context, _ audit.Filter, _ audit.Fields, start func() func(audit.Tallied)) error {
	for range 2 {
		start()(audit.Tallied{Event: &audit.Event{Verb: "get"}, Count: 5})
	}
	return nil
}

func TestCountingAnewForgets(t *testing.T) {
	c, err := query.Count(t.Context(), &again{}, query.Query{}, parse(t, "verb"), 0, nil)
	if err != nil || c.Counts(0).Events != 5 || c.Counts(0).Groups[0].Count != 5 {
		t.Errorf("%+v %v", c.Counts(0), err)
	}
}
