package review

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/kubernetes/pkg/apis/authorization"
	upstream "k8s.io/kubernetes/pkg/registry/authorization/util"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/gate"
)

// A review is read as upstream reads its own.
func TestAttributesEqualUpstream(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	values := func() []string {
		var all []string
		for range r.IntN(3) {
			all = append(all, pick("", "a", "b=c", "-bad-", "x"))
		}
		return all
	}
	for range 20_000 {
		spec := authorizationv1.SubjectAccessReviewSpec{User: pick("jane", ""), UID: pick("", "1"), Groups: values()}
		internal := authorization.SubjectAccessReviewSpec{User: spec.User, UID: spec.UID, Groups: spec.Groups}
		if r.IntN(2) == 0 {
			spec.Extra = map[string]authorizationv1.ExtraValue{"k": values()}
			internal.Extra = map[string]authorization.ExtraValue{"k": authorization.ExtraValue(spec.Extra["k"])}
		}
		if r.IntN(5) == 0 {
			spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: pick("/healthz", ""), Verb: pick("get", "")}
			internal.NonResourceAttributes = &authorization.NonResourceAttributes{Path: spec.NonResourceAttributes.Path, Verb: spec.NonResourceAttributes.Verb}
		} else {
			a := authorizationv1.ResourceAttributes{Namespace: pick("", "shop"), Verb: pick("get", "list"), Group: pick("", "apps"), Version: pick("", "v1"), Resource: "pods", Subresource: pick("", "log"), Name: pick("", "p")}
			i := authorization.ResourceAttributes{Namespace: a.Namespace, Verb: a.Verb, Group: a.Group, Version: a.Version, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name}
			switch r.IntN(4) {
			case 0:
				raw := pick("a=b", "a in (b,c)", "!x", "((", "a==", "k!=v")
				a.FieldSelector, i.FieldSelector = &authorizationv1.FieldSelectorAttributes{RawSelector: raw}, &authorization.FieldSelectorAttributes{RawSelector: raw}
				a.LabelSelector, i.LabelSelector = &authorizationv1.LabelSelectorAttributes{RawSelector: raw}, &authorization.LabelSelectorAttributes{RawSelector: raw}
			case 1:
				a.FieldSelector, a.LabelSelector = &authorizationv1.FieldSelectorAttributes{}, &authorizationv1.LabelSelectorAttributes{}
				for range 1 + r.IntN(3) {
					key := pick("metadata.name", "a", "", "-")
					a.FieldSelector.Requirements = append(a.FieldSelector.Requirements, metav1.FieldSelectorRequirement{Key: key, Operator: metav1.FieldSelectorOperator(pick("In", "NotIn", "Exists", "Odd")), Values: values()})
					a.LabelSelector.Requirements = append(a.LabelSelector.Requirements, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Odd")), Values: values()})
				}
				i.FieldSelector = &authorization.FieldSelectorAttributes{Requirements: a.FieldSelector.Requirements}
				i.LabelSelector = &authorization.LabelSelectorAttributes{Requirements: a.LabelSelector.Requirements}
			}
			spec.ResourceAttributes, internal.ResourceAttributes = &a, &i
		}
		got, want := *AttributesOf(&spec), upstream.AuthorizationAttributesFrom(internal)
		for _, e := range []struct{ got, want *error }{{&got.FieldSelectorParsingErr, &want.FieldSelectorParsingErr}, {&got.LabelSelectorParsingErr, &want.LabelSelectorParsingErr}} {
			if (*e.got == nil) != (*e.want == nil) {
				t.Fatalf("%+v: error %v, upstream %v", spec, *e.got, *e.want)
			}
			*e.got, *e.want = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v:\n%+v\nupstream:\n%+v", spec, got, want)
		}
	}
}

// The verdict of a trace is that of the same authorizers joined by upstream.
func TestVerdictIsTheChains(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	decisions := []authorizer.Decision{authorizer.DecisionAllow, authorizer.DecisionDeny, authorizer.DecisionNoOpinion, authorizer.DecisionNoOpinion}
	for range 2000 {
		var chain Chain
		var named []union.NamedAuthorizer
		for i := range 1 + r.IntN(5) {
			decision, failed := decisions[r.IntN(len(decisions))], r.IntN(5) == 0
			a := authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
				if failed {
					return decision, "r", errors.New("down")
				}
				return decision, "r", nil
			})
			name := string(rune('a' + i))
			chain = append(chain, Part{name, a})
			named = append(named, union.NamedAuthorizer{AuthorizerName: name, Authorizer: a})
		}
		joined, err := union.New(named...)
		if err != nil {
			t.Fatal(err)
		}
		trace, err := chain.Request(t.Context(), &v1alpha1.RequestReviewSpec{User: "jane", ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods"}})
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := joined.Authorize(t.Context(), authorizer.AttributesRecord{})
		status := Status(trace)
		if len(trace.Steps) != len(chain) || status.Allowed != (want == authorizer.DecisionAllow) || status.Denied != (want == authorizer.DecisionDeny) {
			t.Fatalf("%+v, upstream %v", trace, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	index := rbac.New(rbac.Options{})
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "view"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"*"}}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "shop", Annotations: map[string]string{v1alpha1.AnnotationExpiresAt: "2999-01-01T00:00:00Z"}},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "robot"}, {Kind: "Group", Name: "devs"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "view"},
	}
	dangling := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Subjects: []rbacv1.Subject{{Kind: "Group", Name: "system:serviceaccounts"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "none"}}
	if err := index.Apply(rbac.Change{New: role, Source: &gate.Source{File: "r.yaml", Line: 3}}, rbac.Change{New: binding}, rbac.Change{New: dangling}); err != nil {
		t.Fatal(err)
	}
	who, err := Subjects(index, &v1alpha1.SubjectsReviewSpec{Verb: "get", Resource: "pods", Namespace: "shop"}, Options{NotAsked: []string{"ABAC"}})
	if err != nil || len(who.Subjects) != 2 || !who.Incomplete || !strings.Contains(who.Errors[0], "ABAC") {
		t.Fatalf("%+v, %v", who, err)
	}
	if s := who.Subjects[0]; s.Kind != "ServiceAccount" || s.Namespace != "shop" || s.Name != "robot" || !s.Wildcard || s.ViaGroup || s.ExpiresAt == nil || s.Role.File != "r.yaml" || s.Role.Line != 3 || s.Rule.Resources[0] != "*" {
		t.Errorf("the first is %+v", s)
	}
	if s := who.Subjects[1]; s.Kind != "Group" || !s.ViaGroup {
		t.Errorf("the second is %+v", s)
	}
	what := Access(index, &v1alpha1.AccessListSpec{ServiceAccount: &v1alpha1.AccessServiceAccount{Namespace: "shop", Name: "robot"}}, Options{})
	if len(what.Namespaces) != 1 || what.Namespaces[0].Rules[0].Sources[0].Name != "b" || len(what.Errors) != 1 || !what.Incomplete {
		t.Errorf("%+v", what)
	}
	what = Access(index, &v1alpha1.AccessListSpec{Groups: []string{"devs"}, Namespace: "bank"}, Options{})
	if len(what.Namespaces) != 0 || what.Incomplete {
		t.Errorf("%+v", what)
	}
	for _, spec := range []v1alpha1.RequestReviewSpec{{User: "x"}, {ResourceAttributes: &authorizationv1.ResourceAttributes{}}} {
		if _, err := (Chain{}).Request(t.Context(), &spec); err == nil {
			t.Errorf("%+v is taken for a request", spec)
		}
	}
}
