package replay

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	rbaclisters "k8s.io/client-go/listers/rbac/v1"
	"k8s.io/client-go/tools/cache"
	upstream "k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// objects are RBAC objects by what names them.
type objects map[string]metav1.Object

func (o objects) put(object metav1.Object) {
	o[fmt.Sprintf("%T %s/%s", object, object.GetNamespace(), object.GetName())] = object
}

// view is what package cluster would make of the objects.
func (o objects) view() *cluster.View {
	v := &cluster.View{}
	for _, object := range o {
		source := gate.Source{Namespace: object.GetNamespace(), Name: object.GetName(), File: "world.yaml", Line: 7}
		switch x := object.(type) {
		case *rbacv1.Role:
			source.Kind = "Role"
			v.Roles = append(v.Roles, cluster.Held[*rbacv1.Role]{Object: x, Source: source})
		case *rbacv1.RoleBinding:
			source.Kind = "RoleBinding"
			v.RoleBindings = append(v.RoleBindings, cluster.Held[*rbacv1.RoleBinding]{Object: x, Source: source})
		case *rbacv1.ClusterRole:
			source.Kind = "ClusterRole"
			v.ClusterRoles = append(v.ClusterRoles, cluster.Held[*rbacv1.ClusterRole]{Object: x, Source: source})
		case *rbacv1.ClusterRoleBinding:
			source.Kind = "ClusterRoleBinding"
			v.ClusterRoleBindings = append(v.ClusterRoleBindings, cluster.Held[*rbacv1.ClusterRoleBinding]{Object: x, Source: source})
		}
	}
	ordered(v.Roles)
	ordered(v.RoleBindings)
	ordered(v.ClusterRoles)
	ordered(v.ClusterRoleBindings)
	return v
}

func ordered[T any](list []cluster.Held[T]) {
	slices.SortFunc(list, func(a, b cluster.Held[T]) int {
		return cmp.Or(cmp.Compare(a.Source.Namespace, b.Source.Namespace), cmp.Compare(a.Source.Name, b.Source.Name))
	})
}

// upstream is upstream's authorizer over the objects.
func (o objects) upstream() *upstream.RBACAuthorizer {
	store := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	roles, bindings, clusterRoles, clusterBindings := store(), store(), store(), store()
	for _, object := range o {
		to := clusterBindings
		switch object.(type) {
		case *rbacv1.Role:
			to = roles
		case *rbacv1.RoleBinding:
			to = bindings
		case *rbacv1.ClusterRole:
			to = clusterRoles
		}
		if err := to.Add(object); err != nil {
			panic(err)
		}
	}
	return upstream.New(&upstream.RoleGetter{Lister: rbaclisters.NewRoleLister(roles)},
		&upstream.RoleBindingLister{Lister: rbaclisters.NewRoleBindingLister(bindings)},
		&upstream.ClusterRoleGetter{Lister: rbaclisters.NewClusterRoleLister(clusterRoles)},
		&upstream.ClusterRoleBindingLister{Lister: rbaclisters.NewClusterRoleBindingLister(clusterBindings)})
}

// chance makes worlds and requests that meet.
type chance struct{ *rand.Rand }

func newChance(seed uint64) chance { return chance{rand.New(rand.NewPCG(seed, 2026))} }

func (c chance) pick(from ...string) string { return from[c.IntN(len(from))] }

func (c chance) some(most int, from ...string) (picked []string) {
	for range 1 + c.IntN(most) {
		picked = append(picked, c.pick(from...))
	}
	return picked
}

var (
	worldNames      = []string{"a", "b", "c", "d", "e"}
	worldNamespaces = []string{"n1", "n2", "n3"}
	worldUsers      = []string{"jane", "joe", "system:serviceaccount:n1:a", "system:serviceaccount:n2:b"}
	worldGroups     = []string{"developers", "ops", "system:authenticated"}
	worldVerbs      = []string{"get", "list", "watch", "create", "update", "delete", "frobnicate"}
	worldResources  = []string{"pods", "pods/log", "services", "secrets"}
)

func (c chance) rules() []rbacv1.PolicyRule {
	rules := make([]rbacv1.PolicyRule, 1+c.IntN(3))
	for i := range rules {
		r := &rules[i]
		r.Verbs = c.some(3, append(worldVerbs, "*")...)
		if c.IntN(8) == 0 {
			r.NonResourceURLs = c.some(2, "/healthz", "/metrics", "/api*", "*")
			continue
		}
		r.APIGroups = c.some(2, "", "", "apps", "*")
		r.Resources = c.some(3, append(worldResources, "*", "*/log")...)
		if c.IntN(4) == 0 {
			r.ResourceNames = c.some(3, worldNames...)
		}
	}
	return rules
}

func (c chance) object() metav1.Object {
	meta := metav1.ObjectMeta{Name: c.pick(worldNames...), Namespace: c.pick(worldNamespaces...)}
	whole := metav1.ObjectMeta{Name: meta.Name}
	var subjects []rbacv1.Subject
	for range 1 + c.IntN(3) {
		switch c.IntN(3) {
		case 0:
			subjects = append(subjects, rbacv1.Subject{Kind: "User", Name: c.pick("jane", "joe")})
		case 1:
			subjects = append(subjects, rbacv1.Subject{Kind: "Group", Name: c.pick("developers", "ops")})
		default:
			subjects = append(subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: c.pick("a", "b"), Namespace: c.pick("n1", "n2")})
		}
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: c.pick(worldNames...)}
	switch c.IntN(4) {
	case 0:
		return &rbacv1.Role{ObjectMeta: meta, Rules: c.rules()}
	case 1:
		return &rbacv1.ClusterRole{ObjectMeta: whole, Rules: c.rules()}
	case 2:
		if c.IntN(2) == 0 {
			ref.Kind = "Role"
		}
		return &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}
	}
	return &rbacv1.ClusterRoleBinding{ObjectMeta: whole, Subjects: subjects, RoleRef: ref}
}

func (c chance) world(size int) objects {
	o := objects{}
	for range size {
		o.put(c.object())
	}
	return o
}

var begun = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// event is one request, as it is recorded before anybody has decided.
func (c chance) event(n int) *audit.Event {
	e := &audit.Event{ID: fmt.Sprint("event-", n), Stage: audit.StageComplete, Level: "Metadata", Time: begun.Add(time.Duration(n) * time.Second),
		User: c.pick(worldUsers...), Verb: c.pick(worldVerbs...), Annotations: map[string]string{}}
	if groups, whole := groupsOf(e.User); whole {
		e.Groups = groups
	} else {
		e.Groups = append(groups, c.some(2, worldGroups...)...)
	}
	if c.IntN(10) == 0 {
		e.Verb, e.URI = "get", c.pick("/healthz", "/metrics", "/api", "/apis/apps?timeout=3s")
		return e
	}
	e.Resource = c.pick("pods", "services", "secrets")
	e.APIGroup = c.pick("", "", "", "apps")
	if e.Resource == "pods" {
		e.Subresource = c.pick("", "", "log")
	}
	e.Namespace = c.pick(append(worldNamespaces, "")...)
	if e.Verb != "create" {
		e.Name = c.pick(append(worldNames, "")...)
	}
	return e
}

// recorded are events with the decisions that an authorizer makes of them.
func (c chance) recorded(count int, a authorizer.UnconditionalAuthorizer) []*audit.Event {
	events := make([]*audit.Event, count)
	for n := range events {
		e := c.event(n)
		d, reason, _ := a.Authorize(context.Background(), attributesOf(e))
		e.Annotations[audit.AnnotationDecision], e.Annotations[audit.AnnotationReason] = "forbid", reason
		if d == authorizer.DecisionAllow {
			e.Annotations[audit.AnnotationDecision] = "allow"
		}
		events[n] = e
	}
	return events
}

// attributesOf is an event as an API server asks about it, made without this package.
func attributesOf(e *audit.Event) authorizer.AttributesRecord {
	a := authorizer.AttributesRecord{User: &user.DefaultInfo{Name: e.User, Groups: e.Groups}, Verb: e.Verb}
	if e.Resource == "" {
		a.Path, _, _ = cutQuery(e.URI)
		return a
	}
	a.ResourceRequest = true
	a.APIGroup, a.Resource, a.Subresource, a.Namespace, a.Name = e.APIGroup, e.Resource, e.Subresource, e.Namespace, e.Name
	return a
}

func cutQuery(uri string) (path, query string, found bool) {
	for i := range uri {
		if uri[i] == '?' {
			return uri[:i], uri[i+1:], true
		}
	}
	return uri, "", false
}

func memory(events []*audit.Event) *audit.Memory {
	m := &audit.Memory{}
	m.Add(events...)
	return m
}
