package cel_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

const noLatest = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-latest}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
  validations:
  - expression: "object.spec.containers.all(c, !c.image.endsWith(':latest'))"
    message: pin your images
`

const noLatestInProd = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-latest-in-prod}
spec:
  policyName: no-latest
  validationActions: [Deny, Audit]
  matchResources:
    namespaceSelector: {matchLabels: {env: prod}}
`

func TestValidatingPolicyInASet(t *testing.T) {
	loaded := engine(t).Compile(written(t, noLatest, noLatestInProd))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	set := policy.NewSet(loaded.Policies, policy.Options{})
	c := &cluster{namespaces: map[string]*corev1.Namespace{
		"shop": namespace("shop", map[string]string{"env": "prod"}),
		"play": namespace("play", map[string]string{"env": "dev"}),
	}}
	latest := pod(t)
	latest.Object["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "web:latest"
	for _, in := range []struct {
		namespace, want string
	}{
		{"shop", "ValidatingAdmissionPolicyBinding no-latest-in-prod: pin your images"},
		{"play", ""},
		{"gone", `ValidatingAdmissionPolicyBinding no-latest-in-prod: failed to configure binding: namespaces "gone" not found`},
	} {
		o := latest.DeepCopy()
		o.SetNamespace(in.namespace)
		out := set.Validate(context.Background(), policy.NewRequest(attributes(admission.Create, o, nil, pods, ""), nil, c))
		var got []string
		for _, said := range out.Denials {
			got = append(got, said.Text())
		}
		if have := strings.Join(got, "; "); have != in.want {
			t.Errorf("in %s: got %q, want %q", in.namespace, have, in.want)
		}
	}
}

func TestTheLastGoodVersionStays(t *testing.T) {
	e := engine(t)
	first := e.Compile(written(t, noLatest, noLatestInProd))
	broken := e.Compile(written(t, strings.Replace(noLatest, "object.spec", "object..spec", 1), noLatestInProd))
	if len(broken.Problems) != 1 || !broken.Problems[0].InForce || !strings.Contains(broken.Problems[0].Message, "spec.validations[0].expression") {
		t.Fatalf("problems: %+v", broken.Problems)
	}
	if len(first.Policies) != 1 || len(broken.Policies) != 1 {
		t.Fatalf("policies: %d, then %d", len(first.Policies), len(broken.Policies))
	}
	shop := &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", map[string]string{"env": "prod"})}}
	ask := func(l policy.Loaded) int {
		r := policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, shop)
		return len(policy.NewSet(l.Policies, policy.Options{}).Validate(context.Background(), r).Denials)
	}
	if ask(broken) != 0 {
		t.Error("the last good version allows this pod")
	}
	// Without one, it does what its failure policy says.
	if ask(engine(t).Compile(written(t, strings.Replace(noLatest, "object.spec", "object..spec", 1), noLatestInProd))) != 1 {
		t.Error("what has never compiled must refuse")
	}
}
