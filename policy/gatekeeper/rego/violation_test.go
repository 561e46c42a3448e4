package rego_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// template is one with this Rego; a version may stand before it, and libraries behind it.
func template(kind, text string) *templates.ConstraintTemplate {
	source := map[string]any{}
	if version, rest, ok := strings.Cut(text, "|"); ok && len(version) == 2 {
		source["version"], text = version, rest
	}
	parts := strings.Split(text, "\n---\n")
	source["rego"] = "package x\n" + parts[0]
	libs := []any{}
	for _, lib := range parts[1:] {
		libs = append(libs, lib)
	}
	source["libs"] = libs
	one := &templates.ConstraintTemplate{ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(kind)}}
	one.Spec.CRD.Spec.Names.Kind = kind
	one.Spec.Targets = []templates.Target{{Target: target, Code: []templates.Code{{Engine: rego.Engine, Source: &templates.Anything{Value: source}}}}}
	return one
}

func constraint(kind, name string, parameters any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": map[string]any{"parameters": parameters}}}
}

// said are templates that say all they know, and ones that go to the edge of what a
// template may say.
var said = []string{
	// Everything that can be seen, as it is seen.
	`violation[{"msg": json.marshal(input)}] { true }`,
	`violation[{"msg": json.marshal(data.inventory)}] { true }`,
	`violation[{"msg": sprintf("%v %v", [path, value]), "details": path}] { walk(input.review, [path, value]); not is_object(value); not is_array(value) }`,
	`violation[{"msg": sprintf("%v", [input.parameters])}] { true }`,
	`violation[{"msg": sprintf("%v %d %s", [n, n, n])}] { n := input.review.object.data[_] }`,
	`violation[{"msg": sprintf("%v", [ns])}] { ns := input.review.namespaceObject }`,
	// What is one and what are two.
	`violation[{"msg": "x", "more": k}] { input.review.object.data[k] }`,
	`violation[{"msg": "x", "details": {"of": k}}] { input.review.object.data[k] }`,
	`violation[{"msg": "x", "details": {k, v}}] { v := input.review.object.data[k] }`,
	`violation[{"msg": m, "details": d}] { m := ["b", "a", "b"][_]; d := [1, 1.0, {"x": {3, 2}}, null, false][_] }`,
	// What is not said, or said in another way.
	`violation[{"text": "x"}] { true }`,
	`violation[{"msg": input.review.object.data[_]}] { true }`,
	`violation[{"msg": 5}] { input.review.object.data.a }`,
	`violation[input.review.object.data[_]] { true }`,
	`violation[r] { r := {"msg", "details"} }`,
	`violation["text"] { true }`,
	`violation[[1, 2]] { true }`,
	`violation[r] { r := input.review.object }`,
	`violation = {{"msg": "complete"}} { input.review.object.data.a }`,
	`violation = [{"msg": "list"}] { true }`,
	`violation[x] = y { y := {"msg": "of an object"}; x := "msg" }`,
	`violation = x { x := input.review.object.data }`,
	`default violation = {{"msg": "default"}}
violation = {{"msg": "other"}} { input.review.object.data.a }`,
	`violation(x) = y { y := x }`,
	// What contradicts itself, and what is not defined.
	`is = x { x := input.review.object.data[_] }
violation[{"msg": sprintf("%v", [is])}] { is }`,
	`of(x) = y { y := input.review.object.data[_]; x }
violation[{"msg": sprintf("%v", [of(1)])}] { true }`,
	`all[k] = v { v := input.review.object.data[_]; k := "same" }
violation[{"msg": json.marshal(all)}] { true }`,
	`violation[{"msg": x}] { x := sprintf("%v", [1 / count(input.review.object.data)]) }`,
	`violation[{"msg": "no"}] { not to_number(input.review.object.data.a) }`,
	`violation[{"msg": "no"}] { not input.constraints; not input.target; not data.inventory.cluster.nothing }`,
	// The language.
	`v1|violation contains {"msg": msg} if {
	some k, v in input.review.object.data
	every one in input.parameters.list { one != v }
	msg := sprintf("%v", [k])
}`,
	`import future.keywords.in
violation[{"msg": k}] { some k; input.review.object.data[k] in input.parameters.list }`,
	`import data.lib.other
violation[{"msg": m}] { m := other.said[_] }
---
package lib.other
import data.lib.deep.fn
said[m] { m := sprintf("%v", [fn(input.review.object.data[_])]) }
---
package lib.deep
fn(x) = y { is_string(x); y := upper(x) } else = z { z := ["not", x] }`,
	`ask(with_this) { x with input as {"review": with_this} }
x { input.review.a == 1 }
violation[{"msg": "x"}] { ask({"a": 1}); not x }`,
	`violation[{"msg": m}] { labels := {l | input.review.object.metadata.labels[l]}; missing := {l | l := input.parameters.list[_]} - labels; count(missing) > 0; m := sprintf("%v", [missing]) }`,
	`violation[{"msg": m}] { o := data.inventory.namespace[ns][v][k][n]; o.data == input.review.object.data; m := sprintf("%v/%v/%v/%v", [ns, v, k, n]) }`,
	`violation[{"msg": m}] { m := data.inventory.cluster["v1"].Namespace[_].metadata.labels[_] }`,
	`violation[{"msg": sprintf("%v", [data.inventory.namespace.shop["v1"].ConfigMap.c.list[i]])}] { i := input.parameters.list[_] }`,
	`violation[{"msg": m}] { x := data.inventory.namespace.shop["v1"].ConfigMap.c.list[1]; m := sprintf("%v", [x]) }`,
	`violation[{"msg": "slow"}] { time.now_ns() - time.now_ns() != 0 }`,
	`violation[{"msg": m}] { print(input); trace("x"); m := rego.metadata.rule().title }`,
	`violation[{"msg": regex.replace(input.review.object.data[_], input.parameters.list[_], "-")}] { true }`,
	`violation[{"msg": m}] { m := yaml.marshal(input.review.object.data) }`,
	// What is refused.
	`violation[{"msg": m}] { m := http.send({"url": "https://example.org", "method": "get"}).body }`,
	`violation[{"msg": m}] { m := opa.runtime().env.HOME }`,
	`violation[{"msg": m}] { m := data.constraints }`,
	`violation[{"msg": m}] { m := data[_] }`,
	`violation[{"msg": m}] { m := data.template.violation[_].msg }`,
	`violation[{"msg": m}] { m := nothing(1) }`,
	`violation[{"msg": m}] { m := unsafe }`,
	`other { true }`,
	`import data.inventory
violation[{"msg": "x"}] { inventory.namespace }`,
	`violation[{"msg": 1}] { x := 1; x.msg }`,
	`violation {`,
	"v1|violation[{\"msg\": \"x\"}] { true }",
}

func content(c chance) *unstructured.Unstructured {
	data := map[string]any{}
	for i := range c.IntN(4) {
		data[string(rune('a'+i))] = c.value()
	}
	o := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "shop", "generation": int64(1234567), "labels": map[string]any{"a": "b"}}, "data": data, "list": []any{int64(1), int64(1000000), 1.5}}
	return &unstructured.Unstructured{Object: o}
}

// TestWhatIsSaid holds the edges of the language against Gatekeeper's driver.
func TestWhatIsSaid(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(5, 6))}
	b := newBoth(t)
	b.put(t, content(c))
	b.put(t, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop", "labels": map[string]any{"a": "b"}}}})
	counts := map[string]int{}
	for i, text := range said {
		kind := fmt.Sprintf("K%d", i)
		p := b.add(t, template(kind, text))
		if p == nil {
			counts["templates that do not compile"]++
			continue
		}
		for turn := range 60 {
			parameters := map[string]any{"list": []any{c.value(), c.value(), "a"}, "n": c.value()}
			var namespace map[string]any
			if turn%2 == 0 {
				namespace = map[string]any{"metadata": map[string]any{"name": "shop", "generation": int64(1000000)}}
			}
			counts[b.compare(t, p, constraint(kind, "one", parameters), reviewOf(c, content(c)), namespace)]++
			if t.Failed() {
				t.Fatal(text)
			}
		}
	}
	t.Logf("%d templates; the same: %v", len(said), counts)
	for _, what := range []string{"failed", "odd", "violated", "kept", "templates that do not compile"} {
		if counts[what] < 10 {
			t.Errorf("there is too little of what is to be compared: %v", counts)
		}
	}
}

// FuzzReview holds a review of any JSON against Gatekeeper's driver.
func FuzzReview(f *testing.F) {
	f.Add(`{"object": {"a": [1, 1000000, -0.0, 1e21, "\ud800", {}]}}`, `{"list": [1]}`)
	f.Add(`{"object": {"data": {"a": 9007199254740993}}}`, `[]`)
	b := newBoth(f)
	programs := map[string]*rego.Program{}
	for i, text := range said {
		kind := fmt.Sprintf("K%d", i)
		if p := b.add(f, template(kind, text)); p != nil {
			programs[kind] = p
		}
	}
	f.Fuzz(func(t *testing.T, review, parameters string) {
		r, p := map[string]any{}, any(nil)
		if json.Unmarshal([]byte(review), &r) != nil || json.Unmarshal([]byte(parameters), &p) != nil || r == nil {
			return
		}
		for kind, program := range programs {
			b.compare(t, program, constraint(kind, "one", p), r, nil)
		}
	})
}

// TestInventoryChanges holds data.inventory against that of Gatekeeper's driver while
// objects come and go; what was taken before stays as it was.
func TestInventoryChanges(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(7, 8))}
	b := newBoth(t)
	p := b.add(t, template("All", said[1]))
	// text is all that there is, as JSON.
	seen := b.add(t, template("Seen", said[1]))
	text := func(d *rego.Data) string {
		review, err := rego.Sent(map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		found, err := seen.Violations(t.Context(), &rego.Question{Review: review, Data: d}, review)
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0].Message
	}
	before := b.inventory.Data()
	beforeText := text(before)
	for turn := range 300 {
		o := content(c)
		o.SetName([]string{"a", "b", "c"}[c.IntN(3)])
		o.SetNamespace([]string{"", "shop", "lab"}[c.IntN(3)])
		if c.IntN(3) > 0 {
			b.put(t, o)
		} else {
			path := []string{"cluster", "v1", "ConfigMap", o.GetName()}
			if o.GetNamespace() != "" {
				path = []string{"namespace", o.GetNamespace(), "v1", "ConfigMap", o.GetName()}
			}
			b.inventory.Remove(path)
			if err := b.driver.RemoveData(context.Background(), target, path); err != nil {
				t.Fatal(err)
			}
		}
		b.compare(t, p, constraint("All", "one", nil), reviewOf(c, o), nil)
		if got := text(before); got != beforeText {
			t.Fatalf("turn %d changes what was taken before: %s, was %s", turn, got, beforeText)
		}
		if c.IntN(4) == 0 {
			before = b.inventory.Data()
			beforeText = text(before)
		}
	}
}

// TestAtOnce asks one program from many sides while the inventory changes; the race
// detector looks on.
func TestAtOnce(t *testing.T) {
	b := newBoth(t)
	p := b.add(t, template("All", said[1]))
	parameters, err := rego.Parameters(map[string]any{"list": []any{"b", "a"}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 40 {
		o := content(chance{rand.New(rand.NewPCG(1, uint64(i)))})
		b.inventory.Put([]string{"namespace", "shop", "v1", "ConfigMap", fmt.Sprint(i)}, o.Object)
		data := b.inventory.Data()
		for range 2 {
			all.Go(func() {
				review, err := rego.Sent(map[string]any{"object": map[string]any{"b": 1, "a": 2}})
				if err != nil {
					t.Error(err)
					return
				}
				q := rego.Question{Review: review, Data: data}
				if found, err := p.Violations(t.Context(), &q, parameters); err != nil || len(found) != 1 || strings.Count(found[0].Message, "ConfigMap\",") != i+1 {
					t.Error(i, found, err)
				}
			})
		}
	}
	all.Wait()
}

// An evaluation ends with its context, whether it is over before or during it.
func TestEnd(t *testing.T) {
	b := newBoth(t)
	p := b.add(t, template("Endless", `violation[{"msg": "x"}] { numbers.range(1, 100000)[a] == numbers.range(1, 100000)[b]; a + b == -1 }`))
	for _, wait := range []time.Duration{0, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		review, err := rego.Sent(map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		parameters, err := rego.Parameters(nil)
		if err != nil {
			t.Fatal(err)
		}
		q := rego.Question{Review: review}
		end := q.Begin(ctx)
		_, err = p.Violations(ctx, &q, parameters)
		end()
		if err == nil || !strings.Contains(err.Error(), "cancel") {
			t.Errorf("after %s: %v", wait, err)
		}
	}
}
