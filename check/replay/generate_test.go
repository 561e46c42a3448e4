package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/cluster"
)

var jane = rbacv1.Subject{Kind: "User", Name: "jane"}

func generated(t *testing.T, reader audit.Reader, opts GenerateOptions) *Generated {
	t.Helper()
	if opts.Subject.Kind == "" {
		opts.Subject = jane
	}
	g, err := Generate(context.Background(), reader, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// applied are objects as they would be after the generated YAML has been applied.
func applied(t *testing.T, g *Generated, to objects) objects {
	t.Helper()
	var out bytes.Buffer
	if err := g.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	after := objects{}
	for key, o := range to {
		after[key] = o
	}
	if len(g.Scopes) == 0 {
		return after
	}
	v, err := cluster.FromFiles(context.Background(), []string{"-"}, &out, cluster.FileOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, h := range v.Roles {
		after.put(h.Object)
	}
	for _, h := range v.RoleBindings {
		after.put(h.Object)
	}
	for _, h := range v.ClusterRoles {
		after.put(h.Object)
	}
	for _, h := range v.ClusterRoleBindings {
		after.put(h.Object)
	}
	return after
}

// ofJane are the events of jane, with her always in one group.
func ofJane(c chance, count int, a authorizer.UnconditionalAuthorizer) (all []*audit.Event) {
	for _, e := range c.recorded(count, a) {
		e.User, e.Groups = "jane", []string{"system:authenticated", "developers"}
		d, reason, _ := a.Authorize(context.Background(), attributesOf(e))
		e.Annotations[audit.AnnotationDecision], e.Annotations[audit.AnnotationReason] = "forbid", reason
		if d == authorizer.DecisionAllow {
			e.Annotations[audit.AnnotationDecision] = "allow"
		}
		all = append(all, e)
	}
	return all
}

// The property of this file: with the generated roles alone, in keep mode, upstream
// allows jane exactly the closure of what she was seen to do, and replay shows no flips.
func TestGeneratedIsTheClosureOfWhatWasSeen(t *testing.T) {
	ctx := context.Background()
	allowed, refused, rules := 0, 0, 0
	for seed := range uint64(80) {
		c := newChance(2000 + seed)
		before := c.world(40)
		was := before.upstream()
		events := ofJane(c, 10+c.IntN(120), was)
		g := generated(t, memory(events), GenerateOptions{FromScratch: true, World: World{View: before.view()}})
		after := applied(t, g, objects{})
		is := after.upstream()
		for _, s := range g.Scopes {
			rules += len(s.Rules)
		}
		var seen []authorizer.AttributesRecord
		for _, e := range events {
			if e.Decision() == "allow" {
				seen = append(seen, attributesOf(e))
			}
		}
		probes := slices.Clone(events)
		for range 400 {
			e := c.event(0)
			e.User, e.Groups = "jane", []string{"system:authenticated", "developers"}
			probes = append(probes, e)
		}
		for _, e := range probes {
			a := attributesOf(e)
			want := slices.ContainsFunc(seen, func(s authorizer.AttributesRecord) bool {
				return s.ResourceRequest == a.ResourceRequest && s.Verb == a.Verb && s.APIGroup == a.APIGroup && s.Resource == a.Resource && s.Subresource == a.Subresource && s.Path == a.Path &&
					(s.Namespace == "" || s.Namespace == a.Namespace) && (s.Name == "" || s.Name == a.Name)
			})
			d, _, _ := is.Authorize(ctx, a)
			if got := d == authorizer.DecisionAllow; got != want {
				t.Fatalf("seed %d: %s %s/%s/%s %q in %q, path %q: allowed %v, want %v", seed, a.Verb, a.APIGroup, a.Resource, a.Subresource, a.Name, a.Namespace, a.Path, got, want)
			}
			if want {
				allowed++
			} else {
				refused++
			}
		}
		report, err := Run(ctx, memory(events), Options{Current: World{View: before.view()}, Proposed: World{View: after.view()}})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Flips) > 0 || len(report.Unjudged) > 0 || report.Seen.Requests != int64(len(events)) {
			t.Fatalf("seed %d: %+v", seed, report)
		}
	}
	if allowed < 1000 || refused < 5000 || rules < 300 {
		t.Errorf("%d allowed, %d refused and %d rules are too few to prove anything", allowed, refused, rules)
	}
}

// Widened rules allow everything that was seen, and name no object.
func TestWidened(t *testing.T) {
	for seed := range uint64(20) {
		c := newChance(3000 + seed)
		before := c.world(40)
		events := ofJane(c, 100, before.upstream())
		g := generated(t, memory(events), GenerateOptions{FromScratch: true, Widen: true})
		for _, s := range g.Scopes {
			for _, r := range s.Rules {
				if len(r.ResourceNames) > 0 {
					t.Errorf("%+v names objects", r)
				}
			}
		}
		report, err := Run(context.Background(), memory(events), Options{Current: World{View: before.view()}, Proposed: World{View: applied(t, g, objects{}).view()}})
		if err != nil {
			t.Fatal(err)
		}
		if report.Refused.Requests > 0 {
			t.Errorf("seed %d: %+v", seed, report.Flips)
		}
	}
}

// Beside what exists only what is missing is generated; with it everything that was
// allowed is, and to generate once more, after it was applied, makes the same.
func TestOnlyWhatIsMissing(t *testing.T) {
	ctx := context.Background()
	missing := 0
	for seed := range uint64(40) {
		c := newChance(4000 + seed)
		before := c.world(40)
		events := ofJane(c, 100, before.upstream())
		now := objects{}
		for key, o := range before {
			if c.IntN(3) > 0 {
				now[key] = o
			}
		}
		opts := GenerateOptions{World: World{View: now.view()}}
		g := generated(t, memory(events), opts)
		after := applied(t, g, now)
		report, err := Run(ctx, memory(events), Options{Current: World{View: after.view()}, Proposed: World{View: after.view()}})
		if err != nil {
			t.Fatal(err)
		}
		if report.Consistency.Lost.Requests > 0 {
			t.Errorf("seed %d: %+v is not allowed", seed, report.Consistency)
		}
		existing := now.upstream()
		for _, s := range g.Scopes {
			for _, r := range s.Rules {
				missing++
				atoms := map[need]bool{}
				needsOf(s.Namespace, &r.PolicyRule, atoms)
				for n := range atoms {
					resource, sub, _ := strings.Cut(n.resource, "/")
					a := authorizer.AttributesRecord{User: attributesOf(events[0]).User, Verb: n.verb, APIGroup: n.group, Resource: resource, Subresource: sub, Namespace: n.namespace, Name: n.name, Path: n.path, ResourceRequest: n.path == ""}
					if d, reason, _ := existing.Authorize(ctx, a); d == authorizer.DecisionAllow {
						t.Errorf("seed %d: %+v exists already: %s", seed, n, reason)
					}
				}
			}
		}
		again := generated(t, memory(events), GenerateOptions{World: World{View: after.view()}})
		var x, y bytes.Buffer
		_ = g.Write(&x, true)
		_ = again.Write(&y, true)
		if x.String() != y.String() {
			t.Errorf("seed %d: once more:\n%s\nbefore:\n%s", seed, y.String(), x.String())
		}
		// Of another time nothing is taken away.
		kept := generated(t, &audit.Memory{}, GenerateOptions{World: World{View: after.view()}})
		if len(kept.Objects()) != len(g.Objects()) {
			t.Errorf("seed %d: %d objects, before %d", seed, len(kept.Objects()), len(g.Objects()))
		}
	}
	if missing < 40 {
		t.Errorf("%d rules are too few to prove anything", missing)
	}
}

// The order of events does not matter.
func TestGeneratedIsStable(t *testing.T) {
	c := newChance(8)
	events := ofJane(c, 300, c.world(60).upstream())
	var first string
	for range 4 {
		c.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		var out bytes.Buffer
		if err := generated(t, inOrder(events), GenerateOptions{FromScratch: true}).Write(&out, true); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = out.String()
		}
		if out.String() != first {
			t.Fatalf("%s\nbefore:\n%s", out.String(), first)
		}
	}
}

func TestRulesAreFew(t *testing.T) {
	for _, test := range []struct {
		needs []need
		want  string
	}{
		{[]need{{verb: "get", resource: "pods"}, {verb: "list", resource: "pods"}, {verb: "get", resource: "services"}, {verb: "list", resource: "services"}}, "[get list] [] [pods services] []"},
		{[]need{{verb: "get", resource: "pods"}, {verb: "list", resource: "services"}, {verb: "get", resource: "secrets"}, {verb: "list", resource: "secrets"}}, "[get] [] [pods secrets] []; [list] [] [secrets services] []"},
		{[]need{{verb: "get", resource: "pods", name: "a"}, {verb: "get", resource: "pods", name: "b"}, {verb: "list", resource: "pods"}}, "[list] [] [pods] []; [get] [] [pods] [a b]"},
		{[]need{{verb: "get", resource: "pods", name: "a"}, {verb: "get", resource: "pods"}}, "[get] [] [pods] []"},
		{[]need{{verb: "get", resource: "events"}, {verb: "get", group: "events.k8s.io", resource: "events"}}, "[get] [ events.k8s.io] [events] []"},
		{[]need{{verb: "get", resource: "pods"}, {verb: "get", group: "apps", resource: "deployments"}}, "[get] [] [pods] []; [get] [apps] [deployments] []"},
		{[]need{{verb: "get", path: "/metrics"}, {verb: "get", path: "/healthz"}}, "[get] [] [] [] paths [/healthz /metrics]"},
	} {
		needs := map[need]*evidence{}
		for _, n := range test.needs {
			needs[n] = &evidence{requests: 1, last: begun}
		}
		var parts []string
		for _, r := range rulesFor(needs) {
			text := fmt.Sprint(r.Verbs, " ", r.APIGroups, " ", r.Resources, " ", r.ResourceNames)
			if len(r.NonResourceURLs) > 0 {
				text += fmt.Sprint(" paths ", r.NonResourceURLs)
			}
			parts = append(parts, text)
		}
		if got := strings.Join(parts, "; "); got != test.want {
			t.Errorf("%v: %s, want %s", test.needs, got, test.want)
		}
	}
}

// Every table is covered exactly, and never by more rectangles than rows or columns.
func TestRectanglesCoverExactly(t *testing.T) {
	c := newChance(77)
	for range 500 {
		table := tableOf{}
		for range 1 + c.IntN(20) {
			table.add(c.pick("a", "b", "c", "d", "e", "f"), c.pick("1", "2", "3", "4", "5"))
		}
		covered := tableOf{}
		all := table.rectangles()
		for _, r := range all {
			for _, row := range r.rows {
				for _, column := range r.columns {
					covered.add(row, column)
				}
			}
		}
		if fmt.Sprint(covered) != fmt.Sprint(table) {
			t.Fatalf("%v is covered as %v by %v", table, covered, all)
		}
		if len(all) > min(len(table), len(table.turned())) {
			t.Errorf("%v: %d rules", table, len(all))
		}
	}
}

func TestNamesOfWhatIsGenerated(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []rbacv1.Subject{
		{Kind: "User", Name: "jane"}, {Kind: "Group", Name: "jane"}, {Kind: "ServiceAccount", Namespace: "a", Name: "b-c"}, {Kind: "ServiceAccount", Namespace: "a-b", Name: "c"},
		{Kind: "User", Name: "jane@example.com"}, {Kind: "User", Name: "jane.example.com"}, {Kind: "User", Name: "Jane"}, {Kind: "User", Name: strings.Repeat("x", 300)}, {Kind: "User", Name: "\x1b[31m"},
	} {
		name := nameFor(&s)
		if other, ok := seen[name]; ok {
			t.Errorf("%v and %s are both %s", s, other, name)
		}
		seen[name] = fmt.Sprint(s)
		if strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) || len(name) > 100 {
			t.Errorf("%q", name)
		}
	}
	if nameFor(&jane) != "least-user-jane" {
		t.Error(nameFor(&jane))
	}
}

func TestTakenName(t *testing.T) {
	world := strings.ReplaceAll(smallWorld, "name: reader, namespace", "name: least-user-jane, namespace")
	_, err := Generate(context.Background(), &audit.Memory{}, GenerateOptions{Subject: jane, World: World{View: viewOf(t, world)}})
	if _, ok := errors.AsType[*NameTakenError](err); !ok {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotGranted(t *testing.T) {
	requests := []*audit.Request{
		request(func(r *audit.Request) { r.Decision = "forbid" }),
		request(func(r *audit.Request) { r.Decision, r.Verb = "", "list" }),
		request(func(r *audit.Request) { r.Resource, r.Path, r.Name, r.Namespace = "", "/any*", "", "" }),
		request(func(r *audit.Request) { r.Resource = "*" }),
		request(func(r *audit.Request) { r.User = "joe" }),
		request(func(r *audit.Request) { r.Name, r.NameOmitted = "", true }),
		request(func(r *audit.Request) {
			r.User, r.Impersonator, r.Groups = "boss", "jane", []string{"system:authenticated", "chiefs"}
		}),
	}
	g := generated(t, &ordering{Memory: &audit.Memory{}, requests: requests}, GenerateOptions{})
	if g.Seen.Distinct != 5 || g.Denied.Distinct != 1 || g.Unknown.Distinct != 1 || g.Odd.Distinct != 2 || g.Omitted.Distinct != 1 || g.Granted.Distinct != 1 {
		t.Errorf("%+v", g)
	}
	var out bytes.Buffer
	if err := g.Write(&out, true); err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: least-user-jane
  annotations:
    gatehouse.io/generated-for: "user:jane"
rules:
# seen: impersonate 3; the last 2026-11-01T01:00:00Z
- apiGroups: [""]
  resources: [users]
  resourceNames: [boss]
  verbs: [impersonate]
# seen: impersonate 3; the last 2026-11-01T01:00:00Z
- apiGroups: [""]
  resources: [groups]
  resourceNames: [chiefs]
  verbs: [impersonate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: least-user-jane
  annotations:
    gatehouse.io/generated-for: "user:jane"
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: least-user-jane
subjects:
- kind: User
  apiGroup: rbac.authorization.k8s.io
  name: jane
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: least-user-jane
  namespace: shop
  annotations:
    gatehouse.io/generated-for: "user:jane"
rules:
# seen: get 3; the last 2026-11-01T01:00:00Z
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: least-user-jane
  namespace: shop
  annotations:
    gatehouse.io/generated-for: "user:jane"
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: least-user-jane
subjects:
- kind: User
  apiGroup: rbac.authorization.k8s.io
  name: jane
# refused, and not granted: get pods [web] in shop, 3 requests, the last 2026-11-01T01:00:00Z
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// Hostile names are data in the YAML, whatever they look like.
func FuzzManifest(f *testing.F) {
	f.Add("jane", "shop", "web")
	f.Add("a\nb: c", "true", "\u202e")
	f.Add("# x", "- y", "\x1b[2J")
	f.Fuzz(func(t *testing.T, who, namespace, name string) {
		r := request(func(r *audit.Request) { r.User, r.Namespace, r.Name = who, namespace, name })
		refused := request(func(r *audit.Request) { r.User, r.Namespace, r.Name, r.Decision = who, namespace, name, "forbid" })
		subject := rbacv1.Subject{Kind: "User", Name: who}
		reader := &ordering{Memory: &audit.Memory{}, requests: []*audit.Request{r, refused}}
		if !utf8.ValidString(who) {
			if _, err := Generate(context.Background(), reader, GenerateOptions{Subject: subject}); err == nil {
				t.Fatalf("%q can be granted something", who)
			}
			return
		}
		g := generated(t, reader, GenerateOptions{Subject: subject})
		var out bytes.Buffer
		if err := g.Write(&out, true); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.String() {
			if c != '\n' && (c < 0x20 || c >= 0x7f && c < 0xa0 || c == 0x202e) {
				t.Fatalf("%q is in the YAML", c)
			}
		}
		if who == "" || g.Granted.Distinct == 0 {
			return
		}
		v, err := cluster.FromFiles(context.Background(), []string{"-"}, &out, cluster.FileOptions{})
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		subjects := []rbacv1.Subject{}
		for _, h := range v.RoleBindings {
			subjects = append(subjects, h.Object.Subjects...)
		}
		for _, h := range v.ClusterRoleBindings {
			subjects = append(subjects, h.Object.Subjects...)
		}
		if len(subjects) != 1 || subjects[0].Name != who {
			t.Fatalf("%v, want %q", subjects, who)
		}
	})
}
