package guard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// world is where random Guards and requests are drawn from. It is small, so that
// they meet often.
var world = struct{ users, groups, verbs, apiGroups, resources, subs, namespaces, names, paths []string }{
	users:      []string{"anna", "bob", "system:serviceaccount:ci:build", "system:serviceaccount:shop:web", "system:anonymous", ""},
	groups:     []string{"devs", "ops", "system:authenticated", "system:serviceaccounts", "\xff\xfe"},
	verbs:      []string{"get", "list", "watch", "create", "delete", "deletecollection", "*"},
	apiGroups:  []string{"", "apps", "gatehouse.io", "*"},
	resources:  []string{"pods", "secrets", "nodes", "namespaces", "guards", "*"},
	subs:       []string{"", "", "log", "exec", "*"},
	namespaces: []string{"", "shop", "shop-a", "shop-b", "ci", "lab"},
	names:      []string{"", "db", "db-1", "db-2", "web"},
	paths:      []string{"/", "/metrics", "/debug/a", "/debug/b", "/debug/*", "*"},
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// some draws at most most members, mostly few.
func some(r *rand.Rand, most int, from ...string) []string {
	var out []string
	for range r.IntN(most + 1) {
		if s := pick(r, from); !slices.Contains(out, s) && s != "" {
			out = append(out, s)
		}
	}
	return out
}

func randomSubjects(r *rand.Rand) v1alpha1.GuardSubjects {
	s := v1alpha1.GuardSubjects{Users: some(r, 2, world.users...), Groups: some(r, 2, world.groups...)}
	if r.IntN(3) == 0 {
		s.ServiceAccounts = append(s.ServiceAccounts, v1alpha1.GuardServiceAccount{Namespace: pick(r, []string{"ci", "shop"}), Name: pick(r, []string{"*", "web", "build"})})
	}
	return s
}

// randomGuard draws a Guard that compiles.
func randomGuard(r *rand.Rand, name string) v1alpha1.Guard {
	for {
		g := v1alpha1.Guard{}
		g.Name, g.Spec.Reason = name, "because"
		g.Spec.Subjects = randomSubjects(r)
		g.Spec.Subjects.All = r.IntN(3) == 0
		if r.IntN(3) == 0 {
			except := randomSubjects(r)
			g.Spec.Except = &except
		}
		g.Spec.Verbs = some(r, 3, world.verbs...)
		g.Spec.ExceptVerbs = some(r, 1, "get", "list", "create")
		g.Spec.APIGroups = some(r, 2, world.apiGroups...)
		g.Spec.Resources = some(r, 3, "*", "pods", "pods/log", "pods/*", "*/exec", "*/*", "secrets", "nodes", "namespaces", "guards")
		g.Spec.ExceptResources = some(r, 1, "secrets", "pods/*", "*/log", "*/*", "nodes")
		g.Spec.Names = some(r, 2, "db", "db-1", "db-*", "*-2", "*")
		g.Spec.Namespaces = some(r, 2, "shop", "shop-*", "*b", "ci", "s*-b", "*")
		g.Spec.NonResourceURLs = some(r, 2, "/metrics", "/debug/*", "*", "/*a")
		if r.IntN(5) == 0 {
			g.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
		}
		if r.IntN(4) == 0 {
			g.Spec.Mode = v1alpha1.GuardAudit
		}
		if _, err := compile(&g, nil); err == nil {
			return g
		}
	}
}

func randomRequest(r *rand.Rand) authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: pick(r, world.users), Groups: some(r, 3, world.groups...)}, Verb: pick(r, world.verbs)}
	if r.IntN(5) == 0 {
		a.Path = pick(r, world.paths)
		return a
	}
	a.ResourceRequest = true
	a.APIGroup, a.Resource, a.Subresource = pick(r, world.apiGroups), pick(r, world.resources), pick(r, world.subs)
	a.Namespace, a.Name = pick(r, world.namespaces), pick(r, world.names)
	return a
}

var randomOptions = Options{
	Namespaces: labelled{"shop": {"env": "prod"}, "shop-a": {}, "ci": {"env": "test"}},
	Scopes:     scopes{"pods.": true, "secrets.apps": false},
}

// The index is what asking every Guard is, after any history of changes.
func TestIndexEqualsScan(t *testing.T) {
	comparisons, pairs, touched := 0, 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := newTest(t, randomOptions)
		for step := range 60 {
			// The first seeds keep few Guards, the later ones enough for bitmaps.
			for range 1 + seed/4 {
				name := fmt.Sprintf("g%d", r.IntN(4+int(seed)*12))
				if r.IntN(4) == 0 {
					a.Delete(name)
					continue
				}
				g := randomGuard(r, name)
				if err := a.Upsert(&g); err != nil {
					t.Fatal(err)
				}
			}
			x := a.current.Load()
			if x.size != len(a.rules) {
				t.Fatalf("seed %d, step %d: %d rules in the index, %d in the set", seed, step, x.size, len(a.rules))
			}
			for range 60 {
				request := randomRequest(r)
				q := newRequest(request, a.opts.Namespaces, a.opts.Scopes)
				got, want := namesOf(x.touching(&q)), namesOf(x.scan(&q))
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: %+v\nindex %v\nscan  %v", seed, step, request, got, want)
				}
				comparisons++
				pairs += x.size
				touched += len(want)
			}
		}
	}
	t.Logf("%d comparisons, of %d Guards on average; %d%% of them touch", comparisons, pairs/comparisons, touched*100/pairs)
	if comparisons < 100_000 || touched < pairs/100 || touched > pairs/2 {
		t.Errorf("the random requests are a poor test")
	}
}

func namesOf(rules []*rule) []string {
	var out []string
	for _, r := range rules {
		out = append(out, r.name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// A Guard more refuses more, never less, and its order among others is nothing.
func TestMoreGuardsRefuseMoreInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var guards []v1alpha1.Guard
		for i := range 1 + r.IntN(12) {
			guards = append(guards, randomGuard(r, fmt.Sprintf("g%d", i)))
		}
		fewer, whole := newTest(t, randomOptions, guards[1:]...), newTest(t, randomOptions, guards...)
		shuffled := newTest(t, randomOptions)
		for _, i := range r.Perm(len(guards)) {
			if err := shuffled.Upsert(&guards[i]); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			request := randomRequest(r)
			before, _, _ := fewer.Authorize(t.Context(), request)
			after, reason, _ := whole.Authorize(t.Context(), request)
			if before == authorizer.DecisionDeny && after != authorizer.DecisionDeny {
				t.Fatalf("seed %d: a Guard more lets pass %+v", seed, request)
			}
			if other, otherReason, _ := shuffled.Authorize(t.Context(), request); other != after || otherReason != reason {
				t.Fatalf("seed %d: in another order %v %q, not %v %q", seed, other, otherReason, after, reason)
			}
			if after == authorizer.DecisionAllow || before == authorizer.DecisionAllow {
				t.Fatal("a Guard allows")
			}
		}
	}
}

// Whoever asks for everything is refused wherever a part of it is refused.
func TestWhatSpansIsTouchedWherePartsAre(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		a := newTest(t, randomOptions, randomGuard(r, "g"))
		for range 200 {
			part := randomRequest(r)
			if d, _, _ := a.Authorize(t.Context(), part); d != authorizer.DecisionDeny {
				continue
			}
			for what, widen := range map[string]func(*authorizer.AttributesRecord){
				"verb":     func(w *authorizer.AttributesRecord) { w.Verb = "*" },
				"group":    func(w *authorizer.AttributesRecord) { w.APIGroup = "*" },
				"resource": func(w *authorizer.AttributesRecord) { w.Resource, w.Subresource = "*", "" },
				"name":     func(w *authorizer.AttributesRecord) { w.Name = "" },
			} {
				wide := part
				widen(&wide)
				if what == "group" || what == "resource" {
					// A resource of one group may be in no namespace, one of all groups is in some.
					wide.Namespace = part.Namespace
				}
				if !part.ResourceRequest && what != "verb" {
					continue
				}
				if d, _, _ := a.Authorize(t.Context(), wide); d != authorizer.DecisionDeny {
					t.Fatalf("seed %d: %+v is refused, and with every %s it passes", seed, part, what)
				}
			}
		}
	}
}
