package gatekeeper_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
)

func objects(t testing.TB, text string) (all []policy.Object) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		data, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName()}})
	}
	return all
}

func engine(t testing.TB) *gatekeeper.Engine {
	t.Helper()
	compiler, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	e, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func request(operation admission.Operation, o, old *unstructured.Unstructured, known policy.Cluster) *policy.Request {
	of := o
	if of == nil {
		of = old
	}
	var object, before runtime.Object
	if o != nil {
		object = o
	}
	if old != nil {
		before = old
	}
	if known == nil {
		known = &cluster.Known{}
	}
	kind := of.GroupVersionKind()
	return policy.NewRequest(admission.NewAttributesRecord(object, before, kind, of.GetNamespace(), of.GetName(), kind.GroupVersion().WithResource(strings.ToLower(kind.Kind)+"s"), "", operation,
		&metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "jane", Groups: []string{"devs"}}), nil, known)
}

// requestIn is one in a namespace that the object need not name.
func requestIn(operation admission.Operation, o *unstructured.Unstructured, namespace, username string, known policy.Cluster) *policy.Request {
	kind := o.GroupVersionKind()
	return policy.NewRequest(admission.NewAttributesRecord(o, nil, kind, namespace, o.GetName(), kind.GroupVersion().WithResource(strings.ToLower(kind.Kind)+"s"), "", operation,
		&metav1.CreateOptions{}, false, &user.DefaultInfo{Name: username}), nil, known)
}

// rego is a ConstraintTemplate with this body, and a constraint of it.
func rego(kind, body, spec string) string {
	return fmt.Sprintf(`apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: %s}
spec:
  crd: {spec: {names: {kind: %s}, validation: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package x
      %s
---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: %s
metadata: {name: one}
spec: %s`, strings.ToLower(kind), kind, strings.ReplaceAll(body, "\n", "\n      "), kind, spec)
}

const always = `violation[{"msg": "no"}] { true }`

var configMap = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "shop", "labels": map[string]any{"a": "b"}}, "data": map[string]any{"host": "x"}}

func aConfigMap() *unstructured.Unstructured {
	return (&unstructured.Unstructured{Object: configMap}).DeepCopy()
}

func said(out *policy.Outcome) string {
	return fmt.Sprintf("%d denials, %d warnings, %d audits", len(out.Denials), len(out.Warnings), len(out.Audits))
}

func TestEnforcement(t *testing.T) {
	for spec, want := range map[string]string{
		"{}":                          "1 denials, 0 warnings, 0 audits",
		"{enforcementAction: warn}":   "0 denials, 1 warnings, 0 audits",
		"{enforcementAction: dryrun}": "0 denials, 0 warnings, 1 audits",
		"{enforcementAction: scoped, scopedEnforcementActions: [{action: warn, enforcementPoints: [{name: validation.gatekeeper.sh}]}, {action: deny, enforcementPoints: [{name: audit.gatekeeper.sh}]}]}": "0 denials, 1 warnings, 0 audits",
		"{enforcementAction: scoped, scopedEnforcementActions: [{action: deny, enforcementPoints: [{name: gator.gatekeeper.sh}]}]}":                                                                        "0 denials, 0 warnings, 0 audits",
		"{enforcementAction: scoped, scopedEnforcementActions: [{action: deny, enforcementPoints: [{name: '*'}]}]}":                                                                                        "1 denials, 0 warnings, 0 audits",
		"{match: {kinds: [{apiGroups: [''], kinds: [Pod]}]}}":       "0 denials, 0 warnings, 0 audits",
		"{match: {namespaces: ['sh*']}}":                            "1 denials, 0 warnings, 0 audits",
		"{match: {excludedNamespaces: ['*op']}}":                    "0 denials, 0 warnings, 0 audits",
		"{match: {labelSelector: {matchLabels: {a: c}}}}":           "0 denials, 0 warnings, 0 audits",
		"{match: {scope: Cluster}}":                                 "0 denials, 0 warnings, 0 audits",
		"{match: {name: 'c*'}}":                                     "1 denials, 0 warnings, 0 audits",
		"{match: {source: Generated}}":                              "0 denials, 0 warnings, 0 audits",
		"{match: {namespaceSelector: {matchLabels: {team: red}}}}":  "1 denials, 0 warnings, 0 audits",
		"{match: {namespaceSelector: {matchLabels: {team: blue}}}}": "0 denials, 0 warnings, 0 audits",
	} {
		loaded := engine(t).Compile(objects(t, rego("Always", always, spec)))
		if len(loaded.Problems) > 0 {
			t.Errorf("%s: %v", spec, loaded.Problems)
			continue
		}
		known := &cluster.Known{}
		known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop", "labels": map[string]any{"team": "red"}}}})
		known.Seal()
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, aConfigMap(), nil, known))
		if got := said(out); got != want {
			t.Errorf("%s: %s, want %s: %s", spec, got, want, out.Message())
		}
	}
}

// Deletions are asked about where an annotation says so, with what is deleted as the
// object.
func TestDeletions(t *testing.T) {
	text := rego("Always", `violation[{"msg": input.review.object.metadata.name}] { input.review.operation == "DELETE" }`, "{}")
	for annotation, want := range map[string]int{"": 0, "CREATE,DELETE": 1} {
		policies := objects(t, text)
		policies[1].SetAnnotations(map[string]string{"gatehouse.io/operations": annotation})
		out := policy.NewSet(engine(t).Compile(policies).Policies, policy.Options{}).Validate(context.Background(), request(admission.Delete, nil, aConfigMap(), nil))
		if len(out.Denials) != want || want == 1 && out.Denials[0].Message != "c" {
			t.Errorf("%q: %s", annotation, out.Message())
		}
	}
}

func TestConfigExcludes(t *testing.T) {
	config := "\n---\napiVersion: config.gatekeeper.sh/v1alpha1\nkind: Config\nmetadata: {name: config, namespace: gatekeeper-system}\nspec: {match: [{excludedNamespaces: ['sh*'], processes: [%s]}]}"
	for process, want := range map[string]int{"webhook": 0, "'*'": 0, "audit": 1} {
		loaded := engine(t).Compile(objects(t, rego("Always", always, "{}")+fmt.Sprintf(config, process)))
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, aConfigMap(), nil, nil))
		if len(out.Denials) != want {
			t.Errorf("%s: %s", process, out.Message())
		}
	}
}

func TestWhatDoesNotCompile(t *testing.T) {
	for text, want := range map[string]string{
		rego("Bad", `violation[{"msg": "x"}] { nothing(1) }`, "{}"):                                                 "undefined function nothing",
		rego("Bad", `violation[{"msg": "x"}] { http.send({"method": "get", "url": "https://example.org"}) }`, "{}"): "http.send",
		rego("Bad", `violation[{"msg": "x"}] { opa.runtime().env.HOME }`, "{}"):                                     "opa.runtime",
		rego("Bad", `violation[{"msg": "x"}] { data.secret }`, "{}"):                                                "data",
		rego("Bad", always, "{enforcementAction: explode}"):                                                         `"explode" is none of deny`,
		rego("Bad", always, "{match: {kindz: []}}"):                                                                 `unknown field "kindz"`,
		rego("Bad", always, "{match: {labelSelector: {matchExpressions: [{key: a, operator: Near}]}}}"):             "labelSelector",
		strings.Replace(rego("Bad", always, "{}"), "metadata: {name: bad}", "metadata: {name: other}", 1):           `is not "bad"`,
		"apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: Nowhere\nmetadata: {name: x}\nspec: {}":               "there is no ConstraintTemplate",
		"apiVersion: mutations.gatekeeper.sh/v1\nkind: Assign\nmetadata: {name: x}\nspec: {}":                       "spec.applyTo: there must be",
	} {
		loaded := engine(t).Compile(objects(t, text))
		if len(loaded.Problems) == 0 || !strings.Contains(loaded.Problems[0].Message, want) {
			t.Errorf("%s\n%+v, want %q", text, loaded.Problems, want)
		}
	}
}

func TestTheLastGoodOneStays(t *testing.T) {
	e := engine(t)
	if l := e.Compile(objects(t, rego("Always", always, "{}"))); len(l.Policies) != 1 {
		t.Fatal(l)
	}
	ask := func(l policy.Loaded) int {
		return len(policy.NewSet(l.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, aConfigMap(), nil, nil)).Denials)
	}
	broken := e.Compile(objects(t, rego("Always", `violation[{"msg": "x"}] { nothing(1) }`, "{}")))
	if len(broken.Problems) != 1 || !broken.Problems[0].InForce || ask(broken) != 1 {
		t.Errorf("a spoilt template: %+v, %d denials", broken.Problems, ask(broken))
	}
	again := e.Compile(objects(t, rego("Always", always, "{enforcementAction: explode}")))
	if len(again.Problems) != 1 {
		t.Errorf("a spoilt constraint: %+v", again.Problems)
	}
	// One that is gone refuses nothing in the next set, and nobody in the one before.
	before := e.Compile(objects(t, rego("Always", always, "{}")))
	gone := e.Compile(nil)
	if ask(gone) != 0 {
		t.Error("a template that is gone refuses")
	}
	if ask(before) != 1 {
		t.Error("a request that is being judged has lost its policy")
	}
	if back := e.Compile(objects(t, rego("Always", always, "{}"))); ask(back) != 1 {
		t.Error("a template that is back refuses nothing")
	}
}

// Rego that does not end is ended by the request's time, and refuses.
func TestEndlessRego(t *testing.T) {
	const endless = `violation[{"msg": "x"}] { numbers.range(1, 100000)[a] == numbers.range(1, 100000)[b]; a + b == -1 }`
	loaded := engine(t).Compile(objects(t, rego("Endless", endless, "{}")))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(ctx, request(admission.Create, aConfigMap(), nil, nil))
	if len(out.Denials) != 1 {
		t.Errorf("it passes: %s", said(out))
	}
}

const labelled = `violation[{"msg": msg}] {
  not input.review.object.metadata.labels[input.parameters.label]
  msg := sprintf("%v of %v lacks %v", [input.review.kind.kind, input.review.userInfo.username, input.parameters.label])
}`

// TestAgainstGatekeeper compares verdicts with Gatekeeper's own client, over constraints
// and objects by chance.
func TestAgainstGatekeeper(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(options ...string) string { return options[rng.IntN(len(options))] }
	type review struct {
		Request   map[string]any
		Namespace map[string]any
	}
	question := struct {
		CEL                          bool
		Templates, Constraints, Data []*unstructured.Unstructured
		Reviews                      []review
	}{CEL: true}
	var all []policy.Object
	regoText := objects(t, rego("Labelled", labelled, "{}"))[0]
	celText := objects(t, `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: incel}
spec:
  crd: {spec: {names: {kind: InCEL}, validation: {openAPIV3Schema: {type: object, properties: {label: {type: string}}}}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    code:
    - engine: K8sNativeValidation
      source:
        validations:
        - expression: "variables.params.label in variables.anyObject.metadata.?labels.orValue({})"
          messageExpression: "'label ' + variables.params.label + ' is missing'"`)[0]
	for _, o := range []policy.Object{regoText, celText} {
		all = append(all, o)
		question.Templates = append(question.Templates, o.Unstructured)
	}
	for i := range 150 {
		match := map[string]any{}
		if rng.IntN(2) == 0 {
			match["kinds"] = []any{map[string]any{"apiGroups": []any{pick("", "*", "apps")}, "kinds": []any{pick("ConfigMap", "Namespace", "*", "Deployment")}}}
		}
		if rng.IntN(3) == 0 {
			match["namespaces"] = []any{pick("shop", "s*", "*b", "*a*", "lab")}
		}
		if rng.IntN(3) == 0 {
			match["excludedNamespaces"] = []any{pick("shop", "s*", "*b", "x")}
		}
		if rng.IntN(3) == 0 {
			match["scope"] = pick("Cluster", "Namespaced", "*")
		}
		if rng.IntN(3) == 0 {
			match["labelSelector"] = map[string]any{"matchExpressions": []any{map[string]any{"key": pick("a", "b"), "operator": pick("Exists", "DoesNotExist")}}}
		}
		if rng.IntN(4) == 0 {
			match["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"team": pick("red", "blue")}}
		}
		if rng.IntN(4) == 0 {
			match["name"] = pick("c", "c*", "*x", "*")
		}
		if rng.IntN(6) == 0 {
			match["source"] = pick("All", "Original", "Generated")
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": pick("Labelled", "InCEL"), "metadata": map[string]any{"name": fmt.Sprintf("c%d", i)},
			"spec": map[string]any{"match": match, "parameters": map[string]any{"label": pick("a", "b", "c")}, "enforcementAction": pick("deny", "warn", "dryrun")}}}
		question.Constraints = append(question.Constraints, u)
		all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName()}})
	}
	known := &cluster.Known{}
	namespaces := map[string]map[string]any{}
	for name, team := range map[string]string{"shop": "red", "lab": "blue"} {
		namespaces[name] = map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": map[string]any{"team": team}}}
		known.Add(&unstructured.Unstructured{Object: namespaces[name]})
	}
	known.Seal()
	var requests []*policy.Request
	for range 120 {
		kind := pick("ConfigMap", "Namespace", "Deployment")
		metadata := map[string]any{"name": pick("c", "cx", "d")}
		labels := map[string]any{}
		for _, l := range []string{"a", "b", "team"} {
			if rng.IntN(2) == 0 {
				labels[l] = pick("red", "blue")
			}
		}
		metadata["labels"] = labels
		ns := ""
		if kind != "Namespace" {
			ns = pick("shop", "lab")
			metadata["namespace"] = ns
		}
		version := map[string]string{"Deployment": "apps/v1"}[kind]
		if version == "" {
			version = "v1"
		}
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "metadata": metadata}}
		r := request(admission.Create, u, nil, known)
		requests = append(requests, r)
		gvk, gvr := r.GetKind(), r.GetResource()
		question.Reviews = append(question.Reviews, review{Namespace: namespaces[ns], Request: map[string]any{
			"uid": "1", "operation": "CREATE", "name": u.GetName(), "namespace": ns, "object": u.Object,
			"kind": map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}, "resource": map[string]any{"group": gvr.Group, "version": gvr.Version, "resource": gvr.Resource},
			"userInfo": map[string]any{"username": "jane", "groups": []string{"devs"}}}})
	}
	var answer struct {
		Errors       []string
		ReviewErrors []string
		Results      [][]struct{ Kind, Name, Message, Action string }
	}
	oracle(t, question, &answer)
	if len(answer.Errors) > 0 {
		t.Fatal(answer.Errors)
	}
	loaded := engine(t).Compile(all)
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	set := policy.NewSet(loaded.Policies, policy.Options{})
	verdicts := 0
	for i, r := range requests {
		out := set.Validate(context.Background(), r)
		var got, want []string
		for action, list := range map[string][]policy.Said{"deny": out.Denials, "warn": out.Warnings, "dryrun": out.Audits} {
			for _, s := range list {
				got = append(got, fmt.Sprintf("%s/%s %s %s", s.By.Source().Kind, s.By.Source().Name, action, s.Message))
			}
		}
		for _, w := range answer.Results[i] {
			want = append(want, fmt.Sprintf("%s/%s %s %s", w.Kind, w.Name, w.Action, w.Message))
		}
		slices.Sort(got)
		slices.Sort(want)
		verdicts += len(want)
		if !slices.Equal(got, want) {
			t.Errorf("review %d %v:\n got %q\nwant %q %s", i, question.Reviews[i].Request["object"], got, want, answer.ReviewErrors[i])
		}
	}
	t.Logf("%d reviews, %d violations: the same", len(requests), verdicts)
}
