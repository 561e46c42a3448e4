package scan

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

// everyEngine is a set with policies in each language.
func everyEngine(t testing.TB) *policy.Set {
	t.Helper()
	texts := []string{
		"{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: all}, spec: {sets: [{name: All}]}}",
		`
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: k8srequired}
spec:
  crd: {spec: {names: {kind: K8sRequired}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package x
      violation[{"msg": msg}] {
        not input.review.object.metadata.labels.owner
        msg := sprintf("%v of %v has %v", [input.review.kind.kind, input.review.namespace, object.get(input.review.object.metadata, "labels", "none")])
      }
      violation[{"msg": msg}] {
        c := input.review.object.spec.containers[_]
        msg := sprintf("%v: %v", [c.name, object.get(c, "resources", {})])
      }`,
		"{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: K8sRequired, metadata: {name: owner}, spec: {match: {kinds: [{apiGroups: ['*'], kinds: [Pod, Deployment]}]}}}",
	}
	for i, expression := range []string{
		"has(object.metadata.labels) && 'owner' in object.metadata.labels",
		"has(object.spec.template) || object.spec.containers.all(c, has(c.image) && !c.image.contains('latest'))",
		"string(object.metadata.name).size() < 40",
		"has(object.spec.template) || !has(object.spec.activeDeadlineSeconds) || object.spec.activeDeadlineSeconds > 100",
		"object.spec.nothing.of.that == 1", // an error
		"!has(object.metadata.creationTimestamp) || object.metadata.creationTimestamp < timestamp('2000-01-01T00:00:00Z')",
		"!has(object.spec.replicas) || object.spec.replicas % 2 == 0",
		"has(object.spec.template) || object.spec.containers.all(c, !has(c.resources) || !has(c.resources.limits) || c.resources.limits.all(k, quantity(string(c.resources.limits[k])).isGreaterThan(quantity('1'))))",
	} {
		said, err := json.Marshal(expression)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts,
			fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: p%d}, spec: {matchConstraints: {resourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE], resources: [pods, deployments]}]}, validations: [{expression: %s, messageExpression: \"'it is ' + string(object.metadata.name)\"}]}}", i, said),
			fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: b%d}, spec: {policyName: p%d, validationActions: [Deny]}}", i, i))
	}
	var objects []policy.Object
	for _, text := range texts {
		said, err := yaml.YAMLToJSONStrict([]byte(text))
		u := &unstructured.Unstructured{}
		if err == nil {
			err = u.UnmarshalJSON(said)
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		objects = append(objects, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName()}})
	}
	all, err := engines.All(engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded, _ := policy.Load(all, objects)
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	return policy.NewSet(loaded.Policies, policy.Options{})
}

// Every engine says of an object of a Go type what it says of what a client reads of it.
func TestEnginesSayTheSameOfGoTypes(t *testing.T) {
	k, s := slowly(t, 0)
	k.opts.Clock = s.clock
	k.opts.Objects = admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	known := &cluster.Known{}
	known.Add(object(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespace", "", "shop", nil))
	known.Seal()
	k.opts.Cluster = known
	sets := []*policy.Set{everyEngine(t)}
	k.sets = func() []*policy.Set { return sets }
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.New(rand.NewSource(1)), scheme.Codecs)
	found := 0
	for i := range 60 {
		pod, deployment := fullPod(t), &appsv1.Deployment{}
		pod.Namespace = "shop"
		switch i % 3 {
		case 1:
			fill.Fill(pod)
			pod.Namespace = "shop"
		case 2:
			pod.Labels["owner"] = "anna"
			pod.Spec.Containers[0].Image = "web:latest"
			pod.CreationTimestamp = metav1.Time{}
		}
		fill.Fill(deployment)
		deployment.Namespace, deployment.Spec.Replicas = "shop", ptr.To(int32(i))
		for _, one := range []struct {
			item Item
			of   Resource
		}{
			{pod, podResource},
			{deployment, Resource{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, appsv1.SchemeGroupVersion.WithKind("Deployment"), true}},
		} {
			typed := throughJSON(t, one.item, false)
			typed.GetObjectKind().SetGroupVersionKind(one.of.Kind)
			said, err := json.Marshal(typed)
			if err != nil {
				t.Fatal(err)
			}
			read := &unstructured.Unstructured{}
			if err := read.UnmarshalJSON(said); err != nil {
				t.Fatal(err)
			}
			want, got := k.judge(t.Context(), read, one.of), k.judge(t.Context(), typed, one.of)
			found += len(want.Findings)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("of\n%s\nit is said, as a Go type:\n%s\nand unstructured:\n%s", said, drawReport(got), drawReport(want))
			}
		}
	}
	if found < 100 {
		t.Errorf("there are %d findings", found)
	}
}

func drawReport(r *Report) (text string) {
	for i := range r.Findings {
		f := &r.Findings[i]
		text += fmt.Sprintf("%s %+v: %s\n", f.Verdict, f.Rule(), f.Message())
	}
	return fmt.Sprintf("%s%d passed", text, r.Passed)
}
