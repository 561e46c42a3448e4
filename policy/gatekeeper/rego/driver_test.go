package rego_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	templatesv1 "github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1"
	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/templates/v1beta1"
	driver "github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/upstream"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

const target = "admission.k8s.gatekeeper.sh"

// forbidden are left out on both sides.
var forbidden = []string{"http.send", "opa.runtime"}

// both is Gatekeeper's driver and ours, which are told the same.
type both struct {
	driver    *driver.Driver
	compiler  *rego.Compiler
	inventory rego.Inventory
}

func newBoth(t testing.TB) *both {
	t.Helper()
	d, err := driver.New(driver.DisableBuiltins(forbidden...), driver.Externs("inventory"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		t.Fatal(err)
	}
	return &both{driver: d, compiler: c}
}

// add compiles a template; the two have to agree whether it does.
func (b *both) add(t testing.TB, typed *templates.ConstraintTemplate) *rego.Program {
	t.Helper()
	theirs := b.driver.AddTemplate(context.Background(), typed)
	p, ours := b.compiler.Compile(&typed.Spec.Targets[0])
	if (theirs == nil) != (ours == nil) {
		t.Errorf("template %s: Gatekeeper's driver says %v, and ours %v", typed.Name, theirs, ours)
	}
	if theirs != nil || ours != nil {
		return nil
	}
	return p
}

func (b *both) put(t testing.TB, o *unstructured.Unstructured) {
	t.Helper()
	path := []string{"cluster", o.GetAPIVersion(), o.GetKind(), o.GetName()}
	if ns := o.GetNamespace(); ns != "" {
		path = []string{"namespace", ns, o.GetAPIVersion(), o.GetKind(), o.GetName()}
	}
	if err := b.driver.AddData(context.Background(), target, path, o.Object); err != nil {
		t.Fatal(err)
	}
	b.inventory.Put(path, o.Object)
}

// compare asks both, and reports what was found, or why nothing can be.
func (b *both) compare(t testing.TB, p *rego.Program, constraint *unstructured.Unstructured, review, namespace map[string]any) string {
	t.Helper()
	ctx := context.Background()
	if err := b.driver.AddConstraint(ctx, constraint); err != nil {
		t.Fatal(err)
	}
	answer, theirErr := b.driver.Query(ctx, target, []*unstructured.Unstructured{constraint}, review, reviews.Namespace(namespace))
	if err := b.driver.RemoveConstraint(ctx, constraint); err != nil {
		t.Fatal(err)
	}
	var want []string
	if theirErr == nil {
		for _, r := range answer.Results {
			want = append(want, written(t, r.Msg, r.Metadata["details"]))
		}
	}
	parameters, _, err := unstructured.NestedFieldNoCopy(constraint.Object, "spec", "parameters")
	if err != nil {
		t.Fatal(err)
	}
	terms, err := rego.Parameters(parameters)
	if err != nil {
		t.Fatal(err)
	}
	if namespace == nil {
		namespace = map[string]any{}
	}
	ns, err := rego.Term(namespace)
	if err != nil {
		t.Fatal(err)
	}
	whole := maps.Clone(review)
	whole["namespaceObject"] = ns.Value
	q := rego.Question{Data: b.inventory.Data()}
	if q.Review, err = rego.Sent(whole); err != nil {
		t.Fatal(err)
	}
	defer q.Begin(ctx)()
	found, ourErr := p.Violations(ctx, &q, terms)
	var got []string
	var odd *rego.MessageError
	switch {
	case errors.As(ourErr, &odd) != (theirErr != nil):
		t.Errorf("constraint %s of %s: Gatekeeper's driver says %v, and ours %v", constraint.GetName(), constraint.GetKind(), theirErr, ourErr)
		return ""
	case odd != nil:
		return "odd"
	case ourErr != nil:
		got = append(got, written(t, ourErr.Error(), nil))
	}
	for _, v := range found {
		got = append(got, written(t, v.Message, v.Details))
	}
	sorted := slices.Sorted(slices.Values(want))
	if !slices.Equal(slices.Sorted(slices.Values(got)), sorted) {
		t.Errorf("constraint %s of %s, parameters %s, about %s:\n got %q\nwant %q", constraint.GetName(), constraint.GetKind(), written(t, "", parameters), written(t, "", review), got, want)
	}
	switch {
	case ourErr != nil:
		return "failed"
	case len(got) > 0:
		return "violated"
	}
	return "kept"
}

func written(t testing.TB, message string, details any) string {
	t.Helper()
	data, err := json.Marshal(details)
	if err != nil {
		t.Fatal(err)
	}
	return message + " " + string(data)
}

var fenced = regexp.MustCompile("(?s)```ya?ml[^\n]*\n(.*?)```")

// published are all objects in Gatekeeper's source: its tests, its demos and its
// documentation, of this release and of all before. What is no YAML is left out.
func published(t testing.TB) (all []*unstructured.Unstructured) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(upstream.Source(t), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var texts []string
		switch filepath.Ext(path) {
		case ".yaml", ".yml":
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			texts = []string{string(data)}
		case ".md":
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, found := range fenced.FindAllStringSubmatch(string(data), -1) {
				texts = append(texts, found[1])
			}
		}
		for _, text := range texts {
			for document := range strings.SplitSeq(text, "\n---") {
				data, err := yaml.YAMLToJSON([]byte(document))
				if err != nil || seen[string(data)] {
					continue
				}
				seen[string(data)] = true
				u := &unstructured.Unstructured{}
				if u.UnmarshalJSON(data) == nil && u.GetName() != "" {
					all = append(all, u)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// typed reads a template; nil for what is none in Rego.
func typed(u *unstructured.Unstructured) *templates.ConstraintTemplate {
	data, err := u.MarshalJSON()
	if err != nil {
		return nil
	}
	var of interface {
		ToVersionless() (*templates.ConstraintTemplate, error)
	} = &templatesv1.ConstraintTemplate{}
	if strings.HasSuffix(u.GetAPIVersion(), "/v1beta1") {
		of = &v1beta1.ConstraintTemplate{}
	}
	if json.Unmarshal(data, of) != nil {
		return nil
	}
	one, err := of.ToVersionless()
	if err != nil || len(one.Spec.Targets) != 1 {
		return nil
	}
	one.Spec.Targets[0].Target = target
	return one
}

// chance changes content here and there.
type chance struct{ *rand.Rand }

var values = []any{nil, true, false, int64(0), int64(3), int64(1000000), int64(-7), int64(1) << 53, int64(1)<<62 + 1, 1.5, -0.25, 1e21, "", "a", "1Gi", "nginx:latest", "*", "é\xff\"<>&\u2028", []any{}, map[string]any{}}

func (c chance) value() any {
	switch v := values[c.IntN(len(values))].(type) {
	case []any:
		return []any{c.value()}
	case map[string]any:
		return map[string]any{"name": c.value(), "image": c.value()}
	default:
		return v
	}
}

// change is content of which about one in so many parts is another.
func (c chance) change(content any, one int) any {
	if c.IntN(one) == 0 {
		return c.value()
	}
	switch of := content.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(of)) {
			if c.IntN(one) > 0 {
				out[key] = c.change(of[key], one)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, each := range of {
			for range 1 + c.IntN(one)/(one-1) {
				out = append(out, c.change(each, one))
			}
		}
		return out
	}
	return content
}

func (c chance) mapping(content map[string]any, one int) map[string]any {
	for {
		if out, ok := c.change(content, one).(map[string]any); ok {
			return out
		}
	}
}

func reviewOf(c chance, o *unstructured.Unstructured) map[string]any {
	gvk := o.GroupVersionKind()
	review := map[string]any{"uid": "", "operation": []string{"CREATE", "UPDATE", "DELETE"}[c.IntN(3)], "name": o.GetName(), "namespace": o.GetNamespace(), "dryRun": false, "options": nil,
		"kind": map[string]any{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}, "userInfo": map[string]any{"username": "jane", "groups": []string{"devs", "x\xff"}, "extra": map[string][]string{"a": {"b"}}},
		"object": o.Object, "oldObject": nil}
	if c.IntN(3) == 0 {
		review["oldObject"] = c.mapping(o.Object, 20)
	}
	return review
}

// TestPublishedTemplates asks each template in Gatekeeper's source with each constraint
// there is of it and with changed parameters, about every kind of object there, as they
// are and changed.
func TestPublishedTemplates(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(3, 4))}
	b := newBoth(t)
	var all []*unstructured.Unstructured
	constraints := map[string][]*unstructured.Unstructured{}
	var stated []*templates.ConstraintTemplate
	for _, u := range published(t) {
		switch group := u.GroupVersionKind().Group; group {
		case "templates.gatekeeper.sh":
			if one := typed(u); one != nil {
				stated = append(stated, one)
			}
		case "constraints.gatekeeper.sh":
			constraints[u.GetKind()] = append(constraints[u.GetKind()], u)
		default:
			all = append(all, u)
			if c.IntN(3) == 0 {
				b.put(t, u)
			}
		}
	}
	counts := map[string]int{}
	for _, one := range stated {
		p := b.add(t, one)
		if p == nil {
			counts["templates that do not compile"]++
			continue
		}
		counts["templates"]++
		kind := one.Spec.CRD.Spec.Names.Kind
		of := slices.Clone(constraints[kind])
		of = append(of, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": map[string]any{"name": "bare"}}})
		for i, constraint := range of {
			for turn := range 12 {
				u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": map[string]any{"name": fmt.Sprintf("c%d-%d", i, turn)}}}
				if parameters, ok, _ := unstructured.NestedFieldCopy(constraint.Object, "spec", "parameters"); ok {
					if turn%4 == 3 {
						parameters = c.change(parameters, 6)
					}
					u.Object["spec"] = map[string]any{"parameters": parameters}
				}
				o := all[c.IntN(len(all))]
				if turn%2 == 1 {
					o = &unstructured.Unstructured{Object: c.mapping(o.Object, 15)}
				}
				var namespace map[string]any
				if c.IntN(2) == 0 {
					namespace = map[string]any{"metadata": map[string]any{"name": "shop", "generation": int64(1000000), "labels": map[string]any{"a": "b"}}}
				}
				counts[b.compare(t, p, u, reviewOf(c, o), namespace)]++
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("the same: %v", counts)
	if counts["templates"] < 40 || counts["violated"] < 300 || counts["kept"] < 300 {
		t.Errorf("there is too little to compare: %v", counts)
	}
}
