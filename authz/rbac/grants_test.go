package rbac

import (
	"context"
	"math/rand/v2"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Grants finds something where upstream allows, and nothing where it does not; and
// each rule it finds allows the request by itself, while each it leaves out does not.
func TestGrantsAreAllThatAllow(t *testing.T) {
	ctx := context.Background()
	w := newWorld(rand.New(rand.NewPCG(5, 2026)))
	allowed, several := 0, 0
	for n := range 4000 {
		for range 3 {
			w.change()
		}
		if n%200 == 199 {
			w = newWorld(w.r)
		}
		a := w.request()
		found := map[Grant]bool{}
		w.index.Grants(a, func(g Grant) { found[g] = true })
		decision, _, _ := w.upstream.Authorize(ctx, a)
		if (len(found) > 0) != (decision == authorizer.DecisionAllow) {
			t.Fatalf("%s: %v, and upstream says %v", show(a), found, decision)
		}
		if len(found) > 0 {
			allowed++
		}
		if len(found) > 1 {
			several++
		}
		if n%8 != 0 {
			continue
		}
		want := map[Grant]bool{}
		for _, o := range append(w.bindings.List(), w.clusterBindings.List()...) {
			expectGrants(t, w, o, a, want)
		}
		for g := range want {
			if !found[g] {
				t.Fatalf("%s: %+v allows it and is not found", show(a), g)
			}
		}
		for g := range found {
			if !want[g] {
				t.Fatalf("%s: %+v does not allow it by itself", show(a), g)
			}
		}
	}
	if allowed < 400 || several < 100 {
		t.Errorf("%d allowed, %d of them by several rules, are too few to prove anything", allowed, several)
	}
}

// expectGrants asks upstream about every rule of a binding's role alone.
func expectGrants(t *testing.T, w *world, binding any, a authorizer.AttributesRecord, want map[Grant]bool) {
	t.Helper()
	g := Grant{}
	var ref rbacv1.RoleRef
	switch b := binding.(type) {
	case *rbacv1.RoleBinding:
		g.BindingNamespace, g.Binding, ref = b.Namespace, b.Name, b.RoleRef
	case *rbacv1.ClusterRoleBinding:
		g.Binding, ref = b.Name, b.RoleRef
	}
	g.RoleKind, g.Role = ref.Kind, ref.Name
	var rules []rbacv1.PolicyRule
	switch ref.Kind {
	case kindRole:
		g.RoleNamespace = g.BindingNamespace
		if o, ok, _ := w.roles.GetByKey(g.RoleNamespace + "/" + g.Role); ok {
			rules = o.(*rbacv1.Role).Rules
		}
	case kindClusterRole:
		if o, ok, _ := w.clusterRoles.GetByKey(g.Role); ok {
			rules = o.(*rbacv1.ClusterRole).Rules
		}
	}
	for i := range rules {
		alone := newWorld(w.r)
		alone.put(binding)
		if meta := (metav1.ObjectMeta{Namespace: g.RoleNamespace, Name: g.Role}); ref.Kind == kindRole {
			alone.put(&rbacv1.Role{ObjectMeta: meta, Rules: rules[i : i+1]})
		} else {
			alone.put(&rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules[i : i+1]})
		}
		if d, _, _ := alone.upstream.Authorize(context.Background(), a); d == authorizer.DecisionAllow {
			g.Rule = i
			want[g] = true
		}
	}
}
