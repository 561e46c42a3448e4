package gatekeeper_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/upstream"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

type world struct {
	Mutators, Providers []*unstructured.Unstructured
	Objects             []mutable
}

type mutable struct {
	Object, Namespace       *unstructured.Unstructured
	In, Username, Operation string
}

type mutated struct {
	Refused     map[string]string
	Conflicting map[string]bool
	Objects     []map[string]any
	Errors      []string
}

// chance makes worlds: small ones, so that mutators meet.
type chance struct{ *rand.Rand }

func (c chance) pick(from ...string) string { return from[c.IntN(len(from))] }
func (c chance) once(in int) bool           { return c.IntN(in) == 0 }

// value is any JSON value.
func (c chance) value(depth int) any {
	switch n := c.IntN(9); {
	case n == 0 && depth < 3:
		return []any{c.value(depth + 1), c.value(depth + 1)}
	case n == 1 && depth < 3:
		return map[string]any{c.pick("name", "image", "key", "x"): c.value(depth + 1), c.pick("name", "y"): c.value(depth + 1)}
	case n == 2:
		return int64(c.IntN(3))
	case n == 3:
		return c.once(2)
	case n == 4:
		return 1.5
	}
	return c.pick("a", "b", "web", "lost", "bad", "odd", "nginx:1.29", "")
}

func (c chance) location() string {
	if !c.once(3) {
		return c.pick("spec.containers[name: *].image", "spec.containers[name: web].image", "spec.containers[name: web].x", "spec.containers[name: *].args", "spec.list", "spec.text", "spec.text", "spec.deep.er",
			"spec.host", "spec.host.name", "spec.containers[name: side].ports[port: 80].name")
	}
	return c.pick(
		"spec.containers[name: *].image", "spec.containers[name: web].image", "spec.containers[name: web]", "spec.containers", "spec.containers.image",
		"spec.containers[image: *].name", "spec.containers[name: *].args", "spec.containers[name: side].args", "spec.containers[name: web].ports[port: 80].name", "spec.list",
		"spec.containers[name: *].ports[port: *].name", "spec.host", "spec.host.name", `spec."a.b"`, "spec.deep.er.still", "spec.deep", "spec.containers[port: 80].x", "metadata.labels.a",
		"metadata.annotations.b", `metadata.labels."x/y"`, "metadata.name", "spec.containers[name: web].name", "spec.containers[", "", "status", "spec.containers[name: *]", "spec..x", "spec.n[i: 1]", "spec.text", "spec.text")
}

func (c chance) match() map[string]any {
	m := map[string]any{}
	if c.once(5) {
		m["kinds"] = []any{map[string]any{"apiGroups": []any{c.pick("", "*", "apps")}, "kinds": []any{c.pick("Pod", "*", "Deployment")}}}
	}
	if c.once(6) {
		m["namespaces"] = []any{c.pick("shop", "s*", "*b", "lab")}
	}
	if c.once(8) {
		m["excludedNamespaces"] = []any{c.pick("shop", "*b")}
	}
	if c.once(8) {
		m["scope"] = c.pick("Cluster", "Namespaced", "*")
	}
	if c.once(6) {
		m["labelSelector"] = map[string]any{"matchExpressions": []any{map[string]any{"key": c.pick("a", "b"), "operator": c.pick("Exists", "DoesNotExist")}}}
	}
	if c.once(8) {
		m["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"team": c.pick("red", "blue")}}
	}
	if c.once(8) {
		m["name"] = c.pick("c", "c*", "*x", "*")
	}
	if c.once(8) {
		m["source"] = c.pick("All", "Original", "Generated")
	}
	return m
}

func (c chance) mutator(name string) *unstructured.Unstructured {
	kind := c.pick("Assign", "Assign", "AssignMetadata", "ModifySet", "AssignImage")
	at := c.location()
	parameters := map[string]any{}
	spec := map[string]any{"match": c.match(), "parameters": parameters}
	assign := map[string]any{}
	switch c.IntN(8) {
	case 0:
		assign["fromMetadata"] = map[string]any{"field": c.pick("name", "namespace", "name", "namespace", "name", "uid")}
	case 1:
		assign["externalData"] = map[string]any{"provider": c.pick("good", "good", "broken", "restless", "nowhere"), "dataSource": c.pick("ValueAtLocation", "Username"),
			"failurePolicy": c.pick("Fail", "Ignore", "UseDefault"), "default": c.pick("", "spare", "spare", "spare", "spare")}
	case 2:
		if c.once(3) {
			assign["fromMetadata"] = map[string]any{"field": "name"}
		}
		fallthrough
	default:
		assign["value"] = c.value(0)
		if c.once(2) {
			assign["value"] = map[string]any{"name": c.pick("web", "side"), "image": c.pick("x", "y")}
		}
	}
	switch kind {
	case "Assign":
		parameters["assign"] = assign
	case "AssignMetadata":
		if c.once(2) {
			at = c.pick("metadata.labels.a", "metadata.labels.b", "metadata.annotations.b", `metadata.labels."x/y"`)
		}
		if assign["value"] != nil && !c.once(4) {
			assign["value"] = c.pick("red", "7")
		}
		parameters["assign"] = assign
	case "ModifySet":
		parameters["operation"] = c.pick("merge", "prune")
		values := map[string]any{}
		if !c.once(10) {
			values["fromList"] = []any{c.value(1), c.value(1), c.pick("a", "b")}
		}
		parameters["values"] = values
		if c.once(3) {
			at = c.pick("spec.containers[name: *].args", "spec.list", "spec.deep.er")
		}
	case "AssignImage":
		if c.once(2) {
			at = c.pick("spec.containers[name: *].image", "spec.containers[name: web].image", "spec.text")
		}
		for _, part := range [][]string{ // a list, so that chance is the same each time
			{"assignDomain", "", "registry.shop.io", "registry.shop.io", "localhost:5000", "localhost", "reg.io:1", "", "nodot", "a.b/c"},
			{"assignPath", "", "", "library/nginx", "x", "a/b/c", "shop.io/x", "Upper", "a__b/c-d"},
			{"assignTag", "", "", ":v2", ":v2", ":latest", "v2", "@sha256:" + strings.Repeat("a", 64), ":"},
		} {
			if v := c.pick(part[1:]...); v != "" {
				parameters[part[0]] = v
			}
		}
	}
	if kind != "AssignMetadata" {
		apply := map[string]any{"groups": []any{"", "apps"}, "versions": []any{"v1"}, "kinds": []any{"Pod", "Deployment"}}
		switch c.IntN(8) {
		case 0:
			apply["kinds"] = []any{c.pick("Pod", "Deployment")}
		case 1:
			apply["operations"] = []any{c.pick("CREATE", "UPDATE", "*", "DELETE")}
		case 2:
			if c.once(3) {
				delete(apply, c.pick("groups", "versions"))
			}
		}
		spec["applyTo"] = []any{apply}
		var tests []any
		for c.once(4) && len(tests) < 3 {
			sub := at
			if cut := strings.LastIndexAny(at, ".["); cut > 0 && c.once(2) {
				sub = at[:cut]
			}
			tests = append(tests, map[string]any{"subPath": c.pick(sub, sub, "spec", "spec.other"), "condition": c.pick("MustExist", "MustNotExist")})
		}
		if tests != nil {
			parameters["pathTests"] = tests
		}
	}
	spec["location"] = at
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "mutations.gatekeeper.sh/v1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}}
}

func (c chance) object() *unstructured.Unstructured {
	kind := c.pick("Pod", "Pod", "Pod", "Deployment", "Namespace", "ConfigMap")
	metadata := map[string]any{"name": c.pick("c", "cx", "d")}
	if c.once(2) {
		labels := map[string]any{}
		for _, l := range []string{"a", "b", "team"} {
			if c.once(3) {
				labels[l] = c.pick("red", "blue")
			}
		}
		metadata["labels"] = labels
	}
	spec := map[string]any{}
	var containers []any
	for range c.IntN(3) {
		one := map[string]any{"name": c.pick("web", "side", "web")}
		if c.once(2) {
			one["image"] = c.pick("nginx", "nginx:1", "localhost:5000/x@sha256:1", "gcr.io/a/b:t", "bad", "lost", "odd")
		}
		if c.once(2) {
			one["args"] = []any{c.pick("a", "b"), c.value(2)}
		}
		if c.once(2) {
			one["ports"] = []any{map[string]any{"port": int64(80)}, map[string]any{"port": int64(81), "name": "b"}}
		}
		containers = append(containers, one)
	}
	if !c.once(6) {
		spec["containers"] = containers
		if containers == nil {
			spec["containers"] = []any{}
		}
	} else if c.once(2) {
		spec["containers"] = c.value(0)
	}
	for _, field := range []string{"host", "deep", "list", "text", "n", "a.b"} {
		if c.once(5) {
			spec[field] = c.value(0)
		}
	}
	if c.once(2) {
		spec["text"] = c.pick("nginx", "bad", "lost")
	}
	version := "v1"
	if kind == "Deployment" {
		version = "apps/v1"
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}}
}

// TestMutationAgainstGatekeeper holds what mutators by chance make of objects by chance
// against what Gatekeeper's own mutation system makes of them: which mutators are
// refused, which are in conflict, and each object, or that it is refused. External data
// is asked of a real server by us, and of a function that answers the same by the
// oracle.
func TestMutationAgainstGatekeeper(t *testing.T) {
	server := serveProviders(t)
	c := chance{rand.New(rand.NewPCG(3, 4))}
	namespaces := map[string]*unstructured.Unstructured{}
	known := &cluster.Known{}
	for name, team := range map[string]string{"shop": "red", "lab": "blue"} {
		namespaces[name] = &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": map[string]any{"team": team}}}}
		known.Add(namespaces[name])
	}
	known.Seal()
	var offered []policy.Object
	var told []*unstructured.Unstructured // the oracle asks no server: where ours is says nothing to it
	for _, name := range []string{"good", "broken", "restless"} {
		offered = append(offered, objects(t, server.object(name))...)
		elsewhere := offered[len(offered)-1].DeepCopy()
		if err := unstructured.SetNestedField(elsewhere.Object, "https://provider.example.org/"+name, "spec", "url"); err != nil {
			t.Fatal(err)
		}
		told = append(told, elsewhere)
	}
	question := struct{ Worlds []world }{}
	for i := range 2500 {
		w := world{Providers: told}
		for j := range 1 + c.IntN(6) {
			w.Mutators = append(w.Mutators, c.mutator(fmt.Sprintf("m%d-%d", i, j)))
		}
		for range 4 {
			m := mutable{Object: c.object(), Username: c.pick("jane", "bad", ""), Operation: c.pick("CREATE", "CREATE", "UPDATE")}
			if kind := m.Object.GetKind(); kind == "Namespace" {
				m.Namespace = m.Object.DeepCopy()
			} else {
				m.In = c.pick("shop", "lab")
				m.Namespace = namespaces[m.In]
				if c.once(2) {
					m.Object.SetNamespace(m.In)
				}
			}
			w.Objects = append(w.Objects, m)
		}
		question.Worlds = append(question.Worlds, w)
	}
	var answer struct{ Worlds []*mutated }
	oracle(t, question, &answer)

	count := map[string]int{}
	e := engineWith(t, server, "good", "broken", "restless")
	for i, w := range question.Worlds {
		want := answer.Worlds[i]
		all := append([]policy.Object(nil), offered...)
		for _, u := range w.Mutators {
			all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName()}})
		}
		loaded := e.Compile(all)
		problems := map[string]string{}
		for _, p := range loaded.Problems {
			problems[p.Source.Kind+"/"+p.Source.Name] = p.Message
		}
		for _, u := range w.Mutators {
			name := u.GetKind() + "/" + u.GetName()
			refusal, refused := want.Refused[name]
			text := problems[name]
			if conflicting := strings.Contains(text, "conflicting schemas"); (refused || want.Conflicting[name]) != (text != "") || conflicting != want.Conflicting[name] {
				spec, _ := json.Marshal(u.Object["spec"])
				t.Errorf("world %d: %s %s\n  we say: %q\n  Gatekeeper: refused %q, conflicting %v", i, name, spec, text, refusal, want.Conflicting[name])
			}
			switch {
			case refused:
				count["mutators refused"]++
			case want.Conflicting[name]:
				count["mutators in conflict"]++
			default:
				count["mutators in force"]++
			}
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		for j := range w.Objects {
			m := &w.Objects[j]
			before := m.Object.DeepCopy()
			r := requestIn(admission.Operation(m.Operation), m.Object, m.In, m.Username, known)
			out := set.Mutate(context.Background(), r)
			got, _ := r.Object()
			if !reflect.DeepEqual(before.Object, m.Object.Object) {
				t.Fatalf("world %d: the object that is shown was changed", i)
			}
			refused := want.Errors[j] != ""
			if refused != (len(out.Denials) > 0) || !refused && !reflect.DeepEqual(got.Object, want.Objects[j]) {
				was, _ := json.Marshal(before)
				mutators, _ := json.MarshalIndent(w.Mutators, "", " ")
				ours, _ := json.Marshal(got)
				theirs, _ := json.Marshal(want.Objects[j])
				t.Errorf("world %d object %d %s %s in %q:\n%s\n  ours: %s %s\ntheirs: %s %s\n%s", i, j, m.Operation, m.Username, m.In, was, ours, out.Message(), theirs, want.Errors[j], mutators)
			}
			switch {
			case refused:
				count["objects refused"]++
			case out.Changed:
				count["objects changed"]++
			default:
				count["objects as they were"]++
			}
		}
		if t.Failed() && i > 20 {
			t.Fatal("enough")
		}
	}
	t.Logf("%d worlds: the same: %v; the provider was asked %d times", len(question.Worlds), count, server.calls.Load())
	for _, kind := range []string{"mutators refused", "mutators in conflict", "mutators in force", "objects refused", "objects changed", "objects as they were"} {
		if count[kind] < 100 {
			t.Errorf("the comparison is empty of %s", kind)
		}
	}
}

// TestLocationsAgainstGatekeeper reads texts by chance as locations.
func TestLocationsAgainstGatekeeper(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(11, 12))}
	question := struct{ Locations []string }{}
	for range 20_000 {
		var b strings.Builder
		for range c.IntN(12) {
			b.WriteString(c.pick("a", "spec", ".", ".", "[", "]", ":", "*", " ", `"`, "'", `\\`, "1", "80", "name: ", "[name: *]", "[k: 1].", "_-", "\t", "ä", "\x00", `"x.y"`))
		}
		question.Locations = append(question.Locations, b.String())
	}
	var answer struct{ Locations []location.Location }
	oracle(t, question, &answer)
	read := 0
	for i, text := range question.Locations {
		theirs := answer.Locations[i]
		ours, err := location.Parse(text)
		if (err == nil) != (theirs != nil) {
			t.Errorf("%q: we say %v %v, Gatekeeper %v", text, ours, err, theirs)
			continue
		}
		if theirs == nil {
			continue
		}
		read++
		if len(ours)+len(theirs) > 0 && !reflect.DeepEqual(theirs, ours) {
			t.Errorf("%q: we read %q, Gatekeeper %q", text, ours, theirs)
		}
	}
	t.Logf("%d texts, of which %d are locations: the same", len(question.Locations), read)
	if read < 1000 {
		t.Errorf("the comparison is empty: %d", read)
	}
}

// TestMutationFixtures has Gatekeeper's own fixtures of mutators mutate the objects of
// its fixtures, each mutator alone and all together.
func TestMutationFixtures(t *testing.T) {
	dir := upstream.Source(t)
	var question struct{ Worlds []world }
	var all []policy.Object
	known := &cluster.Known{}
	known.Seal()
	var others []*unstructured.Unstructured
	for _, pattern := range []string{"test/bats/tests/mutations/*.yaml", "demo/mutation/*.yaml", "config/samples/mutations*.yaml", "test/expansion/*.yaml", "test/gator/expand/fixtures/*/input/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var documents []string
			for document := range strings.SplitSeq("\n"+string(data), "\n---") {
				if strings.Contains("\n"+document, "\nkind:") {
					documents = append(documents, document)
				}
			}
			for _, o := range objects(t, strings.Join(documents, "\n---\n")) {
				if o.GroupVersionKind().Group == "mutations.gatekeeper.sh" {
					o.SetName(fmt.Sprintf("%s-%d", o.GetName(), len(all)))
					o.Source.Name = o.GetName()
					if parameters, ok, _ := unstructured.NestedMap(o.Object, "spec", "parameters"); ok && o.GetKind() == "ModifySet" && parameters["operation"] == nil {
						// The definition of the kind has this default.
						_ = unstructured.SetNestedField(o.Object, "merge", "spec", "parameters", "operation")
					}
					all = append(all, o)
				} else {
					others = append(others, o.Unstructured)
				}
			}
		}
	}
	seen := func() (m []mutable) {
		for _, o := range others {
			one := mutable{Object: o.DeepCopy(), In: o.GetNamespace(), Operation: "CREATE"}
			if o.GetKind() == "Namespace" {
				one.Namespace = o.DeepCopy()
			}
			m = append(m, one)
		}
		return m
	}
	together := world{Objects: seen()}
	for _, o := range all {
		question.Worlds = append(question.Worlds, world{Mutators: []*unstructured.Unstructured{o.Unstructured}, Objects: seen()})
		together.Mutators = append(together.Mutators, o.Unstructured)
	}
	question.Worlds = append(question.Worlds, together)
	var answer struct{ Worlds []*mutated }
	oracle(t, question, &answer)
	same, changed := 0, 0
	for i, w := range question.Worlds {
		var policies []policy.Object
		for _, u := range w.Mutators {
			policies = append(policies, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName()}})
		}
		loaded := engine(t).Compile(policies)
		if want := len(answer.Worlds[i].Refused) + len(answer.Worlds[i].Conflicting); len(loaded.Problems) != want {
			t.Errorf("world %d: %v, Gatekeeper: %v", i, loaded.Problems, answer.Worlds[i])
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		for j := range w.Objects {
			r := requestIn(admission.Create, w.Objects[j].Object, w.Objects[j].In, "", known)
			out := set.Mutate(context.Background(), r)
			got, _ := r.Object()
			if refused := answer.Worlds[i].Errors[j] != ""; refused != (len(out.Denials) > 0) || !refused && !reflect.DeepEqual(got.Object, answer.Worlds[i].Objects[j]) {
				t.Errorf("world %d, %s %s:\n ours %v %s\ntheirs %v %s", i, got.GetKind(), got.GetName(), got, out.Message(), answer.Worlds[i].Objects[j], answer.Worlds[i].Errors[j])
				continue
			}
			same++
			if out.Changed {
				changed++
			}
		}
	}
	t.Logf("%d mutators, %d objects; %d changed", len(all), len(others), changed)
	tally.Of(t, "Gatekeeper's own mutators over its own objects", same, len(question.Worlds)*len(others))
}
