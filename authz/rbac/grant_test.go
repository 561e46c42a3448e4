package rbac

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	testclock "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

var reader = &rbacv1.ClusterRole{
	ObjectMeta: metav1.ObjectMeta{Name: "reader"},
	Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"pods", "secrets"}, ResourceNames: nil}},
}

func bind(name, namespace, to, expires string) any {
	meta := metav1.ObjectMeta{Name: name, Namespace: namespace}
	if expires != "" {
		meta.Annotations = map[string]string{v1alpha1.AnnotationExpiresAt: expires}
	}
	subjects := []rbacv1.Subject{{Kind: "User", Name: to}}
	ref := rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}
	if namespace == "" {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}
	}
	return &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref}
}

func gets(who, resource, namespace string) authorizer.AttributesRecord {
	return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: who}, Verb: "get", Resource: resource, Namespace: namespace, ResourceRequest: true}
}

// A binding with an end counts up to that second and not in it, for decisions and
// for every question.
func TestGrantEnds(t *testing.T) {
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	clock := testclock.NewFakePassiveClock(begin)
	x := New(Options{Clock: clock})
	load(t, x, []any{reader, bind("short", "shop", "jane", "2026-11-23T14:00:00+01:00"), bind("odd", "shop", "joe", "tomorrow")})

	check := func(at time.Time, who string, allowed bool) {
		t.Helper()
		clock.SetTime(at)
		a := gets(who, "pods", "shop")
		d, _, _ := x.Authorize(context.Background(), a)
		result, err := x.WhoCan(a, WhoCanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		holders := slices.DeleteFunc(result.Holders, func(h Holder) bool { return h.Subject.Name != who })
		rules, err := x.PolicyRulesFor(a.User, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if (d == authorizer.DecisionAllow) != allowed || (len(holders) > 0) != allowed || (len(rules) > 0) != allowed || (len(x.Access(a.User)) > 0) != allowed {
			t.Errorf("at %v %s: %v, holders %v, rules %v, want allowed %v", at, who, d, holders, rules, allowed)
		}
	}
	end := begin.Add(time.Hour) // 14:00 at +01:00
	check(begin, "jane", true)
	check(end.Add(-time.Nanosecond), "jane", true)
	check(end, "jane", false)
	check(end.Add(time.Hour), "jane", false)
	check(begin, "joe", false)

	// The clock is set back: the binding counts by the clock as it is.
	check(begin, "jane", true)

	clock.SetTime(end)
	step := x.Explain(gets("jane", "pods", "shop"))
	if len(step.Misses) == 0 || !strings.Contains(step.Misses[0].Lacks, "ended at 2026-11-23T13:00:00Z") {
		t.Errorf("the miss of an ended grant is %+v", step.Misses)
	}
	step = x.Explain(gets("joe", "pods", "shop"))
	if len(step.Misses) == 0 || !strings.Contains(step.Misses[0].Lacks, "cannot be read") {
		t.Errorf("the miss of a grant without a readable end is %+v", step.Misses)
	}

	// A lasting binding beside an ended one decides, in either order of arrival.
	load(t, x, []any{bind("lasting", "shop", "jane", "")})
	check(end, "jane", true)
	if err := x.Apply(Change{Old: bind("lasting", "shop", "jane", "")}); err != nil {
		t.Fatal(err)
	}
	check(end, "jane", false)
}

func TestExplain(t *testing.T) {
	x := New(Options{})
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "one", Namespace: "shop"}, Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"get"}, APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"web"}},
		{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}},
	}}
	if err := x.Apply(
		Change{New: reader, Source: &gate.Source{File: "rbac.yaml", Line: 7}},
		Change{New: bind("devs", "shop", "jane", "")},
		Change{New: bind("devs", "bank", "john", "")},
		Change{New: role},
		Change{New: &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "ones", Namespace: "shop"},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: "one"}}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "one"}}},
		Change{New: &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "dangling", Namespace: "shop"},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: "lost"}}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "none"}}},
	); err != nil {
		t.Fatal(err)
	}
	request := func(who, verb, group, resource, sub, name, namespace string) authorizer.AttributesRecord {
		return authorizer.AttributesRecord{User: &user.DefaultInfo{Name: who}, Verb: verb, APIGroup: group, Resource: resource, Subresource: sub, Name: name, Namespace: namespace, ResourceRequest: true}
	}
	for _, c := range []struct {
		a       authorizer.AttributesRecord
		sources string
		lacks   string
	}{
		{request("jane", "get", "", "pods", "", "p", "shop"), "RoleBinding shop/devs, ClusterRole reader rules[0] (rbac.yaml:7)", ""},
		{request("jane", "delete", "", "pods", "", "p", "shop"), "", "verb delete"},
		{request("jane", "get", "", "pods", "log", "p", "shop"), "", "resource pods/log: it has pods alone"},
		{request("jane", "get", "apps", "pods", "", "p", "shop"), "", "API group apps"},
		{request("jane", "get", "", "pods", "", "p", "bank"), "", "namespace bank"},
		{request("jane", "list", "", "pods", "", "", ""), "", "all namespaces: it is good in shop alone"},
		{request("one", "get", "apps", "deployments", "", "db", "shop"), "", "name db: it names others"},
		{request("one", "get", "apps", "deployments", "", "", "shop"), "", "requests without a name: it names web"},
		{request("lost", "get", "", "pods", "", "", "shop"), "", `its role: role.rbac.authorization.k8s.io "none" not found`},
		{request("nobody", "get", "", "pods", "", "", "shop"), "", ""},
	} {
		r := &gate.Recorder{}
		decision, _, _ := x.Authorize(gate.WithRecorder(context.Background(), r), c.a)
		steps := r.Steps()
		if len(steps) != 1 || (steps[0].Opinion == gate.Allow) != (decision == authorizer.DecisionAllow) {
			t.Fatalf("%s: %v, steps %+v", show(c.a), decision, steps)
		}
		var sources []string
		for _, s := range steps[0].Sources {
			sources = append(sources, s.String())
		}
		lacks := ""
		if len(steps[0].Misses) > 0 {
			lacks = steps[0].Misses[0].Lacks
		}
		if got := strings.Join(sources, ", "); got != c.sources || lacks != c.lacks {
			t.Errorf("%s: by %q, lacks %q; want %q, %q", show(c.a), got, lacks, c.sources, c.lacks)
		}
	}
}

func withGroups(name string, groups []string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: groups}
}
