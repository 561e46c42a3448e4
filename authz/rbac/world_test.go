package rbac

import (
	"fmt"
	"math/rand/v2"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/registry/rbac/validation"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"
)

// world is a set of RBAC objects, in an Index and in upstream's listers.
type world struct {
	r     *rand.Rand
	index *Index

	roles, bindings, clusterRoles, clusterBindings cache.Indexer
	upstream                                       *upstream.RBACAuthorizer
	resolver                                       *validation.DefaultRuleResolver
}

func newWorld(r *rand.Rand) *world {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	store := func() cache.Indexer { return cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace) }
	w := &world{r: r, index: New(Options{}), roles: store(), bindings: store(), clusterRoles: store(), clusterBindings: store()}
	roles := &upstream.RoleGetter{Lister: rbaclisters.NewRoleLister(w.roles)}
	bindings := &upstream.RoleBindingLister{Lister: rbaclisters.NewRoleBindingLister(w.bindings)}
	clusterRoles := &upstream.ClusterRoleGetter{Lister: rbaclisters.NewClusterRoleLister(w.clusterRoles)}
	clusterBindings := &upstream.ClusterRoleBindingLister{Lister: rbaclisters.NewClusterRoleBindingLister(w.clusterBindings)}
	w.upstream = upstream.New(roles, bindings, clusterRoles, clusterBindings)
	w.resolver = validation.NewDefaultRuleResolver(roles, bindings, clusterRoles, clusterBindings)
	return w
}

// store is where upstream finds objects of a kind.
func (w *world) store(object any) cache.Indexer {
	switch object.(type) {
	case *rbacv1.Role:
		return w.roles
	case *rbacv1.RoleBinding:
		return w.bindings
	case *rbacv1.ClusterRole:
		return w.clusterRoles
	}
	return w.clusterBindings
}

func (w *world) put(object any) {
	if err := w.index.Apply(Change{New: object}); err != nil {
		panic(err)
	}
	if err := w.store(object).Update(object); err != nil {
		panic(err)
	}
}

func (w *world) delete(object any) {
	if err := w.index.Apply(Change{Old: object}); err != nil {
		panic(err)
	}
	if err := w.store(object).Delete(object); err != nil {
		panic(err)
	}
}

func (w *world) pick(from ...string) string { return from[w.r.IntN(len(from))] }

// some picks up to most of from, none of them now and then.
func (w *world) some(most int, from ...string) []string {
	var picked []string
	for range w.r.IntN(most + 1) {
		picked = append(picked, w.pick(from...))
	}
	return picked
}

// The names are few, so that requests and rules meet, and some are chosen to be
// taken for one another: a name that ends in a slash, a user like an account, a
// namespace with a colon.
var (
	names      = []string{"a", "b", "c", "d", "e", "f"}
	namespaces = []string{"n1", "n2", "n3", "n1:x"}
	users      = []string{"u1", "u2", "u3", "system:serviceaccount:n1:a", "system:serviceaccount:n1:x:a", "system:serviceaccount:n2:b", "", "system:serviceaccount::a"}
	groups     = []string{"g1", "g2", "g3", "u1", "system:authenticated", ""}
	verbs      = []string{"get", "list", "create", "delete", "*", "impersonate", "post", "frobnicate", ""}
	apiGroups  = []string{"", "apps", "batch", "*", "a*"}
	resources  = []string{"pods", "pods/log", "pods/*", "*", "*/log", "*/", "*/scale", "deployments", "deployments/scale", "/log", ""}
	urls       = []string{"/healthz", "/healthz/*", "/api*", "*", "/a/**", "/", "", "/h*z"}
)

func (w *world) rules() []rbacv1.PolicyRule {
	rules := make([]rbacv1.PolicyRule, w.r.IntN(6))
	for i := range rules {
		p := &rules[i]
		if p.Verbs = w.some(3, verbs...); w.r.IntN(2) == 0 {
			p.Verbs = append(p.Verbs, w.pick("get", "*"))
		}
		if w.r.IntN(5) == 0 {
			p.NonResourceURLs = w.some(3, urls...)
		}
		if w.r.IntN(6) != 0 {
			p.APIGroups = w.some(2, apiGroups...)
			if p.Resources = w.some(3, resources...); w.r.IntN(2) == 0 {
				p.APIGroups, p.Resources = append(p.APIGroups, ""), append(p.Resources, w.pick("pods", "*"))
			}
			if w.r.IntN(12) == 0 { // enough for the other ways of looking them up
				for n := range 20 {
					p.Resources = append(p.Resources, fmt.Sprint("r", n))
					p.ResourceNames = append(p.ResourceNames, fmt.Sprint("x", n))
				}
			}
			if w.r.IntN(4) == 0 {
				p.ResourceNames = append(p.ResourceNames, w.some(2, append(names, "")...)...)
			}
		}
	}
	return rules
}

func (w *world) subjects() []rbacv1.Subject {
	subjects := make([]rbacv1.Subject, w.r.IntN(6))
	for i := range subjects {
		s := &subjects[i]
		switch w.r.IntN(7) {
		case 0, 1, 2:
			s.Kind, s.Name = "User", w.pick(users...)
		case 3, 4:
			s.Kind, s.Name = "Group", w.pick(groups...)
		case 5:
			s.Kind, s.Name, s.Namespace = "ServiceAccount", w.pick("a", "b", "x:a", ""), w.pick("", "n1", "n1:x", "n2")
		default:
			s.Kind, s.Name = w.pick("user", "", "Sailor"), "u1"
		}
	}
	return subjects
}

func (w *world) roleRef() rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: w.pick("Role", "ClusterRole", "ClusterRole", "ClusterRole", "Role", "ClusterRole", "ClusterRole", "ClusterRole", "Role", "Roll"), Name: w.pick(names...)}
}

// object makes one of the four kinds.
func (w *world) object() any {
	meta := metav1.ObjectMeta{Name: w.pick(names...), Namespace: w.pick(namespaces...)}
	cluster := metav1.ObjectMeta{Name: meta.Name}
	switch w.r.IntN(4) {
	case 0:
		return &rbacv1.Role{ObjectMeta: meta, Rules: w.rules()}
	case 1:
		return &rbacv1.ClusterRole{ObjectMeta: cluster, Rules: w.rules()}
	case 2:
		return &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: w.subjects(), RoleRef: w.roleRef()}
	}
	return &rbacv1.ClusterRoleBinding{ObjectMeta: cluster, Subjects: w.subjects(), RoleRef: w.roleRef()}
}

// change puts or deletes an object.
func (w *world) change() {
	if o := w.object(); w.r.IntN(5) == 0 {
		w.delete(o)
	} else {
		w.put(o)
	}
}

func (w *world) user() user.Info {
	return &user.DefaultInfo{Name: w.pick(users...), Groups: w.some(4, groups...)}
}

func (w *world) request() authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{User: w.user(), Verb: w.pick(append(verbs, "get", "get", "get")...), Namespace: w.pick(append(namespaces, "", "", "n9")...)}
	if w.r.IntN(5) == 0 {
		a.Path = w.pick("/healthz", "/healthz/etcd", "/api", "/apis/apps", "/a/", "", "/", "*", "/h*z")
		return a
	}
	a.ResourceRequest = true
	a.APIGroup = w.pick("", "", "", "apps", "batch", "*")
	a.Resource = w.pick("pods", "pods", "pods", "pods/log", "deployments", "*", "r7", "", strings.Repeat("long", 40))
	a.Subresource = w.pick("", "", "log", "scale", "*")
	a.Name = w.pick("", "a", "b", "x3", "z")
	return a
}
