package cel_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// mutation is a MutatingAdmissionPolicy over Pods, and its binding.
func mutation(name, fields, expression string) []string {
	patch := "applyConfiguration"
	if strings.Contains(fields, "JSONPatch") {
		patch = "jsonPatch"
	}
	return []string{`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: ` + name + `}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [pods]}
  ` + strings.ReplaceAll(fields, "\n", "\n  ") + `
    ` + patch + `:
      expression: |
        ` + expression + "\n", `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: ` + name + `}
spec: {policyName: ` + name + "}\n"}
}

const (
	apply     = "reinvocationPolicy: IfNeeded\nfailurePolicy: Fail\nmutations:\n- patchType: ApplyConfiguration"
	jsonPatch = "reinvocationPolicy: Never\nfailurePolicy: Fail\nmutations:\n- patchType: JSONPatch"
	ignoring  = "reinvocationPolicy: Never\nfailurePolicy: Ignore\nmutations:\n- patchType: JSONPatch"
)

func mutate(t *testing.T, texts ...string) (*policy.Outcome, *unstructured.Unstructured) {
	t.Helper()
	loaded := engine(t).Compile(written(t, texts...))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	r := policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", nil)}})
	out := policy.NewSet(loaded.Policies, policy.Options{}).Mutate(context.Background(), r)
	after, err := r.Object()
	if err != nil {
		t.Fatal(err)
	}
	return out, after
}

func TestMutatingPolicies(t *testing.T) {
	for _, c := range []struct {
		name, fields, expression string
		path                     []string
		want, denied             string
	}{
		{"apply merges", apply, `Object{metadata: Object.metadata{labels: {"owner": "shop"}}}`, []string{"metadata", "labels", "owner"}, "shop", ""},
		{"apply keeps what is there", apply, `Object{metadata: Object.metadata{labels: {"owner": "shop"}}}`, []string{"metadata", "labels", "tier"}, "front", ""},
		{"apply of a struct", apply, `Object{spec: Object.spec{priorityClassName: "low"}}`, []string{"spec", "priorityClassName"}, "low", ""},
		{"a patch", jsonPatch, `[JSONPatch{op: "replace", path: "/spec/serviceAccountName", value: "robot"}]`, []string{"spec", "serviceAccountName"}, "robot", ""},
		{"a patch whose path is escaped", jsonPatch, `[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b"), value: "c"}]`, []string{"metadata", "labels", "a/b"}, "c", ""},
		{"a test that fails, which upstream takes for a condition", jsonPatch, `[JSONPatch{op: "test", path: "/spec/serviceAccountName", value: "no"}]`, []string{"spec", "serviceAccountName"}, "web", ""},
		{"a failure that is ignored", ignoring, `[JSONPatch{op: "test", path: "/spec/serviceAccountName", value: "no"}]`, []string{"spec", "serviceAccountName"}, "web", ""},
		{"an expression that fails", jsonPatch, `[JSONPatch{op: "add", path: "/spec/x", value: object.spec.containers[7].name}]`, []string{"spec", "serviceAccountName"}, "web", "index out of bounds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, after := mutate(t, mutation("p", c.fields, c.expression)...)
			if got, _, _ := unstructured.NestedString(after.Object, c.path...); got != c.want {
				t.Errorf("%v is %q, want %q", c.path, got, c.want)
			}
			if got := out.Message(); c.denied == "" && got != "" || !strings.Contains(got, c.denied) {
				t.Errorf("refused with %q, want %q", got, c.denied)
			}
		})
	}
}

// A policy that is invoked again sees what others did; one that is not does not.
func TestReinvocation(t *testing.T) {
	sees := `has(object.metadata.annotations) && "late" in object.metadata.annotations ? [JSONPatch{op: "add", path: "/metadata/labels/saw", value: "late"}] : []`
	late := mutation("z-late", jsonPatch, `has(object.metadata.annotations) ? [] : [JSONPatch{op: "add", path: "/metadata/annotations", value: {"late": "yes"}}]`)
	for again, want := range map[string]string{"IfNeeded": "late", "Never": ""} {
		early := mutation("a-early", strings.Replace(jsonPatch, "Never", again, 1), sees)
		out, after := mutate(t, append(early, late...)...)
		if got := after.GetLabels()["saw"]; got != want || len(out.Denials) > 0 {
			t.Errorf("%s: the label is %q, want %q; %s", again, got, want, out.Message())
		}
	}
}
