package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/authz/abac"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// What flips is what upstream's authorizer decides otherwise over the two sets of
// objects, over random histories and changes; each of them is in the report, under its
// user, verb and object, and nothing else is.
func TestFlipsAreUpstreams(t *testing.T) {
	ctx := context.Background()
	refused, allowed := 0, 0
	for seed := range uint64(60) {
		c := newChance(seed)
		before := c.world(40)
		after := objects{}
		for key, o := range before {
			if c.IntN(8) > 0 {
				after[key] = o
			}
		}
		for range 4 {
			after.put(c.object())
		}
		was, is := before.upstream(), after.upstream()
		events := c.recorded(800, was)
		report, err := Run(ctx, memory(events), Options{Current: World{View: before.view()}, Proposed: World{View: after.view()}})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{}
		for _, e := range events {
			a := attributesOf(e)
			x, _, _ := was.Authorize(ctx, a)
			y, _, _ := is.Authorize(ctx, a)
			if x == y {
				continue
			}
			change := WouldAllow
			if x == authorizer.DecisionAllow {
				change = WouldRefuse
				refused++
			} else {
				allowed++
			}
			want[keyOf(change, e.User, e.Verb, e.APIGroup, e.Resource, e.Subresource, e.Namespace, a.Path)]++
		}
		got := map[string]int64{}
		for _, f := range report.Flips {
			got[keyOf(f.Change, f.User, f.Verb, f.APIGroup, f.Resource, f.Subresource, f.Namespace, f.Path)] += f.Requests
			if f.Unsure != "" {
				t.Errorf("%+v is unsure", f)
			}
			explained := f.Before
			if f.Change == WouldAllow {
				explained = f.After
			}
			if explained.Part != "RBAC" || len(explained.Sources) != 2 || explained.Sources[0].File != "world.yaml" || explained.Sources[0].Line != 7 {
				t.Errorf("seed %d: %+v is not explained", seed, f)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("seed %d: flips\n%v\nupstream\n%v", seed, got, want)
		}
		if c := report.Consistency; c.Recorded.Requests != 800 || c.Reproduced.Requests != 800 || c.Share() != 1 {
			t.Errorf("seed %d: consistency %+v", seed, c)
		}
		if report.Seen != report.Judged || len(report.Unjudged) > 0 {
			t.Errorf("seed %d: %+v of %+v judged, %v", seed, report.Judged, report.Seen, report.Unjudged)
		}
	}
	if refused < 1000 || allowed < 100 {
		t.Errorf("%d refused and %d allowed are too few to prove anything", refused, allowed)
	}
}

func keyOf(parts ...string) string { return strings.Join(parts, "|") }

// Neither the order of events nor the number of workers changes the report.
func TestOrderDoesNotMatter(t *testing.T) {
	c := newChance(4)
	before, after := c.world(40), c.world(40)
	events := c.recorded(2000, before.upstream())
	var first []byte
	for round := range 5 {
		c.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		report, err := Run(context.Background(), inOrder(events), Options{Current: World{View: before.view()}, Proposed: World{View: after.view()}, Workers: 1 + round})
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if string(first) != string(data) {
			t.Fatalf("round %d:\n%s\n%s", round, data, first)
		}
	}
}

// inOrder is a reader that yields requests in the order of a slice.
type ordering struct {
	*audit.Memory
	requests []*audit.Request
}

func inOrder(events []*audit.Event) *ordering {
	o := &ordering{Memory: memory(events)}
	for _, e := range events {
		r, _ := audit.RequestOf(e)
		o.requests = append(o.requests, &r)
	}
	return o
}

func (o *ordering) Requests(context.Context, time.Time, time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) {
		for _, r := range o.requests {
			if !yield(r, nil) {
				return
			}
		}
	}
}

const smallWorld = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: User, name: jane}, {kind: Group, name: developers}]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
`

func viewOf(t testing.TB, text string) *cluster.View {
	t.Helper()
	v, err := cluster.FromFiles(context.Background(), []string{"-"}, strings.NewReader(text), cluster.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// request is jane's get of a pod in shop, which smallWorld allows.
func request(edit func(*audit.Request)) *audit.Request {
	r := &audit.Request{User: "jane", Groups: []string{"system:authenticated"}, Verb: "get", APIVersion: "v1", Resource: "pods", Namespace: "shop", Name: "web",
		Decision: "allow", Reason: `RBAC: allowed by RoleBinding "readers/shop" of Role "reader" to User "jane"`, First: begun, Last: begun.Add(time.Hour), Count: 3}
	if edit != nil {
		edit(r)
	}
	return r
}

func TestWhatCannotBeJudged(t *testing.T) {
	guarded := smallWorld + `
---
apiVersion: gatehouse.io/v1alpha1
kind: Guard
metadata: {name: nobody}
spec: {subjects: {all: true}, resources: [pods], reason: nobody may, %s}
`
	with := func(field string) string { return fmt.Sprintf(guarded, field) }
	empty := strings.ReplaceAll(smallWorld, "verbs: [get]", "verbs: [list]")
	named := strings.ReplaceAll(smallWorld, "verbs: [get]", "verbs: [get], resourceNames: [web]")
	for _, test := range []struct {
		name              string
		before, after     string
		request           *audit.Request
		change, unsure    string // of the flip; empty for none
		cause, causeText  string
		reproduced, drift int64
	}{
		{name: "nothing changes", before: smallWorld, after: smallWorld, request: request(nil), reproduced: 3},
		{name: "the rule is gone", before: smallWorld, after: empty, request: request(nil), change: WouldRefuse, reproduced: 3},
		{name: "a rule comes", before: empty, after: smallWorld, request: request(func(r *audit.Request) { r.Decision, r.Reason = "forbid", "" }), change: WouldAllow, reproduced: 3},
		{name: "drift", before: empty, after: empty, request: request(nil), drift: 3},
		{name: "nobody says what was decided", before: smallWorld, after: empty, request: request(func(r *audit.Request) { r.Decision, r.Reason = "", "" }), change: WouldRefuse},
		{name: "a watch that goes on", before: smallWorld, after: empty, request: request(func(r *audit.Request) { r.Count = 0 }), change: WouldRefuse, reproduced: 1},

		{name: "groups unknown, allowed without any", before: smallWorld, after: smallWorld, request: request(func(r *audit.Request) { r.GroupsUnknown, r.Groups = true, nil }), reproduced: 3},
		{name: "groups unknown, allowed by one", before: smallWorld, after: smallWorld, request: request(func(r *audit.Request) { r.User, r.GroupsUnknown, r.Groups = "joe", true, nil }), cause: UnknownGroups},
		{name: "groups unknown, and it flips", before: smallWorld, after: empty, request: request(func(r *audit.Request) { r.GroupsUnknown, r.Groups = true, nil }), change: WouldRefuse, unsure: unsureGroups, reproduced: 3},
		{name: "groups unknown, and a Guard comes", before: smallWorld, after: with("mode: enforce"), request: request(func(r *audit.Request) { r.GroupsUnknown, r.Groups = true, nil }), cause: UnknownGroups},
		{name: "the groups of an account are known", before: smallWorld, after: empty, request: request(func(r *audit.Request) {
			r.User, r.GroupsUnknown, r.Groups, r.Decision = "system:serviceaccount:ci:builder", true, nil, "forbid"
		}), reproduced: 3},

		{name: "another authorizer", before: empty, after: empty, request: request(func(r *audit.Request) { r.Reason = "the webhook says so" }), cause: OtherAuthorizer, causeText: "the webhook says so"},
		{name: "another authorizer without a reason", before: empty, after: empty, request: request(func(r *audit.Request) { r.Reason, r.Groups = "", []string{"system:nodes"} }), cause: OtherAuthorizer, causeText: "no reason recorded, group system:nodes"},
		{name: "another authorizer, and a Guard", before: empty, after: strings.ReplaceAll(with("mode: enforce"), "verbs: [get]", "verbs: [list]"), request: request(func(r *audit.Request) { r.Reason = "" }), change: WouldRefuse},
		{name: "system:masters, and a Guard", before: empty, after: strings.ReplaceAll(with("mode: enforce"), "verbs: [get]", "verbs: [list]"), request: request(func(r *audit.Request) { r.Reason, r.Groups = "", []string{"system:masters"} }), change: WouldRefuse, unsure: unsureMasters},
		{name: "another authorizer too", before: smallWorld, after: empty, request: request(func(r *audit.Request) { r.Reason = "" }), change: WouldRefuse, unsure: unsureOther, reproduced: 3},

		{name: "names omitted, and nobody names any", before: smallWorld, after: empty, request: request(func(r *audit.Request) { r.NameOmitted, r.Name = true, "" }), change: WouldRefuse, reproduced: 3},
		{name: "names omitted, and a rule names some", before: smallWorld, after: named, request: request(func(r *audit.Request) { r.NameOmitted, r.Name = true, "" }), cause: OmittedNames},
		{name: "names omitted, and a Guard names some", before: smallWorld, after: with("names: [db]"), request: request(func(r *audit.Request) { r.NameOmitted, r.Name = true, "" }), cause: OmittedNames},

		{name: "a Guard by labels that are known", before: smallWorld, after: with("namespaceSelector: {matchLabels: {env: prod}}"), request: request(nil), change: WouldRefuse, reproduced: 3},
		{name: "a Guard by other labels", before: smallWorld, after: with("namespaceSelector: {matchLabels: {env: test}}"), request: request(nil), reproduced: 3},
		{name: "a Guard by labels nobody knows", before: smallWorld, after: with("namespaceSelector: {matchLabels: {env: prod}}"), request: request(func(r *audit.Request) { r.Namespace, r.Reason = "gone", "" }), cause: UnknownLabels},
		{name: "a Guard by labels nobody knows, where nothing allows it", before: smallWorld, after: with("namespaceSelector: {matchLabels: {env: prod}}"), request: request(func(r *audit.Request) { r.Namespace, r.Decision = "gone", "forbid" }), reproduced: 3},
		{name: "a Guard by selectors, of a get", before: smallWorld, after: with("condition: has(request.resourceAttributes.labelSelector)"), request: request(nil), reproduced: 3},
		{name: "a Guard by selectors, of a list", before: empty, after: strings.ReplaceAll(with("condition: has(request.resourceAttributes.labelSelector)"), "verbs: [get]", "verbs: [list]"),
			request: request(func(r *audit.Request) { r.Verb, r.Name = "list", "" }), cause: UnknownLabels},
		{name: "a Guard whose window was open", before: smallWorld, after: with("windows: [{notBefore: 2026-11-01T00:30:00Z, notAfter: 2026-11-01T02:00:00Z}]"), request: request(nil), change: WouldRefuse, reproduced: 3},
		{name: "a Guard whose window was shut", before: smallWorld, after: with("windows: [{notBefore: 2026-11-01T03:00:00Z, notAfter: 2026-11-01T04:00:00Z}]"), request: request(nil), reproduced: 3},
		{name: "a binding that has ended since", before: strings.ReplaceAll(smallWorld, "{name: readers,", "{annotations: {gatehouse.io/expires-at: '2026-11-01T02:00:00Z'}, name: readers,"), after: empty,
			request: request(nil), change: WouldRefuse, reproduced: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			reader := &ordering{Memory: &audit.Memory{}, requests: []*audit.Request{test.request}}
			report, err := Run(context.Background(), reader, Options{Current: World{View: viewOf(t, test.before)}, Proposed: World{View: viewOf(t, test.after)}})
			if err != nil {
				t.Fatal(err)
			}
			change, unsure := "", ""
			if len(report.Flips) > 0 {
				change, unsure = report.Flips[0].Change, report.Flips[0].Unsure
			}
			if change != test.change || unsure != test.unsure {
				t.Errorf("flips %+v", report.Flips)
			}
			cause, text := "", ""
			if len(report.Unjudged) > 0 {
				cause, text = report.Unjudged[0].Cause, report.Unjudged[0].Detail
			}
			if cause != test.cause || text != test.causeText {
				t.Errorf("unjudged %+v", report.Unjudged)
			}
			if c := report.Consistency; c.Reproduced.Requests != test.reproduced || c.Lost.Requests != test.drift {
				t.Errorf("consistency %+v", c)
			}
			if (report.Judged.Distinct == 1) == (test.cause != "") || report.Seen.Distinct != 1 {
				t.Errorf("judged %+v of %+v", report.Judged, report.Seen)
			}
		})
	}
}

func TestABACIsAsked(t *testing.T) {
	policies, err := abac.Parse("p.jsonl", []byte(`{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"jane","namespace":"shop","resource":"pods","readonly":true}}`))
	if err != nil {
		t.Fatal(err)
	}
	reader := &ordering{Memory: &audit.Memory{}, requests: []*audit.Request{request(func(r *audit.Request) { r.Reason = "" })}}
	report, err := Run(context.Background(), reader, Options{Current: World{ABAC: policies}, Proposed: World{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Flips) != 1 || report.Flips[0].Unsure != "" || report.Flips[0].Before.Part != "ABAC" || report.Flips[0].Before.Sources[0].Line != 1 {
		t.Errorf("flips %+v", report.Flips)
	}
	report, err = Run(context.Background(), reader, Options{Current: World{}, Proposed: World{ABAC: policies}})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Flips) != 0 || report.Judged.Distinct != 1 {
		t.Errorf("what another authorizer allowed and ABAC would: %+v", report)
	}
}

func TestFlipsHaveNamesAndBounds(t *testing.T) {
	var requests []*audit.Request
	for n := range 30 {
		requests = append(requests, request(func(r *audit.Request) { r.Name = fmt.Sprintf("web-%02d", 29-n) }))
		requests = append(requests, request(func(r *audit.Request) { r.User, r.Groups = fmt.Sprint("user-", n), []string{"developers"} }))
	}
	reader := &ordering{Memory: &audit.Memory{}, requests: requests}
	report, err := Run(context.Background(), reader, Options{Current: World{View: viewOf(t, smallWorld)}, Proposed: World{}, MaxFlips: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Flips) != 3 || report.Refused.Distinct != 60 || report.More.Distinct != 28 || report.More.Requests != 84 {
		t.Errorf("%d flips, %+v refused, %+v more", len(report.Flips), report.Refused, report.More)
	}
	jane := report.Flips[0]
	if jane.User != "jane" || jane.Distinct != 30 || len(jane.Names) != mostNames || jane.Names[0] != "web-00" || !slices.IsSorted(jane.Names) {
		t.Errorf("%+v", jane)
	}
	if jane.After.Reason != "no rule allows it" || jane.Before.Sources[0].Name != "readers" {
		t.Errorf("%+v", jane)
	}
}

func TestWindowAndGaps(t *testing.T) {
	m := memory(newChance(1).recorded(100, objects{}.upstream()))
	m.AddGap(audit.Gap{Start: begun.Add(10 * time.Second), End: begun.Add(20 * time.Second), Count: 5, Reason: audit.GapDropped})
	report, err := Run(context.Background(), m, Options{From: begun.Add(9 * time.Second), To: begun.Add(50 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if w := report.Window; w.Seconds != 41 || len(w.Gaps) != 1 || w.Gaps[0].Count != 5 || !w.Oldest.Equal(begun) {
		t.Errorf("%+v", w)
	}
	if report.Seen.Distinct != 41 {
		t.Errorf("seen %+v", report.Seen)
	}
}

// A reader's error and a Guard that does not compile are errors, and no report.
func TestErrors(t *testing.T) {
	if _, err := Run(context.Background(), failing{&audit.Memory{}}, Options{}); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v", err)
	}
	bad := &cluster.View{Guards: []cluster.Held[*v1alpha1.Guard]{{Object: &v1alpha1.Guard{ObjectMeta: metav1.ObjectMeta{Name: "g"},
		Spec: v1alpha1.GuardSpec{Subjects: v1alpha1.GuardSubjects{All: true}, Condition: "this is no CEL", Reason: "r"}}}}}
	if _, err := Run(context.Background(), &audit.Memory{}, Options{Proposed: World{View: bad}}); err == nil {
		t.Error("a Guard that does not compile is taken")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, memory(newChance(1).recorded(10, objects{}.upstream())), Options{}); err == nil {
		t.Error("no error after it was interrupted")
	}
}

type failing struct{ *audit.Memory }

func (failing) Requests(context.Context, time.Time, time.Time) iter.Seq2[*audit.Request, error] {
	return func(yield func(*audit.Request, error) bool) { yield(nil, fmt.Errorf("the segment is damaged")) }
}
