package rego_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/parts"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// says reports whether a template has anything to say of a review: a violation, or an
// error. The namespace is in the review, as it will be there.
func says(t testing.TB, p *rego.Program, review map[string]any, parameters *ast.Term) bool {
	t.Helper()
	whole := maps.Clone(review)
	ns, err := rego.Term(whole["namespaceObject"])
	if err != nil {
		t.Fatal(err)
	}
	whole["namespaceObject"] = ns.Value
	if whole["operation"] == "DELETE" {
		whole["object"] = whole["oldObject"]
	}
	q := rego.Question{}
	if q.Review, err = rego.Sent(whole); err != nil {
		t.Fatal(err)
	}
	defer q.Begin(context.Background())()
	found, err := p.Violations(context.Background(), &q, parameters)
	return err != nil || len(found) > 0
}

// pruning changes reviews where a template does not read them, and asks it again.
type pruning struct {
	chance
	// others are whole objects, of which parts are taken for plausible values.
	others []map[string]any
	// texts are those of the templates and the parameters.
	texts  []string
	counts map[string]int
}

// parts of a review that vary.
var varied = []string{"object", "oldObject", "namespaceObject", "name", "namespace", "dryRun", "options", "userInfo"}

// digests are those of all parts read, as one.
func digests(review map[string]any, reads []policy.Read) string {
	var b strings.Builder
	for _, read := range reads {
		content := map[policy.Of]any{policy.OfObject: review["object"], policy.OfOldObject: review["oldObject"], policy.OfNamespace: review["namespaceObject"], policy.OfRequest: review}
		fmt.Fprintln(&b, parts.Digest(content[read.Of], read))
	}
	return b.String()
}

// unread is a review with some changes, each of which leaves all parts read as they were.
func (c *pruning) unread(review map[string]any, reads []policy.Read, tries int) map[string]any {
	want := digests(review, reads)
	for range tries {
		next := maps.Clone(review)
		part := varied[c.IntN(len(varied))]
		if c.IntN(4) > 0 {
			part = varied[c.IntN(2)]
		}
		next[part] = c.changed(next[part], c.others[c.IntN(len(c.others))])
		if next[part] == nil && part == "namespaceObject" {
			next[part] = map[string]any{}
		}
		if digests(next, reads) == want {
			review = next
			c.counts["changes"]++
		}
	}
	return review
}

func (c *pruning) any() any {
	if c.IntN(2) == 0 && len(c.texts) > 0 {
		return c.texts[c.IntN(len(c.texts))]
	}
	return c.value()
}

// changed is content with one change somewhere. like is an object that may have the like
// at the same place.
func (c *pruning) changed(content, like any) any {
	if c.IntN(8) == 0 {
		if c.IntN(2) == 0 && like != nil {
			return like
		}
		return c.any()
	}
	switch of := content.(type) {
	case map[string]any:
		out := maps.Clone(of)
		likely, _ := like.(map[string]any)
		keys := slices.Sorted(maps.Keys(of))
		more := slices.Sorted(maps.Keys(likely))
		switch n := c.IntN(12); {
		case n == 0 || len(keys) == 0 && len(more) == 0:
			out[fmt.Sprint(c.pick("zone", "app", "name", "a", "privileged", "hostPath"))] = c.any()
		case n <= 2 && len(more) > 0:
			key := more[c.IntN(len(more))]
			out[key] = likely[key]
		case len(keys) == 0:
		case n == 3:
			delete(out, keys[c.IntN(len(keys))])
		case n == 4:
			key := keys[c.IntN(len(keys))]
			delete(out, key)
			out[key+"x"] = of[key]
		default:
			key := keys[c.IntN(len(keys))]
			out[key] = c.changed(of[key], likely[key])
		}
		return out
	case []any:
		out := slices.Clone(of)
		likely, _ := like.([]any)
		var one any
		if len(likely) > 0 {
			one = likely[c.IntN(len(likely))]
		}
		switch n := c.IntN(8); {
		case n == 0 || len(out) == 0:
			if one == nil {
				one = c.any()
			}
			return append(out, one)
		case n == 1:
			i := c.IntN(len(out))
			return slices.Delete(out, i, i+1)
		case n == 2:
			i, j := c.IntN(len(out)), c.IntN(len(out))
			out[i], out[j] = out[j], out[i]
		case n == 3:
			return append(out, out[c.IntN(len(out))])
		default:
			i := c.IntN(len(out))
			out[i] = c.changed(out[i], one)
		}
		return out
	}
	return c.any()
}

func (c *pruning) pick(from ...any) any { return from[c.IntN(len(from))] }

// hold asks about a review and about ones that are equal to it in all parts read.
func (c *pruning) hold(t testing.TB, p *rego.Program, name string, reads []policy.Read, review map[string]any, parameters any) {
	t.Helper()
	terms, err := rego.Parameters(parameters)
	if err != nil {
		t.Fatal(err)
	}
	said := says(t, p, review, terms)
	c.counts[fmt.Sprint("said ", said)]++
	for range 4 {
		other := c.unread(review, reads, 12)
		if says(t, p, other, terms) != said {
			t.Fatalf("%s says something: %v, and of what is equal in %v: %v\nparameters %s\n%s\n%s", name, said, parts.Texts(reads), !said, written(t, "", parameters), written(t, "", review), written(t, "", other))
		}
	}
}

// about is a review of an object as the tests make them, with a namespace.
func (c *pruning) about(o map[string]any) map[string]any {
	review := reviewOf(c.chance, &unstructured.Unstructured{Object: o})
	review["namespaceObject"] = map[string]any{}
	if c.IntN(2) == 0 {
		review["namespaceObject"] = map[string]any{"metadata": map[string]any{"name": "shop", "labels": map[string]any{"a": "b", "app": "x"}}}
	}
	review["userInfo"] = map[string]any{"username": "jane", "groups": []any{"devs"}, "extra": map[string]any{"a": []any{"b"}}}
	if review["operation"] == "DELETE" {
		review["oldObject"], review["object"] = review["object"], nil
	}
	return review
}

// read is a template that the tests prune by.
type read struct {
	name, text string
	program    *rego.Program
	reads      []policy.Read
	parameters []any
}

// world is everything the pruning is about: the templates whose reads are known, and
// objects. all is how many templates there are.
func world(t testing.TB) (known []read, objects []map[string]any, all int) {
	c, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	parameters := map[string][]any{}
	take := func(name, text string, p *rego.Program, err error, given []any) {
		if err != nil || seen[text] {
			return
		}
		seen[text] = true
		all++
		if reads, ok := p.Reads(); ok {
			known = append(known, read{name, text, p, reads, append(given, nil)})
		}
	}
	everything := published(t)
	for _, u := range everything {
		switch u.GroupVersionKind().Group {
		case "constraints.gatekeeper.sh":
			given, _, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "parameters")
			parameters[u.GetKind()] = append(parameters[u.GetKind()], given)
		case "templates.gatekeeper.sh":
		default:
			objects = append(objects, u.Object)
		}
	}
	for _, u := range everything {
		if u.GroupVersionKind().Group != "templates.gatekeeper.sh" {
			continue
		}
		if one := typed(u); one != nil {
			p, err := c.Compile(&one.Spec.Targets[0])
			take(u.GetName(), written(t, "", one.Spec.Targets[0]), p, err, parameters[one.Spec.CRD.Spec.Names.Kind])
		}
	}
	for i, text := range said {
		p, err := c.Compile(&template("Said", text).Spec.Targets[0])
		take(fmt.Sprint("said ", i), text, p, err, []any{map[string]any{"list": []any{"a", "b"}}})
	}
	for _, one := range readCases {
		p, err := c.Compile(&template("Read", one.rego).Spec.Targets[0])
		if err != nil {
			t.Fatalf("%s: %v", one.name, err)
		}
		take(one.name, one.rego, p, err, []any{one.parameters})
	}
	for _, text := range pods {
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o.Object)
	}
	return known, objects, all
}

// textsIn are the texts in content, which are likely to make a difference.
func textsIn(content any) (texts []string) {
	switch of := content.(type) {
	case string:
		texts = append(texts, of)
	case map[string]any:
		for key, one := range of {
			texts = append(append(texts, key), textsIn(one)...)
		}
	case []any:
		for _, one := range of {
			texts = append(texts, textsIn(one)...)
		}
	}
	slices.Sort(texts)
	return texts
}

func (c *pruning) prune(t testing.TB, one *read, objects []map[string]any) {
	parameters := one.parameters[c.IntN(len(one.parameters))]
	c.texts = append(textsIn(parameters), strings.FieldsFunc(one.text, func(r rune) bool { return strings.ContainsRune("\"\\ \n[]", r) })...)
	o := objects[len(objects)-1-c.IntN(len(pods))]
	if c.IntN(3) == 0 {
		o = objects[c.IntN(len(objects))]
	}
	for range c.IntN(6) {
		if next, ok := c.changed(o, c.others[c.IntN(len(c.others))]).(map[string]any); ok {
			o = next
		}
	}
	c.hold(t, one.program, one.name, one.reads, c.about(o), parameters)
}

// TestUnreadPartsDoNotCount changes, for each template in Gatekeeper's source and of the
// tests here, reviews in the parts that it does not read: then it has something to say of
// all of them or of none.
func TestUnreadPartsDoNotCount(t *testing.T) {
	known, objects, all := world(t)
	c := &pruning{chance: chance{rand.New(rand.NewPCG(5, 6))}, others: objects, counts: map[string]int{}}
	for i := range known {
		for range 40 {
			c.prune(t, &known[i], objects)
		}
	}
	t.Logf("of %d templates, the reads of %d are known: %v", all, len(known), c.counts)
	if len(known) < 80 || c.counts["said true"] < 500 || c.counts["said false"] < 500 {
		t.Errorf("there is too little to compare: %d, %v", len(known), c.counts)
	}
}

// FuzzReads is TestUnreadPartsDoNotCount with what the fuzzer thinks of.
func FuzzReads(f *testing.F) {
	known, objects, _ := world(f)
	f.Add(uint64(1), uint64(2), uint16(3))
	f.Fuzz(func(t *testing.T, one, two uint64, which uint16) {
		c := &pruning{chance: chance{rand.New(rand.NewPCG(one, two))}, others: objects, counts: map[string]int{}}
		c.prune(t, &known[int(which)%len(known)], objects)
	})
}
