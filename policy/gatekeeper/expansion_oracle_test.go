package gatekeeper_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/upstream"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

type tested struct {
	Error, ExpandError string
	Results            []struct {
		Kind, Name, Message, Action, Object string
		Scoped                              []string
	}
	Expanded []*unstructured.Unstructured
}

// says is what gator test and gator expand would say of objects, by our engine: all of
// them are policies, data, and reviewed, each in turn.
func says(t *testing.T, compiler *cel.Compiler, all []*unstructured.Unstructured, inNamespaces bool) (results, expanded []string, problems []policy.Problem) {
	t.Helper()
	e, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler, Point: gatekeeper.PointGator, AllOperations: true})
	if err != nil {
		t.Fatal(err)
	}
	known := &cluster.Known{}
	var policies []policy.Object
	for _, o := range all {
		known.Add(o)
		if e.Reads(o.GroupVersionKind().GroupKind()) {
			policies = append(policies, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}})
		}
	}
	// gator knows the namespace default without being told.
	known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "default"}}})
	known.Seal()
	// gator makes data of everything, whether a template says that it looks it up or not.
	var synced []any
	for _, o := range all {
		kind := o.GroupVersionKind()
		synced = append(synced, map[string]any{"group": kind.Group, "version": kind.Version, "kind": kind.Kind})
	}
	policies = append(policies, policy.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{"apiVersion": "syncset.gatekeeper.sh/v1alpha1", "kind": "SyncSet", "metadata": map[string]any{"name": "all"}, "spec": map[string]any{"gvks": synced}}}})
	loaded := e.Compile(policies)
	for _, o := range all {
		// To gator, what is in no namespace is in one without a name.
		namespace := o.GetNamespace()
		if namespace == "" && o.GetKind() != "Namespace" {
			namespace = "default"
		}
		if inNamespaces && o.GetNamespace() == "" && o.GetKind() != "Namespace" {
			continue
		}
		request := func(object *unstructured.Unstructured) *policy.Request {
			return policy.NewRequest(admission.NewAttributesRecord(object, nil, o.GroupVersionKind(), namespace, o.GetName(), schema.GroupVersionResource{}, "", "", nil, false, &user.DefaultInfo{}), nil, known)
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		original, changed := request(o), request(o)
		if out := mutateAs(t, set, loaded.Policies, changed); out != "" {
			expanded = append(expanded, "error "+out)
		}
		for _, p := range loaded.Policies {
			v, ok := p.(policy.Validator)
			if !ok {
				continue
			}
			r := original
			if p.Source().Kind == "ExpansionTemplate" {
				r = changed // gator mutates before it expands
			}
			for _, result := range v.Validate(context.Background(), r) {
				for _, action := range result.Actions {
					source := p.Source()
					if len(result.Sources) > 0 {
						source = result.Sources[0]
					}
					results = append(results, fmt.Sprintf("%s/%s %s %s: %s%v", source.Kind, source.Name, action, o.GetKind()+"/"+o.GetName(), result.Message, result.Err != nil))
				}
			}
		}
		made, err := gatekeeper.Made(context.Background(), loaded.Policies, changed)
		if err != nil {
			expanded = append(expanded, "error "+err.Error())
		}
		for _, m := range made {
			if o.GetNamespace() == "" {
				m.SetNamespace("")
			}
			data, _ := json.Marshal(m)
			expanded = append(expanded, string(data))
		}
	}
	slices.Sort(results)
	slices.Sort(expanded)
	return results, expanded, loaded.Problems
}

// mutateAs mutates a request of no operation, which the index of a Set has nothing for.
func mutateAs(t *testing.T, _ *policy.Set, policies []policy.Policy, r *policy.Request) string {
	t.Helper()
	var all []policy.Mutator
	for _, p := range policies {
		if m, ok := p.(policy.Mutator); ok {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return ""
	}
	changes, err := all[0].(policy.Grouper).MutateAll(context.Background(), r, all, false)
	if err != nil {
		return err.Error()
	}
	if changes.Object != nil {
		r.SetObject(changes.Object)
	}
	return ""
}

func (w *tested) said(all []*unstructured.Unstructured) (results, expanded []string) {
	in := map[string]bool{}
	for _, o := range all {
		in[o.GetKind()+"/"+o.GetName()] = o.GetNamespace() != "" || o.GetKind() == "Namespace"
	}
	for _, r := range w.Results {
		if !in[r.Object] {
			continue
		}
		actions := []string{r.Action}
		if r.Action == "scoped" {
			actions = r.Scoped
		}
		for _, action := range actions {
			if action == "dryrun" {
				action = "audit"
			}
			failed := strings.Contains(r.Message, "unable to match constraints")
			message := r.Message
			if failed {
				message = ""
			}
			results = append(results, fmt.Sprintf("%s/%s %s %s: %s%v", r.Kind, r.Name, action, r.Object, message, failed))
		}
	}
	for _, o := range w.Expanded {
		data, _ := json.Marshal(o)
		expanded = append(expanded, string(data))
	}
	slices.Sort(results)
	slices.Sort(expanded)
	return results, expanded
}

// TestExpansionAgainstGatekeeper holds what is made of objects by chance, by templates
// by chance, and what constraints say of it, against gator.
func TestExpansionAgainstGatekeeper(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(21, 22))}
	compiler, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	regoTemplate := objects(t, rego("Labelled", strings.Replace(labelled, "of %v lacks %v\", [input.review.kind.kind, input.review.userInfo.username, ", "%v lacks %v\", [input.review.kind.kind, input.review.object.metadata.name, ", 1), "{}"))[0].Unstructured
	celTemplate := objects(t, `apiVersion: templates.gatekeeper.sh/v1
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
          messageExpression: "'label ' + variables.params.label + ' is missing of ' + variables.anyObject.metadata.name"`)[0].Unstructured
	kinds := []schema.GroupVersionKind{{Group: "batch", Version: "v1", Kind: "CronJob"}, {Group: "batch", Version: "v1", Kind: "Job"}, {Group: "apps", Version: "v1", Kind: "Deployment"}, {Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Secret"}}
	question := struct {
		Tests [][]*unstructured.Unstructured
	}{}
	for i := range 800 {
		all := []*unstructured.Unstructured{regoTemplate, celTemplate}
		for j := range c.IntN(5) {
			of, makes := kinds[c.IntN(4)], kinds[1+c.IntN(4)]
			spec := map[string]any{
				"applyTo":        []any{map[string]any{"groups": []any{of.Group}, "versions": []any{of.Version}, "kinds": []any{of.Kind}}},
				"templateSource": c.pick("spec.template", "spec.template", "spec.template", "spec.template", "spec.template", "spec.other", "spec"),
				"generatedGVK":   map[string]any{"group": makes.Group, "version": makes.Version, "kind": makes.Kind},
			}
			if action := c.pick("", "", "warn", "deny", "dryrun"); action != "" {
				spec["enforcementAction"] = action
			}
			all = append(all, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "expansion.gatekeeper.sh/v1beta1", "kind": "ExpansionTemplate", "metadata": map[string]any{"name": fmt.Sprintf("x%d", j)}, "spec": spec}})
		}
		for j := range c.IntN(4) {
			spec := map[string]any{"match": c.match(), "parameters": map[string]any{"label": c.pick("a", "b", "team")}, "enforcementAction": c.pick("deny", "warn", "dryrun")}
			if c.once(5) {
				spec["enforcementAction"] = "scoped"
				spec["scopedEnforcementActions"] = []any{map[string]any{"action": c.pick("warn", "deny"), "enforcementPoints": []any{map[string]any{"name": c.pick("gator.gatekeeper.sh", "*", "audit.gatekeeper.sh")}}}}
			}
			all = append(all, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": c.pick("Labelled", "InCEL"), "metadata": map[string]any{"name": fmt.Sprintf("c%d", j)}, "spec": spec}})
		}
		for j := range c.IntN(3) {
			u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "mutations.gatekeeper.sh/v1", "kind": "AssignMetadata", "metadata": map[string]any{"name": fmt.Sprintf("m%d-%d", i, j)},
				"spec": map[string]any{"match": c.match(), "location": "metadata.labels." + c.pick("a", "b", "team"), "parameters": map[string]any{"assign": map[string]any{"value": c.pick("red", "blue")}}}}}
			if c.once(3) {
				u.SetKind("Assign")
				u.Object["spec"] = map[string]any{"match": c.match(), "location": c.pick("spec.text", "spec.host"), "parameters": map[string]any{"assign": map[string]any{"value": c.value(0)}},
					"applyTo": []any{map[string]any{"groups": []any{"", "apps", "batch"}, "versions": []any{"v1"}, "kinds": []any{"Pod", "Deployment", "Job"}}}}
			}
			all = append(all, u)
		}
		for _, name := range []string{"shop", "lab"} {
			if !c.once(6) {
				all = append(all, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": map[string]any{"team": c.pick("red", "blue")}}}})
			}
		}
		for j := range 1 + c.IntN(3) {
			of := kinds[c.IntN(4)]
			template := func(spec map[string]any) map[string]any {
				metadata := map[string]any{}
				if !c.once(3) {
					metadata["labels"] = map[string]any{c.pick("a", "b", "team"): "red"}
				}
				return map[string]any{"metadata": metadata, "spec": spec}
			}
			pod := template(map[string]any{"text": "x"})
			spec := map[string]any{"template": template(map[string]any{"template": pod, "other": pod}), "other": template(map[string]any{"template": pod})}
			if c.once(16) {
				delete(spec, "template")
			}
			u := &unstructured.Unstructured{Object: map[string]any{"kind": of.Kind, "metadata": map[string]any{"name": fmt.Sprintf("Web-%d", j)}, "spec": spec}}
			u.SetGroupVersionKind(of)
			u.SetNamespace(c.pick("shop", "lab", "shop", "default"))
			all = append(all, u)
		}
		question.Tests = append(question.Tests, all)
	}
	var answer struct{ Tests []*tested }
	oracle(t, question, &answer)
	count := map[string]int{}
	for i, all := range question.Tests {
		want := answer.Tests[i]
		results, expanded, problems := says(t, compiler, all, true)
		switch {
		case want.Error != "" || want.ExpandError != "":
			// gator gives up altogether; we go on, and must have said why.
			if len(problems) == 0 && !slices.ContainsFunc(expanded, func(s string) bool { return strings.HasPrefix(s, "error ") }) {
				data, _ := json.MarshalIndent(all, "", " ")
				t.Errorf("test %d: gator says %q %q, and we nothing\n%s", i, want.Error, want.ExpandError, data)
			}
			count["refused"]++
			continue
		case len(problems) > 0:
			t.Errorf("test %d: we say %v, gator nothing", i, problems)
			continue
		}
		wantResults, wantExpanded := want.said(all)
		if !slices.Equal(results, wantResults) || !slices.Equal(expanded, wantExpanded) {
			data, _ := json.MarshalIndent(all, "", " ")
			t.Errorf("test %d:\n ours %s\ngator %s\n ours %s\ngator %s\n%s", i, strings.Join(results, "\n      "), strings.Join(wantResults, "\n      "), expanded, wantExpanded, data)
			if count["wrong"]++; count["wrong"] > 3 {
				t.FailNow()
			}
		}
		count["violations"] += len(results)
		count["objects made"] += len(expanded)
		for _, r := range results {
			if strings.Contains(r, "[Implied by ") {
				count["implied violations"]++
			}
		}
	}
	t.Logf("%d clusters: the same: %v", len(question.Tests), count)
	if count["implied violations"] < 100 || count["objects made"] < 100 {
		t.Error("the comparison is empty")
	}
}

// TestGatorFixtures runs the fixtures of gator test and gator expand that are data.
func TestGatorFixtures(t *testing.T) {
	dir := upstream.Source(t)
	compiler, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	readAll := func(patterns ...string) (all []*unstructured.Unstructured) {
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join(dir, "test/gator", pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: %v", pattern, err)
			}
			for _, file := range files {
				if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
					continue
				}
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for document := range strings.SplitSeq("\n"+string(data), "\n---") {
					if strings.Contains(document, "kind:") || strings.Contains(document, `"kind"`) {
						all = append(all, objects(t, document)[0].Unstructured)
					}
				}
			}
		}
		return all
	}
	passed, ran := 0, 0
	for _, name := range []string{"basic-expansion", "basic-expansion-nonmatching-configs", "expand-cr", "expand-with-ns"} {
		ran++
		_, expanded, problems := says(t, compiler, readAll("expand/fixtures/"+name+"/input/*"), false)
		var want []string
		for _, o := range readAll("expand/fixtures/" + name + "/output/*") {
			data, _ := json.Marshal(o)
			want = append(want, string(data))
		}
		slices.Sort(want)
		if len(problems) > 0 || !slices.Equal(expanded, want) {
			t.Errorf("%s: %v\n ours %s\ngator %s", name, problems, expanded, want)
			continue
		}
		passed++
	}
	const probes, owner = "Container <tomcat> in your <Pod> <test-pod1> has no <readinessProbe>", "[Implied by expand-deployments] All pods must have an `owner` label that points to your company username"
	m, p := "test/fixtures/manifests/", "test/fixtures/policies/"
	for _, c := range []struct {
		name  string
		files []string
		want  []string // in what is said; nil for nothing
	}{
		{"no violations", []string{m + "with-policies/no-violations.yaml"}, nil},
		{"no violations 2", []string{m + "with-policies/no-violations-2.yaml"}, nil},
		{"violations", []string{m + "with-policies/with-violations.yaml"}, []string{probes}},
		{"violations 2", []string{m + "with-policies/with-violations-2.yaml"}, []string{"deny"}},
		{"rego v1", []string{m + "with-policies/with-violations-rego-v1.yaml"}, []string{"deny"}},
		{"defaults", []string{m + "with-policies/with-violations-and-defaults.yaml"}, []string{"aRequiredMessage"}},
		{"policies apart, none", []string{p + "default/*", m + "no-policies/no-violations.yaml"}, nil},
		{"policies apart", []string{p + "default/*", m + "no-policies/with-violations.yaml"}, []string{probes}},
		{"extensions", []string{m + "different-extensions/*"}, []string{probes}},
		{"deny", []string{p + "default/template_k8srequiredprobes.yaml", p + "enforcement_action/k8srequiredprobes/deny.yaml", m + "no-policies/with-violations.yaml"}, []string{probes}},
		{"inventory", []string{p + "default/*", m + "referential-data/*"}, []string{"ingress host conflicts with an existing ingress <example-host.example.com>"}},
		{"expansion without its namespace", []string{m + "expansion/expansion-w-ns-selector.yaml"}, []string{"true"}},
		{"expansion", []string{m + "expansion/*"}, []string{owner}},
	} {
		ran++
		results, _, problems := says(t, compiler, readAll(c.files...), false)
		text := strings.Join(results, "\n")
		ok := len(problems) == 0 && (c.want != nil) == (len(results) > 0)
		for _, w := range c.want {
			ok = ok && strings.Contains(text, w)
		}
		if !ok {
			t.Errorf("%s: %v\n%s\nwanted %q", c.name, problems, text, c.want)
			continue
		}
		passed++
	}
	tally.Of(t, "gator's fixtures", passed, ran)
}

// What is shown to a policy stays as it is.
func TestExpansionLeavesTheObject(t *testing.T) {
	loaded := engine(t).Compile(objects(t, deploymentsToPods+"\n---\n"+rego("Labelled", labelled, "{parameters: {label: a}}")))
	o := objects(t, aDeployment)[0].Unstructured
	before := o.DeepCopy()
	policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, o, nil, nil))
	if !reflect.DeepEqual(before, o) {
		t.Errorf("it became %v", o)
	}
}
