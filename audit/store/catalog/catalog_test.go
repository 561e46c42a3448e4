package catalog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

var start = time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)

// random is an event of few values, so that many are alike.
func random(r *rand.Rand, i int) *audit.Event {
	e := &audit.Event{
		ID: fmt.Sprint(i), Stage: audit.StageComplete, Time: start.Add(time.Duration(i) * 20 * time.Second),
		Verb: []string{"get", "list"}[r.IntN(2)], User: fmt.Sprintf("user-%d", r.IntN(3)), Groups: []string{"a", "b"}[:r.IntN(3)],
		APIVersion: "v1", Resource: "secrets", Namespace: fmt.Sprintf("ns-%d", r.IntN(2)), Name: fmt.Sprintf("n-%d", r.IntN(40)),
		Code: int32(200 + 203*r.IntN(2)), SourceIPs: []string{fmt.Sprintf("10.0.0.%d", r.IntN(5))}, UserAgent: "ua", Source: "raw",
		Annotations: map[string]string{audit.AnnotationDecision: []string{"allow", "forbid"}[r.IntN(2)], audit.AnnotationReason: fmt.Sprint("because ", r.IntN(9))},
	}
	switch r.IntN(8) {
	case 0:
		e.Resource, e.Namespace, e.Name, e.APIVersion = "", "", "", ""
		e.URI = fmt.Sprintf("/healthz/%d?verbose", r.IntN(30))
	case 1:
		e.AsUser, e.AsGroups, e.AsExtra = "root", []string{"system:masters"}, map[string][]string{"k": {"v", ""}, "": nil}
	case 2:
		e.Stage = audit.StageReceived
	case 3:
		e.Stage = audit.StageStarted
	case 4:
		e.Unknown = []string{audit.UnknownGroups}
		e.Groups = nil
	case 5:
		e.APIGroup, e.Resource, e.Subresource = "apps", "deployments", "scale"
	}
	return e
}

// plain sums distinct requests as somebody would who has all the time of the world.
func plain(events []*audit.Event, names int) map[string]audit.Request {
	sums := map[string]audit.Request{}
	byGroup := map[string]map[string]bool{}
	for _, e := range events {
		if r, ok := audit.RequestOf(e); ok {
			group := string(groupKey(&r))
			if byGroup[group] == nil {
				byGroup[group] = map[string]bool{}
			}
			byGroup[group][entryKey(group, &r)] = true
		}
	}
	kept := map[string]bool{}
	for _, keys := range byGroup {
		var all []string
		for k := range keys {
			all = append(all, k)
		}
		slices.Sort(all)
		for _, k := range all[:min(names, len(all))] {
			kept[k] = true
		}
	}
	for _, e := range events {
		r, ok := audit.RequestOf(e)
		if !ok {
			continue
		}
		group := string(groupKey(&r))
		if !kept[entryKey(group, &r)] {
			r.Name, r.Path, r.NameOmitted = "", "", true
		}
		key := entryKey(group, &r)
		if have, ok := sums[key]; ok {
			sum(&have, &r)
			r = have
		}
		sums[key] = r
	}
	return sums
}

// entryKey orders the requests of a group.
func entryKey(group string, r *audit.Request) string {
	if r.NameOmitted {
		return group + "\x02"
	}
	return group + "\x01" + r.Name + r.Path
}

func sum(to, r *audit.Request) {
	h := Hour{to.First, to.Last, to.Count, to.Reason}
	h.merge(Hour{r.First, r.Last, r.Count, r.Reason})
	to.First, to.Last, to.Count, to.Reason = h.First, h.Last, h.Count, h.Reason
}

// TestRequestsAreThoseOfTheEvents cuts events into segments in many ways, and compares.
func TestRequestsAreThoseOfTheEvents(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		var events []*audit.Event
		for i := range 1500 {
			events = append(events, random(r, i))
		}
		names := []int{1, 7, 1000}[seed%3]
		c, err := Open(filepath.Join(t.TempDir(), "catalog.db"))
		if err != nil {
			t.Fatal(err)
		}
		var sources []Source
		var numbers []uint64
		for from, n := 0, uint64(1); from < len(events); n++ {
			to := min(from+1+r.IntN(500), len(events))
			b := NewBuilder(names)
			for _, e := range events[from:to] {
				b.Add(e)
			}
			summary := b.Finish()
			if n%4 == 0 { // not in the catalog
				sources = append(sources, summary.Entries())
			} else {
				if err := c.Put(t.Context(), Segment{Number: n, Events: int64(to - from)}, summary, summary.Entries(), nil); err != nil {
					t.Fatal(err)
				}
				numbers = append(numbers, n)
			}
			from = to
		}
		snapshot, err := c.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Remove(t.Context(), numbers); err != nil { // a snapshot still has them
			t.Fatal(err)
		}
		for _, n := range numbers {
			if !snapshot.Has(n) {
				t.Fatalf("segment %d is not there", n)
			}
			sources = append(sources, snapshot.Requests(t.Context(), n))
		}
		want := plain(events, names)
		got := 0
		for q, err := range Merge(sources, time.Time{}, time.Time{}, names) {
			if err != nil {
				t.Fatal(err)
			}
			key := entryKey(string(groupKey(q)), q)
			w := want[key]
			if !q.First.Equal(w.First) || !q.Last.Equal(w.Last) || q.Count != w.Count || q.Reason != w.Reason || q.Name != w.Name || q.NameOmitted != w.NameOmitted {
				t.Fatalf("seed %d:\n got %+v\nwant %+v", seed, q, w)
			}
			got++
		}
		if got != len(want) {
			t.Fatalf("seed %d: %d distinct requests, want %d", seed, got, len(want))
		}
		snapshot.Close()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTimeOfRequests asks for a time: what lies in it is counted, and nothing that is an
// hour away.
func TestTimeOfRequests(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	b := NewBuilder(1000)
	var events []*audit.Event
	for i := range 2000 {
		events = append(events, random(r, i))
		b.Add(events[i])
	}
	from, to := start.Add(100*time.Minute), start.Add(300*time.Minute)
	var inside, around []*audit.Event
	for _, e := range events {
		if !e.Time.Before(from) && e.Time.Before(to) {
			inside = append(inside, e)
		}
		if !e.Time.Before(from.Add(-time.Hour)) && e.Time.Before(to.Add(time.Hour)) {
			around = append(around, e)
		}
	}
	least, most := plain(inside, 1000), plain(around, 1000)
	found := map[string]bool{}
	for q, err := range Merge([]Source{b.Finish().Entries()}, from, to, 1000) {
		if err != nil {
			t.Fatal(err)
		}
		key := entryKey(string(groupKey(q)), q)
		found[key] = true
		if q.Count < least[key].Count || q.Count > most[key].Count {
			t.Errorf("%+v: between %d and %d were expected", q, least[key].Count, most[key].Count)
		}
	}
	for key := range least {
		if !found[key] {
			t.Errorf("a request is missing: %+v", least[key])
		}
	}
}

// TestFactsNeverHide holds May against every event.
func TestFactsNeverHide(t *testing.T) {
	for _, users := range []int{3, 3000} {
		r := rand.New(rand.NewPCG(5, uint64(users)))
		b := NewBuilder(10)
		var events []*audit.Event
		for i := range 4000 {
			e := random(r, i)
			e.User = fmt.Sprintf("user-%d", r.IntN(users))
			events = append(events, e)
			b.Add(e)
		}
		facts := b.Finish().Facts
		for _, e := range events[:500] {
			resource := e.Resource
			if e.Subresource != "" {
				resource += "/" + e.Subresource
			}
			for _, f := range []audit.Filter{
				{Users: []string{e.User}}, {Users: []string{e.User[:4] + "*"}}, {Verbs: []string{e.Verb}, Namespaces: []string{e.Namespace}},
				{Resources: []string{resource}}, {Codes: []string{fmt.Sprint(e.Code)}}, {Codes: []string{fmt.Sprintf("%dxx", e.Code/100)}},
				{Decisions: []string{e.Decision()}}, {IPs: e.SourceIPs}, {UserAgents: []string{"u*"}}, {Stages: []string{e.Stage}}, {Sources: []string{"raw"}},
				{Groups: e.Groups},
			} {
				if f.Matches(e) && !facts.May(&f) {
					t.Fatalf("%+v hides an event", f)
				}
			}
		}
		hidden := 0
		for i := range 1000 {
			if !facts.May(&audit.Filter{Users: []string{fmt.Sprint("stranger-", i)}}) {
				hidden++
			}
		}
		if hidden < 950 {
			t.Errorf("of 1000 strangers %d are known to be none", hidden)
		}
		for _, f := range []audit.Filter{{Verbs: []string{"delete"}}, {Namespaces: []string{"kube-*"}}, {Resources: []string{"pods"}}, {Codes: []string{"5xx"}}} {
			if facts.May(&f) {
				t.Errorf("%+v is said to be possible", f)
			}
		}
	}
}

func TestCatalogComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 7))
	b := NewBuilder(10)
	for i := range 300 {
		b.Add(random(r, i))
	}
	summary := b.Finish()
	for range 2 { // what is there is replaced
		if err := c.Put(t.Context(), Segment{Number: 4, Events: 300}, summary, summary.Entries(), nil); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := reader.Facts(t.Context())
	if err != nil || len(facts) != 1 || !reflect.DeepEqual(*facts[4], summary.Facts) {
		t.Fatalf("%+v %v", facts, err)
	}
	if err := c.Put(t.Context(), Segment{Number: 5}, summary, summary.Entries(), []uint64{4}); err != nil {
		t.Fatal(err)
	}
	if facts, err := reader.Facts(t.Context()); err != nil || facts[4] != nil || facts[5] == nil {
		t.Errorf("%v %v", facts, err)
	}
	if err := errors.Join(reader.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"text": []byte("no database, but long enough to be looked at as one of them"), "empty": {}} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenReader(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	decoder, err := newDecoder()
	if err != nil {
		f.Fatal(err)
	}
	b := NewBuilder(10)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		b.Add(random(r, i))
	}
	f.Add(p.pack(b.Finish().Requests))
	f.Add(p.pack(nil))
	f.Fuzz(func(t *testing.T, packed []byte) {
		entries, err := unpack(decoder, packed)
		if err != nil {
			return
		}
		again, err := unpack(decoder, p.pack(entries))
		if err != nil || len(again) != len(entries) {
			t.Fatalf("%d entries become %d: %v", len(entries), len(again), err)
		}
	})
}

func groupKey(r *audit.Request) []byte {
	key, _ := appendGroupKey(nil, r)
	return key
}
