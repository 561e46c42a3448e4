package engines_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

func all(t testing.TB) []policy.Engine {
	t.Helper()
	made, err := engines.All(engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func load(t testing.TB, texts ...string) policy.Loaded {
	t.Helper()
	var objects []policy.Object
	for _, text := range texts {
		o := object(t, text)
		objects = append(objects, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}})
	}
	loaded, _ := policy.Load(all(t), objects)
	return loaded
}

// ask is what a set says of the creation of an object, as a resource of its kind.
func ask(set *policy.Set, o *unstructured.Unstructured, resource string) *policy.Outcome {
	known := &cluster.Known{}
	known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}})
	known.Seal()
	kind := o.GroupVersionKind()
	r := policy.NewRequest(admission.NewAttributesRecord(o, nil, kind, "shop", o.GetName(), schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: resource}, "",
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane"}), nil, known)
	mutated := set.Mutate(context.Background(), r)
	validated := set.Validate(context.Background(), r)
	return &policy.Outcome{Denials: append(mutated.Denials, validated.Denials...), Asked: mutated.Asked + validated.Asked}
}

func vap(name, group, resource, expression string) []string {
	return []string{
		fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %s}, spec: {matchConstraints: {resourceRules: [{apiGroups: [%q], apiVersions: [v1], operations: [CREATE], resources: [%s]}]}, validations: [{expression: %q}]}}", name, group, resource, expression),
		fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %s}, spec: {policyName: %s, validationActions: [Deny]}}", name, name)}
}

func template(kind, rego string) string {
	return "apiVersion: templates.gatekeeper.sh/v1\nkind: ConstraintTemplate\nmetadata: {name: " + strings.ToLower(kind) + "}\nspec:\n  crd: {spec: {names: {kind: " + kind + "}}}\n  targets:\n  - target: admission.k8s.gatekeeper.sh\n    rego: |\n      package x\n      " + strings.ReplaceAll(rego, "\n", "\n      ") + "\n"
}

func constraint(kind, name, of string) string {
	return "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: " + kind + ", metadata: {name: " + name + "}, spec: {match: {kinds: [{apiGroups: ['*'], kinds: [" + of + "]}]}}}"
}

const builtins = "{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: all}, spec: {sets: [{name: All}]}}"

// A policy that loops, or fills the memory, or takes its time refuses when the time of
// the request is over, and no later than a moment after.
func TestPoliciesThatTakeLong(t *testing.T) {
	ten := "[0,1,2,3,4,5,6,7,8,9]"
	loops := "true"
	for i := range 9 {
		loops = fmt.Sprintf("%s.all(v%d, %s)", ten, i, loops)
	}
	grows := `["aaaaaaaaaaaaaaaa"]` + strings.Repeat(`.map(s, s + s)`, 40) + `.all(s, s.size() > 0)`
	for name, texts := range map[string][]string{
		"CEL that loops":      vap("a", "", "pods", loops),
		"CEL that allocates":  vap("a", "", "pods", grows),
		"Rego that loops":     {template("K8sLoop", "violation[{\"msg\": \"no\"}] {\n  x := numbers.range(1, 3000)[_]\n  y := numbers.range(1, 3000)[_]\n  z := numbers.range(1, 3000)[_]\n  x + y + z == -1\n}"), constraint("K8sLoop", "a", "Pod")},
		"Rego that allocates": {template("K8sGrow", "violation[{\"msg\": \"no\"}] {\n  x := {[a, b, c] | a := numbers.range(1, 300)[_]; b := numbers.range(1, 300)[_]; c := numbers.range(1, 300)[_]}\n  count(x) == -1\n}"), constraint("K8sGrow", "a", "Pod")},
	} {
		t.Run(name, func(t *testing.T) {
			loaded := load(t, texts...)
			if len(loaded.Problems) > 0 || len(loaded.Policies) == 0 {
				t.Fatal(loaded.Problems)
			}
			set := policy.NewSet(loaded.Policies, policy.Options{MaxTime: 300 * time.Millisecond})
			begun := time.Now()
			out := ask(set, object(t, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}"), "pods")
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it takes %v", took)
			}
			if len(out.Denials) == 0 {
				t.Error("it is let through")
			}
		})
	}
}

// Objects as large as an API server takes them are judged in every language.
func TestThreeMegabytes(t *testing.T) {
	text := strings.Repeat("x", 3<<20)
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "big", "namespace": "shop"}, "data": map[string]any{"a": text}}}
	many := map[string]any{}
	for i := range 60_000 {
		many[fmt.Sprintf("key-%d", i)] = "a value of some length, of which there are many"
	}
	wide := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "wide", "namespace": "shop"}, "data": many}}
	loaded := load(t, append(vap("a", "", "configmaps", "object.data.size() > 0"),
		template("K8sBig", "violation[{\"msg\": \"no\"}] { count(input.review.object.data) == 0 }"), constraint("K8sBig", "a", "ConfigMap"), builtins)...)
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	set := policy.NewSet(loaded.Policies, policy.Options{MaxTime: time.Minute})
	for _, one := range []*unstructured.Unstructured{o, wide} {
		if out := ask(set, one, "configmaps"); len(out.Denials) > 0 || out.Asked < 3 {
			t.Errorf("%s: %d were asked, and say %q", one.GetName(), out.Asked, out.Message())
		}
	}
}

// Thousands of policies load, and a request meets those that match it alone.
func TestFiveThousandPolicies(t *testing.T) {
	const each = 2500
	texts := []string{template("K8sMany", "violation[{\"msg\": \"no\"}] { input.review.object.spec.hostPID }")}
	for i := range each {
		texts = append(texts, vap(fmt.Sprintf("p%d", i), "", "configmaps", "true")...)
		texts = append(texts, constraint("K8sMany", fmt.Sprintf("c%d", i), "Secret"))
	}
	texts = append(texts, vap("one", "", "pods", "!has(object.spec.hostPID)")...)
	loaded := load(t, texts...)
	if len(loaded.Problems) > 0 || len(loaded.Policies) != 2*each+1 {
		t.Fatalf("%d policies: %v", len(loaded.Policies), loaded.Problems)
	}
	set := policy.NewSet(loaded.Policies, policy.Options{})
	pod := object(t, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostPID: true, containers: [{name: c, image: i}]}}")
	if out := ask(set, pod, "pods"); out.Asked != 1 || len(out.Denials) != 1 {
		t.Errorf("%d were asked, %d refuse", out.Asked, len(out.Denials))
	}
	delete(pod.Object["spec"].(map[string]any), "hostPID")
	if out := ask(set, pod, "pods"); out.Asked != 1 || len(out.Denials) != 0 {
		t.Errorf("%d were asked, and say %q", out.Asked, out.Message())
	}
}

// FuzzLoad loads objects of every kind whose text is by chance. Nothing panics, what is
// said of them steers no terminal, loading twice comes to the same, and what is in
// force answers.
func FuzzLoad(f *testing.F) {
	for _, seed := range append(vap("a", "", "pods", "object.spec.hostPID == false"),
		template("K8sA", "violation[{\"msg\": \"no\"}] { input.review.object.spec.hostPID }"), constraint("K8sA", "a", "Pod"), builtins,
		"{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: all}, spec: {policies: [{name: TrustedRepositories, parameters: {repositories: [\"a*\"]}}], exemptions: [{namespaces: [\"*\"]}]}}",
		"{apiVersion: gatehouse.io/v1alpha1, kind: Exception, metadata: {name: x}, spec: {policies: [{name: a}], match: {namespaces: [shop]}, reason: r, owner: o, expiresAt: \"2999-01-01T00:00:00Z\"}}",
		"{apiVersion: config.gatekeeper.sh/v1alpha1, kind: Config, metadata: {name: config, namespace: gatekeeper-system}, spec: {match: [{processes: [\"*\"], excludedNamespaces: [\"kube-*\"]}]}}",
		"{apiVersion: mutations.gatekeeper.sh/v1, kind: Assign, metadata: {name: a}, spec: {applyTo: [{groups: [\"\"], kinds: [Pod], versions: [v1]}], location: \"spec.containers[name: *].image\", parameters: {assign: {value: i}}}}",
		"{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: a}, spec: {failurePolicy: Fail, reinvocationPolicy: IfNeeded, matchConstraints: {resourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: \"add\", path: \"/metadata/labels\", value: {\"a\": \"b\"}}]'}}]}}",
		"{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: \"\\e[2J\"}, spec: {}}") {
		f.Add(seed)
	}
	made, err := engines.All(engines.Options{})
	if err != nil {
		f.Fatal(err)
	}
	pod := object(f, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 || strings.Contains(text, "numbers.range") {
			return
		}
		data, err := yaml.YAMLToJSONStrict([]byte(text))
		if err != nil {
			return
		}
		u := &unstructured.Unstructured{}
		if u.UnmarshalJSON(data) != nil {
			return
		}
		o := []policy.Object{{Unstructured: u, Source: gate.Source{Kind: "Fuzzed", Name: "x"}}}
		if strings.HasSuffix(u.GetKind(), "Policy") && u.GetName() != "" {
			// What puts it in force.
			binding := object(t, fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: %sBinding, metadata: {name: b}, spec: {policyName: x, validationActions: [Deny]}}", "ValidatingAdmissionPolicy"))
			binding.Object["spec"].(map[string]any)["policyName"] = u.GetName()
			o = append(o, policy.Object{Unstructured: binding, Source: gate.Source{Kind: "Fuzzed", Name: "b"}})
		}
		loaded, others := policy.Load(made, o)
		again, _ := policy.Load(made, o)
		if len(loaded.Policies) != len(again.Policies) || len(loaded.Problems) != len(again.Problems) {
			t.Errorf("loaded twice it is %d policies and %d problems, and %d and %d", len(loaded.Policies), len(loaded.Problems), len(again.Policies), len(again.Problems))
		}
		_, problems := policy.LoadExceptions(others, nil)
		for _, p := range append(loaded.Problems, problems...) {
			if p.Message == "" {
				t.Errorf("a problem without a sentence: %+v", p)
			}
			if shown := gate.Plain(p.Message); strings.ContainsFunc(shown, unicode.IsControl) {
				t.Errorf("%q steers a terminal", shown)
			}
		}
		ask(policy.NewSet(loaded.Policies, policy.Options{MaxTime: time.Second}), pod, "pods")
	})
}
