package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// Every verdict, reason and list of rules is upstream's, over random objects that
// come, change and go, and random requests in between.
func TestEqualsUpstream(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(2026, 11)))
	allowed, incomplete := 0, 0
	for n := range differentialRequests {
		if n%10 == 0 {
			w.change()
		}
		if n%20_000 == 0 { // begin anew now and then: a full world is all alike
			w = newWorld(w.r)
			for range w.r.IntN(60) {
				w.change()
			}
		}
		a := w.request()
		decision, reason := compare(t, w, a)
		if n%10 == 5 {
			compareRules(t, w, a)
		}
		if n%50 == 7 {
			compareCovers(t, w, a)
		}
		if decision == authorizer.DecisionAllow {
			allowed++
		} else if reason != "" {
			incomplete++
		}
		if t.Failed() {
			t.Fatalf("request %d", n)
		}
	}
	t.Logf("%d requests, %d allowed, %d with a role that is not there", differentialRequests, allowed, incomplete)
	if allowed < differentialRequests/10 || allowed > differentialRequests*9/10 || incomplete < differentialRequests/100 {
		t.Error("the requests are too much alike to prove anything")
	}
}

func FuzzEqualsUpstream(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		w := newWorld(rand.New(rand.NewPCG(a, b)))
		for range 100 {
			w.change()
			request := w.request()
			compare(t, w, request)
			compareRules(t, w, request)
			compareCovers(t, w, request)
		}
	})
}

func compare(t *testing.T, w *world, a authorizer.AttributesRecord) (authorizer.Decision, string) {
	t.Helper()
	ctx := context.Background()
	want, wantReason, wantErr := w.upstream.Authorize(ctx, a)
	got, reason, err := w.index.Authorize(ctx, a)
	if got != want || (err == nil) != (wantErr == nil) {
		t.Errorf("%s: decision %v, error %v; upstream: %v (%s), %v", show(a), got, err, want, wantReason, wantErr)
		return got, reason
	}
	if got == authorizer.DecisionAllow && w.r.IntN(20) == 0 {
		// Which of several bindings is named is chance, here and there: the one that
		// is named here must do by itself.
		step := w.index.Explain(a)
		alone := newWorld(w.r)
		for _, s := range step.Sources {
			for _, store := range []struct {
				kind string
				list []any
			}{{"Role", w.roles.List()}, {"RoleBinding", w.bindings.List()}, {"ClusterRole", w.clusterRoles.List()}, {"ClusterRoleBinding", w.clusterBindings.List()}} {
				for _, o := range store.list {
					if m := o.(metav1.Object); s.Kind == store.kind && s.Name == m.GetName() && s.Namespace == m.GetNamespace() {
						alone.put(o)
					}
				}
			}
		}
		if d, r, _ := alone.upstream.Authorize(ctx, a); d != authorizer.DecisionAllow || r != reason {
			// The subject that is named may be another that means the user too.
			if d != authorizer.DecisionAllow || prefixTo(r) != prefixTo(reason) {
				t.Errorf("%s: is allowed with %q; upstream, by %v alone: %v, %q", show(a), reason, step.Sources, d, r)
			}
		}
	} else if got != authorizer.DecisionAllow && reason != wantReason && !slices.Equal(sentences(reason), sentences(wantReason)) {
		t.Errorf("%s: reason %q; upstream: %q", show(a), reason, wantReason)
	}
	return got, reason
}

// prefixTo is a reason up to the subject.
func prefixTo(reason string) string { return reason[:strings.LastIndex(reason, " to ")] }

// sentences are the errors of a reason, in order.
func sentences(reason string) []string {
	reason = strings.TrimPrefix(reason, "RBAC: ")
	list := strings.Split(strings.Trim(reason, "[]"), ", ")
	slices.Sort(list)
	return list
}

func compareRules(t *testing.T, w *world, a authorizer.AttributesRecord) {
	t.Helper()
	wantResources, wantURLs, wantIncomplete, wantErr := w.upstream.RulesFor(context.Background(), a.User, a.Namespace)
	resources, urls, incomplete, err := w.index.RulesFor(context.Background(), a.User, a.Namespace)
	if got, want := sorted(resources), sorted(wantResources); !slices.Equal(got, want) {
		t.Errorf("%s: resource rules\n%v\nupstream:\n%v", show(a), got, want)
	}
	if got, want := sorted(urls), sorted(wantURLs); !slices.Equal(got, want) {
		t.Errorf("%s: other rules %v, upstream: %v", show(a), got, want)
	}
	if incomplete != wantIncomplete || !slices.Equal(sentences(fmt.Sprint(err)), sentences(fmt.Sprint(wantErr))) {
		t.Errorf("%s: incomplete %v, %v; upstream: %v, %v", show(a), incomplete, err, wantIncomplete, wantErr)
	}
}

// compareCovers asks both what of some rules the user may not hand on.
func compareCovers(t *testing.T, w *world, a authorizer.AttributesRecord) {
	t.Helper()
	wanted := w.rules()
	own, _ := w.resolver.RulesFor(context.Background(), a.User, a.Namespace)
	_, missing := validation.Covers(own, wanted)
	if got, want := sorted(w.index.Missing(a.User, a.Namespace, wanted)), sorted(missing); !slices.Equal(got, want) {
		t.Errorf("%s: may not hand on %v; upstream: %v", show(a), got, want)
	}
}

func sorted[E any](rules []E) []string {
	var texts []string
	for _, r := range rules {
		data, _ := json.Marshal(r)
		texts = append(texts, string(data))
	}
	slices.Sort(texts)
	return texts
}

func show(a authorizer.AttributesRecord) string {
	return fmt.Sprintf("user %q of %q: %s %q/%q/%q %q in %q, path %q", a.User.GetName(), a.User.GetGroups(), a.Verb, a.APIGroup, a.Resource, a.Subresource, a.Name, a.Namespace, a.Path)
}

// Taking any binding away allows nothing that was refused.
func TestDeletingABindingAllowsNothing(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(7, 7)))
	for range 300 {
		for range 20 {
			w.change()
		}
		bindings := append(w.bindings.List(), w.clusterBindings.List()...)
		if len(bindings) == 0 {
			continue
		}
		var refused []authorizer.AttributesRecord
		for range 50 {
			a := w.request()
			if d, _, _ := w.index.Authorize(context.Background(), a); d != authorizer.DecisionAllow {
				refused = append(refused, a)
			}
		}
		w.delete(bindings[w.r.IntN(len(bindings))])
		for _, a := range refused {
			if d, reason, _ := w.index.Authorize(context.Background(), a); d == authorizer.DecisionAllow {
				t.Fatalf("%s is allowed after a binding has gone: %s", show(a), reason)
			}
		}
	}
}

// An Index that everything has been taken from is as small as a new one.
func TestNothingStays(t *testing.T) {
	w := newWorld(rand.New(rand.NewPCG(3, 3)))
	for range 5000 {
		w.change()
	}
	for _, store := range []interface{ List() []any }{w.bindings, w.roles, w.clusterBindings, w.clusterRoles} {
		for _, o := range store.List() {
			w.delete(o)
		}
	}
	x := w.index
	if s := x.now.Load(); len(x.roles) != 0 || x.ordered.Len() != 0 || len(x.bindings) != 0 || s.users.len != 0 || s.groups.len != 0 {
		t.Errorf("left: %d roles, %d bindings, %d users, %d groups", len(x.roles), len(x.bindings), s.users.len, s.groups.len)
	}
}

func TestOtherObjectsAreRefused(t *testing.T) {
	x := New(Options{})
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}}
	if err := x.Apply(Change{New: role}, Change{New: metav1.ObjectMeta{}}); err == nil {
		t.Error("an object that is none is taken")
	}
	if len(x.roles) != 0 {
		t.Error("the half of a refused batch is in")
	}
}
