package cluster

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func viewOf(t *testing.T, text string) *View {
	t.Helper()
	v, err := FromFiles(context.Background(), []string{"-"}, strings.NewReader(text), FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const overlayBase = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edit, uid: "1"}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: edit}}]}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get]}
- {apiGroups: [x.io], resources: [ofARoleThatIsNotHere], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: a, labels: {to: edit}}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: b, namespace: shop}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
`

func TestWithReplacesAddsAndTakesAway(t *testing.T) {
	base := viewOf(t, overlayBase)
	change := viewOf(t, `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: a, labels: {to: edit}}
rules: [{apiGroups: [""], resources: [services], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: c, namespace: shop}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
`)
	next, missing := base.With(change, []Identity{{Kind: "role", Namespace: "shop", Name: "b"}, {Kind: "guard", Name: "none"}})
	if len(missing) != 1 || missing[0].Name != "none" {
		t.Errorf("missing %v", missing)
	}
	if _, ok := next.Source(Roles, "shop", "b"); ok {
		t.Error("a deleted role is there")
	}
	if _, ok := next.Source(Roles, "shop", "c"); !ok {
		t.Error("a new role is not there")
	}
	var resources []string
	for _, h := range next.ClusterRoles {
		if h.Object.Name == "edit" {
			for _, r := range h.Object.Rules {
				resources = append(resources, r.Resources...)
			}
		}
	}
	slices.Sort(resources)
	if !slices.Equal(resources, []string{"ofARoleThatIsNotHere", "services"}) {
		t.Errorf("the aggregated role has %v", resources)
	}
	for _, h := range base.ClusterRoles {
		if h.Object.Name == "edit" && len(h.Object.Rules) != 2 {
			t.Errorf("the view before has changed: %v", h.Object.Rules)
		}
	}
}

func TestWithNothingIsTheSame(t *testing.T) {
	base := viewOf(t, overlayBase)
	next, _ := base.With(&View{}, nil)
	for i := range base.ClusterRoles {
		if !sameMeaning(base.ClusterRoles[i].Object, next.ClusterRoles[i].Object) && len(base.ClusterRoles[i].Object.Rules) != len(next.ClusterRoles[i].Object.Rules) {
			t.Errorf("%v has become %v", base.ClusterRoles[i].Object, next.ClusterRoles[i].Object)
		}
	}
	if len(next.Roles) != 1 {
		t.Errorf("roles %v", next.Roles)
	}
}
