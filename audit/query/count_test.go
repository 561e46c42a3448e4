package query_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/query"
)

func parse(t testing.TB, names ...string) []query.Field {
	t.Helper()
	f, err := query.ParseFields(names)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCountEqualsNaive(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 3))
		events := some(r, 300)
		naive := map[string]int64{}
		c := query.NewCounter(parse(t, "user", "Name-space", "group"), 0)
		for _, e := range events {
			c.Add(e)
			groups := slices.Compact(slices.Sorted(slices.Values(e.Groups)))
			if len(groups) == 0 {
				groups = []string{""}
			}
			for _, g := range groups {
				naive[fmt.Sprintf("%q", []string{e.User, e.Namespace, g})]++
			}
		}
		got := c.Counts(0)
		if !got.Exact || got.Events != 300 || int(got.Distinct) != len(naive) || len(got.Groups) != len(naive) {
			t.Fatalf("seed %d: %+v, want %d groups", seed, got, len(naive))
		}
		for _, g := range got.Groups {
			if naive[fmt.Sprintf("%q", g.Values)] != g.Count || g.Excess != 0 {
				t.Fatalf("seed %d: %+v, want %d", seed, g, naive[fmt.Sprintf("%q", g.Values)])
			}
			if g.First.After(g.Last) || g.First.Before(start) {
				t.Fatalf("%+v", g)
			}
		}
		if !slices.IsSortedFunc(got.Groups, func(a, b query.Group) int { return cmp.Compare(b.Count, a.Count) }) {
			t.Fatal("not the largest first")
		}
		if top := c.Counts(2); len(top.Groups) != 2 || top.Groups[0].Count != got.Groups[0].Count {
			t.Fatalf("%+v", top)
		}
	}
}

// TestCountBeyondTheBound: what is told is bounded from both sides, and no group that is
// large is missing.
func TestCountBeyondTheBound(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 4))
		const groups, events = 20, 3000
		c := query.NewCounter(parse(t, "name"), groups)
		naive := map[string]int64{}
		for range events {
			name := fmt.Sprint(int(r.ExpFloat64() * 15))
			naive[name]++
			c.Add(&audit.Event{Name: name, Time: start})
		}
		got := c.Counts(0)
		if got.Exact || len(got.Groups) != groups || got.Threshold != events/groups {
			t.Fatalf("seed %d: %d groups, exact %v, threshold %d", seed, len(got.Groups), got.Exact, got.Threshold)
		}
		told := map[string]bool{}
		for _, g := range got.Groups {
			told[g.Values[0]] = true
			if n := naive[g.Values[0]]; n > g.Count || n < g.Count-g.Excess {
				t.Fatalf("seed %d: %+v, and there are %d", seed, g, n)
			}
		}
		for name, n := range naive {
			if n > got.Threshold && !told[name] {
				t.Fatalf("seed %d: %s has %d events and is missing", seed, name, n)
			}
		}
	}
}

func TestCountFields(t *testing.T) {
	e := &audit.Event{
		User: "jane", AsUser: "ci", Verb: "get", APIGroup: "apps", Resource: "deployments", Subresource: "scale", Namespace: "shop", Name: "web", Code: 403,
		Annotations: map[string]string{audit.AnnotationDecision: "forbid", audit.AnnotationReason: "no"}, SourceIPs: []string{"forged", "10.0.0.1"}, UserAgent: strings.Repeat("ä", 1000),
		URI: "/a/b?c", Stage: "ResponseComplete", Level: "Metadata", Source: "gke", Time: start, Unknown: []string{audit.UnknownGroups},
	}
	for field, want := range map[string]string{
		"user": "jane", "impersonated": "ci", "group": query.Unknown, "verb": "get", "resource": "deployments.apps/scale", "apigroup": "apps",
		"subresource": "scale", "namespace": "shop", "name": "web", "code": "403", "decision": "forbid", "reason": "no", "ip": "10.0.0.1",
		"useragent": strings.Repeat("ä", 128) + "…", "path": "/a/b", "stage": "ResponseComplete", "level": "Metadata", "source": "gke",
		"minute": "2026-03-04T05:00Z", "hour": "2026-03-04T05Z", "day": "2026-03-04",
	} {
		c := query.NewCounter(parse(t, field), 0)
		c.Add(e)
		if got := c.Counts(0).Groups[0].Values[0]; got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if n := len(query.FieldNames()); n != 21 {
		t.Errorf("%d fields are not all in this test", n)
	}
	for _, bad := range [][]string{{"uid"}, {"user", "verb", "name", "code", "ip"}, {""}} {
		if _, err := query.ParseFields(bad); err == nil {
			t.Errorf("%v", bad)
		}
	}
	// Many groups and many addresses do not multiply without end.
	wide := &audit.Event{}
	for i := range 5000 {
		wide.Groups = append(wide.Groups, fmt.Sprint(i))
	}
	c := query.NewCounter(parse(t, "group", "user"), 0)
	c.Add(wide)
	if got := c.Counts(0); got.Exact || got.Distinct > 1024 {
		t.Errorf("%d groups, exact %v", got.Distinct, got.Exact)
	}
}
