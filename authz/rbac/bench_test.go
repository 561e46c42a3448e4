package rbac

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// benchRoles are roles like those of a real cluster: few rules, one large.
func benchRoles() []any {
	verbs := [][]string{{"get", "list", "watch"}, {"*"}, {"create", "update", "patch", "delete"}, {"get"}}
	resources := [][]string{{"pods", "pods/log", "services", "configmaps"}, {"deployments", "replicasets"}, {"secrets"}, {"jobs", "cronjobs"}}
	groups := [][]string{{""}, {"apps"}, {""}, {"batch"}}
	var all []any
	for i := range 50 {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("role-", i)}}
		for n := range 1 + i%5 {
			role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: verbs[(i+n)%4], APIGroups: groups[(i+n)%4], Resources: resources[(i+n)%4]})
		}
		if i%10 == 9 {
			for n := range 40 {
				role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: verbs[n%4], APIGroups: []string{"example.com"}, Resources: []string{fmt.Sprint("kind", n), fmt.Sprint("kind", n, "/status")}})
			}
		}
		all = append(all, role)
	}
	return all
}

// benchBindings are n bindings, spread over users, groups, service accounts and
// 10,000 namespaces; one in twenty is of the cluster.
func benchBindings(n int) []any {
	all := make([]any, n)
	for i := range all {
		var s rbacv1.Subject
		switch i % 3 {
		case 0:
			s = rbacv1.Subject{Kind: "User", Name: fmt.Sprint("user-", i/3)}
		case 1:
			s = rbacv1.Subject{Kind: "Group", Name: fmt.Sprint("group-", i/3%50_000)}
		default:
			s = rbacv1.Subject{Kind: "ServiceAccount", Name: fmt.Sprint("account-", i/3), Namespace: benchNamespace(i)}
		}
		meta := metav1.ObjectMeta{Name: fmt.Sprint("binding-", i)}
		ref := rbacv1.RoleRef{Kind: "ClusterRole", Name: fmt.Sprint("role-", i%50)}
		if i%20 == 7 {
			all[i] = &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{s}, RoleRef: ref}
		} else {
			meta.Namespace = benchNamespace(i)
			all[i] = &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{s}, RoleRef: ref}
		}
	}
	return all
}

func benchNamespace(i int) string { return fmt.Sprint("namespace-", i%10_000) }

// active is how many requesters are at work at a time: their entries stay in the
// processor's caches. rare is as if everybody came once, and hardly anything did.
const active, rare = 100, 20_000

// benchRequests are requests of n users that are bound, which they may make, or
// may not.
func benchRequests(bindings []any, count int, allowed bool) []authorizer.Attributes {
	roles := map[string]*rbacv1.ClusterRole{}
	for _, o := range benchRoles() {
		roles[o.(*rbacv1.ClusterRole).Name] = o.(*rbacv1.ClusterRole)
	}
	var all []authorizer.Attributes
	for n := 0; len(all) < count; n++ {
		a := authorizer.AttributesRecord{ResourceRequest: true}
		var subject rbacv1.Subject
		var role string
		switch b := bindings[n*7919%len(bindings)].(type) {
		case *rbacv1.RoleBinding:
			a.Namespace, subject, role = b.Namespace, b.Subjects[0], b.RoleRef.Name
		case *rbacv1.ClusterRoleBinding:
			a.Namespace, subject, role = benchNamespace(n), b.Subjects[0], b.RoleRef.Name
		}
		groups := []string{"system:authenticated", "developers", "team-a"}
		switch subject.Kind {
		case "User":
			a.User = &user.DefaultInfo{Name: subject.Name, Groups: groups}
		case "Group":
			a.User = &user.DefaultInfo{Name: "somebody", Groups: append(groups, subject.Name)}
		default:
			a.User = &user.DefaultInfo{Name: accountPrefix + subject.Namespace + ":" + subject.Name,
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + subject.Namespace, "system:authenticated"}}
		}
		rule := roles[role].Rules[n%len(roles[role].Rules)]
		a.Verb, a.APIGroup, a.Resource, a.Name = rule.Verbs[0], rule.APIGroups[0], rule.Resources[0], "an-object"
		if a.Verb == "*" {
			a.Verb = "patch"
		}
		if !allowed {
			a.APIGroup, a.Resource, a.Verb = "", "nodes", "delete"
		}
		all = append(all, a)
	}
	return all
}

func benchIndex(tb testing.TB, n int) (*Index, []any) {
	tb.Helper()
	x := New(Options{})
	bindings := benchBindings(n)
	load(tb, x, append(benchRoles(), bindings...))
	return x, bindings
}

func load(tb testing.TB, x *Index, objects []any) {
	tb.Helper()
	changes := make([]Change, len(objects))
	for i, o := range objects {
		changes[i] = Change{New: o}
	}
	if err := x.Apply(changes...); err != nil {
		tb.Fatal(err)
	}
}

var benchSizes = []int{10, 10_000, 100_000, 1_000_000}

func BenchmarkAuthorize(b *testing.B) {
	for _, n := range benchSizes {
		x, bindings := benchIndex(b, n)
		for _, allowed := range []bool{true, false} {
			requests := benchRequests(bindings, active, allowed)
			b.Run(fmt.Sprintf("%s/side=gatehouse/bindings=%d", verdict(allowed), n), func(b *testing.B) { run(b, x, requests, allowed) })
			requests = benchRequests(bindings, rare, allowed)
			b.Run(fmt.Sprintf("%s-rare/side=gatehouse/bindings=%d", verdict(allowed), n), func(b *testing.B) { run(b, x, requests, allowed) })
		}
		up := benchUpstream(b, bindings)
		for _, allowed := range []bool{true, false} {
			requests := benchRequests(bindings, active, allowed)
			b.Run(fmt.Sprintf("%s/side=upstream/bindings=%d", verdict(allowed), n), func(b *testing.B) { run(b, up, requests, allowed) })
		}
	}
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

func run(b *testing.B, a authorizer.UnconditionalAuthorizer, requests []authorizer.Attributes, allowed bool) {
	ctx := context.Background()
	for _, r := range requests[:20] {
		if d, _, _ := a.Authorize(ctx, r); (d == authorizer.DecisionAllow) != allowed {
			b.Fatalf("%+v: %v", r, d)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_, _, _ = a.Authorize(ctx, requests[i%len(requests)])
		i++
	}
}

func benchUpstream(tb testing.TB, bindings []any) *upstream.RBACAuthorizer {
	tb.Helper()
	store := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	roles, bound, clusterRoles, clusterBound := store(), store(), store(), store()
	for _, o := range append(benchRoles(), bindings...) {
		to := bound
		switch o.(type) {
		case *rbacv1.ClusterRole:
			to = clusterRoles
		case *rbacv1.ClusterRoleBinding:
			to = clusterBound
		}
		if err := to.Add(o); err != nil {
			tb.Fatal(err)
		}
	}
	return upstream.New(&upstream.RoleGetter{Lister: rbaclisters.NewRoleLister(roles)},
		&upstream.RoleBindingLister{Lister: rbaclisters.NewRoleBindingLister(bound)},
		&upstream.ClusterRoleGetter{Lister: rbaclisters.NewClusterRoleLister(clusterRoles)},
		&upstream.ClusterRoleBindingLister{Lister: rbaclisters.NewClusterRoleBindingLister(clusterBound)})
}

// BenchmarkApply is the time until a change in a million bindings is in force.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{10, 1_000_000} {
		x, bindings := benchIndex(b, n)
		b.Run(fmt.Sprintf("change=binding/bindings=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				change := Change{Old: bindings[i/2*7919%n]}
				if i%2 == 1 {
					change = Change{New: change.Old}
				}
				if err := x.Apply(change); err != nil {
					b.Fatal(err)
				}
				i++
			}
			load(b, x, bindings)
		})
		b.Run(fmt.Sprintf("change=role/bindings=%d", n), func(b *testing.B) {
			roles := benchRoles()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := x.Apply(Change{New: roles[i%len(roles)]}); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkLoad is the time to enter bindings into an empty Index, and the memory
// it takes for each.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		objects := append(benchRoles(), benchBindings(n)...)
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			var used uint64
			for b.Loop() {
				b.StopTimer()
				before := heap()
				x := New(Options{})
				b.StartTimer()
				load(b, x, objects)
				b.StopTimer()
				used = heap() - before
				runtime.KeepAlive(x)
				b.StartTimer()
			}
			b.ReportMetric(float64(used)/float64(n), "heap-B/binding")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkWhoCan(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		x, _ := benchIndex(b, n)
		pods := authorizer.AttributesRecord{ResourceRequest: true, Verb: "get", Resource: "pods", Namespace: "namespace-8"}
		b.Run(fmt.Sprintf("in=namespace/bindings=%d", n), func(b *testing.B) {
			for b.Loop() {
				if result, err := x.WhoCan(pods, WhoCanOptions{}); err != nil || len(result.Holders) == 0 {
					b.Fatal(err, len(result.Holders))
				}
			}
		})
		b.Run(fmt.Sprintf("in=any/bindings=%d", n), func(b *testing.B) {
			for b.Loop() {
				if result, err := x.WhoCan(pods, WhoCanOptions{AnyNamespace: true}); err != nil || len(result.Holders) == 0 {
					b.Fatal(err, len(result.Holders))
				}
			}
		})
	}
}

// A decision allocates nothing, whatever it is.
func TestDecisionsAllocateNothing(t *testing.T) {
	x, bindings := benchIndex(t, 10_000)
	ctx := context.Background()
	for _, allowed := range []bool{true, false} {
		requests := benchRequests(bindings, 1000, allowed)
		all := func() {
			for _, r := range requests {
				_, _, _ = x.Authorize(ctx, r)
			}
		}
		all() // reasons are made when they are first given
		if n := testing.AllocsPerRun(3, all); n != 0 {
			t.Errorf("%d %s decisions make %v allocations, want 0", len(requests), verdict(allowed), n)
		}
	}
}
