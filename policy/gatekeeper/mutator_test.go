package gatekeeper_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// assign is an Assign of ConfigMaps.
func assign(name, location, value string) string {
	return fmt.Sprintf(`apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: %s}
spec: {applyTo: [{groups: [''], versions: [v1], kinds: [ConfigMap]}], location: %q, parameters: {assign: {value: %s}}}`, name, location, value)
}

func mutate(t *testing.T, opts policy.Options, text string) (*policy.Outcome, string, string) {
	t.Helper()
	loaded := engine(t).Compile(objects(t, text))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	recorder := &gate.Recorder{}
	r := request(admission.Create, aConfigMap(), nil, nil)
	out := policy.NewSet(loaded.Policies, opts).Mutate(gate.WithRecorder(context.Background(), recorder), r)
	var steps []string
	for _, s := range recorder.Steps() {
		steps = append(steps, fmt.Sprintf("%s %s %s%s", s.Opinion, s.Sources[len(s.Sources)-1].Name, s.Patch, s.Reason))
	}
	after, err := r.Object()
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(after.Object["data"])
	return out, string(data), strings.Join(steps, "\n")
}

func TestMutatorsTogether(t *testing.T) {
	for _, c := range []struct{ name, policies, data, steps string }{
		{"one", assign("a", "data.mode", "safe"), `{"host":"x","mode":"safe"}`, `mutate a [{"op":"add","path":"/data/mode","value":"safe"}]`},
		{"the later one has it", assign("a", "data.mode", "1") + "\n---\n" + assign("b", "data.mode", "2"), `{"host":"x","mode":2}`,
			`mutate a [{"op":"add","path":"/data/mode","value":1}]` + "\n" + `mutate b [{"op":"replace","path":"/data/mode","value":2}]`},
		{"nothing to do", assign("a", "data.host", "x"), `{"host":"x"}`, ""},
		{"what the first sets is taken back", assign("a", "data.host", "y") + "\n---\n" + assign("b", "data.host", "x"), `{"host":"x"}`, ""},
		{"its order", strings.Replace(assign("a", "data.mode", "1"), "{name: a}", "{name: a, annotations: {gatehouse.io/mutation-order: '5'}}", 1) + "\n---\n" + assign("b", "data.mode", "1"), `{"host":"x","mode":1}`,
			`mutate b [{"op":"add","path":"/data/mode","value":1}]`},
	} {
		out, data, steps := mutate(t, policy.Options{}, c.policies)
		if data != c.data || steps != c.steps || len(out.Denials) > 0 || out.Changed != (data != `{"host":"x"}`) {
			t.Errorf("%s: %s, changed %v, %s\n%s", c.name, data, out.Changed, out.Message(), steps)
		}
	}
}

// An Exception takes one mutator out of the group, and the others go on.
func TestMutatorExcepted(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	x, err := policy.NewException(&v1alpha1.Exception{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: v1alpha1.ExceptionSpec{
		Policies: []v1alpha1.ExceptedPolicy{{Kind: "Assign", Name: "b"}}, Match: &v1alpha1.ExceptionMatch{Names: []string{"c"}}, Reason: "test", Owner: "jane", ExpiresAt: metav1.NewTime(now.Add(time.Hour))}},
		gate.Source{Kind: "Exception", Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	opts := policy.Options{Exceptions: policy.NewExceptions([]*policy.Exception{x}), Now: func() time.Time { return now }}
	out, data, _ := mutate(t, opts, assign("a", "data.mode", "1")+"\n---\n"+assign("b", "data.mode", "2"))
	if data != `{"host":"x","mode":1}` || len(out.Excepted) != 1 {
		t.Errorf("%s, %d excepted", data, len(out.Excepted))
	}
	// One that fails too.
	out, data, _ = mutate(t, opts, assign("a", "data.mode", "1")+"\n---\n"+assign("b", "data.host.name", "2"))
	if data != `{"host":"x","mode":1}` || len(out.Excepted) != 1 || len(out.Denials) > 0 {
		t.Errorf("%s, %d excepted, %s", data, len(out.Excepted), out.Message())
	}
}

func TestWrongMutators(t *testing.T) {
	good := assign("a", "data.mode", "1")
	for change, want := range map[string]string{
		"location: \"data.mode\"|location: \"data[\"":                                  "spec.location: at 5",
		"location: \"data.mode\"|location: \"metadata.labels.a\"":                      "does not change metadata",
		"value: 1|value: 1, fromMetadata: {field: name}":                               "set one of",
		"value: 1|fromMetadata: {field: uid}":                                          `"uid" is none of`,
		"{value: 1}|{value: null}":                                                     "set one of",
		"value: 1|externalData: {}":                                                    "name a Provider",
		"value: 1|externalData: {provider: x, failurePolicy: Explode}":                 `"Explode" is none of`,
		"value: 1|externalData: {provider: x, failurePolicy: UseDefault}":              "there is none",
		"kinds: [ConfigMap]|kinds: []":                                                 "spec.applyTo[0]",
		"kinds: [ConfigMap]|kinds: [ConfigMap], operations: [DELETE]":                  `"DELETE" is none of`,
		"parameters: {|parameters: {pathTests: [{subPath: x, condition: MustExist}], ": "must be a beginning",
		"parameters: {|parameters: {pathTests: [{subPath: data, condition: May}], ":    `"May" is none of`,
		"spec: {|spec: {unknown: 1, ":                                                  "unknown field",
		"gatekeeper.sh/v1|gatekeeper.sh/v2":                                            `the version "v2"`,
		"kind: Assign|kind: Reassign":                                                  `the kind "Reassign"`,
		"name: a}|name: " + strings.Repeat("a", 64) + "}":                              "more than 63",
		"name: a}|name: a, annotations: {gatehouse.io/mutation-order: x}}":             `"x" is no integer`,
	} {
		from, to, _ := strings.Cut(change, "|")
		loaded := engine(t).Compile(objects(t, strings.Replace(good, from, to, 1)))
		if len(loaded.Problems) != 1 || !strings.Contains(loaded.Problems[0].Message, want) || len(loaded.Policies) > 0 {
			t.Errorf("%s: %+v, want %q", change, loaded.Problems, want)
		}
	}
	// The last good one stays.
	e := engine(t)
	e.Compile(objects(t, good))
	loaded := e.Compile(objects(t, strings.Replace(good, "data.mode", "data[", 1)))
	if len(loaded.Problems) != 1 || !loaded.Problems[0].InForce || len(loaded.Policies) != 1 {
		t.Errorf("a spoilt mutator: %+v", loaded)
	}
}

func TestConfigExcludesFromMutation(t *testing.T) {
	for process, want := range map[string]bool{"webhook": true, "mutation-webhook": false, "'*'": false} {
		config := "\n---\napiVersion: config.gatekeeper.sh/v1alpha1\nkind: Config\nmetadata: {name: config}\nspec: {match: [{excludedNamespaces: ['sh*'], processes: [" + process + "]}]}"
		if out, _, _ := mutate(t, policy.Options{}, assign("a", "data.mode", "1")+config); out.Changed != want {
			t.Errorf("%s: changed %v", process, out.Changed)
		}
	}
}

// An object of 3 MB, and mutators for every item of its lists, end within the time.
func TestLargeObjects(t *testing.T) {
	var containers []any
	for i := range 20_000 {
		containers = append(containers, map[string]any{"name": fmt.Sprintf("c%d", i), "image": strings.Repeat("x", 100) + ":1", "args": []any{"a\x1b[2J", "\u202e"}})
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "shop"}, "spec": map[string]any{"containers": containers}}}
	if data, _ := o.MarshalJSON(); len(data) < 3<<20 {
		t.Fatalf("%d bytes", len(data))
	}
	text := []string{}
	for i := range 50 {
		text = append(text, assign(fmt.Sprintf("m%d", i), "spec.containers[name: *].image", fmt.Sprintf("'image:%d'", i)))
	}
	loaded := engine(t).Compile(objects(t, strings.Join(text, "\n---\n")))
	known := &cluster.Known{}
	known.Seal()
	began := time.Now()
	r := requestIn(admission.Create, o, "shop", "jane", known)
	out := policy.NewSet(loaded.Policies, policy.Options{}).Mutate(context.Background(), r)
	if len(out.Denials) > 0 || !out.Changed || time.Since(began) > 10*time.Second {
		t.Errorf("%s after %s", out.Message(), time.Since(began))
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	r = requestIn(admission.Create, o, "shop", "jane", known)
	if out := policy.NewSet(loaded.Policies, policy.Options{}).Mutate(ctx, r); len(out.Denials) == 0 || out.Changed {
		t.Error("a request without time passes")
	}
}

// FuzzMutators: whatever a mutator says, loading it and mutating with it does not
// panic, and the object that is shown stays as it is.
func FuzzMutators(f *testing.F) {
	for _, kind := range []string{"Assign", "AssignMetadata", "ModifySet", "AssignImage"} {
		f.Add(kind, `{"applyTo":[{"groups":[""],"versions":["v1"],"kinds":["ConfigMap"]}],"location":"spec.containers[name: *].image","parameters":{"assign":{"value":{"a":[1]}},"assignTag":":1"}}`)
		f.Add(kind, `{"applyTo":[{"groups":[""],"versions":["v1"],"kinds":["ConfigMap"]}],"location":"data","parameters":{"values":{"fromList":[null,1]},"pathTests":[{"subPath":"","condition":"MustExist"}]}}`)
		f.Add(kind, `{"match":{"name":"*"},"location":"metadata.labels.x","parameters":{"assign":{"fromMetadata":{"field":"name"}}}}`)
	}
	e := engine(f)
	known := &cluster.Known{}
	known.Seal()
	f.Fuzz(func(t *testing.T, kind, spec string) {
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON([]byte(`{"apiVersion":"mutations.gatekeeper.sh/v1","kind":"ConfigMap","metadata":{"name":"m"},"spec":` + spec + `}`)); err != nil {
			return
		}
		u.SetKind(kind)
		o := aConfigMap()
		o.Object["spec"] = map[string]any{"containers": []any{map[string]any{"name": "web", "image": "nginx"}, "odd", nil}}
		before := o.DeepCopy()
		set := policy.NewSet(e.Compile([]policy.Object{{Unstructured: u, Source: gate.Source{Kind: kind, Name: "m"}}}).Policies, policy.Options{})
		out := set.Mutate(context.Background(), requestIn(admission.Create, o, "shop", "jane", known))
		if strings.Contains(out.Message(), "panicked") {
			t.Error(out.Message())
		}
		if fmt.Sprint(before.Object) != fmt.Sprint(o.Object) {
			t.Errorf("the object became %v", o.Object)
		}
	})
}
