package policy

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
)

// engine reads one group, and makes a policy of each object.
type engine struct{ group string }

func (e engine) Name() string                     { return e.group }
func (e engine) Reads(kind schema.GroupKind) bool { return kind.Group == e.group }
func (e engine) Compile(objects []Object) (l Loaded) {
	for _, o := range objects {
		l.Policies = append(l.Policies, denies(o.GetName()))
		l.Needs = append(l.Needs, schema.GroupVersionKind{Kind: "Namespace"})
	}
	return l
}

func TestLoad(t *testing.T) {
	of := func(apiVersion, name string) Object {
		return Object{&unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": "Rule", "metadata": map[string]any{"name": name}}}, gate.Source{Kind: "Rule", Name: name}}
	}
	loaded, others := Load([]Engine{engine{"a"}, engine{"b"}}, []Object{of("b/v1", "1"), of("a/v1", "2"), of("c/v1", "3"), of("a/v1", "6")})
	if len(loaded.Policies) != 3 || len(loaded.Needs) != 1 || len(others) != 1 || others[0].GetName() != "3" {
		t.Errorf("got %+v, %v", loaded, others)
	}
}

// A thousand policies of which sixteen match cost what those sixteen do.
func BenchmarkSet(b *testing.B) {
	matching := func(n int) (policies []Policy) {
		for i := range n {
			v := says(fmt.Sprintf("match-%04d", i))
			v.on = []Selector{{Resources: []string{"pods"}}}
			policies = append(policies, v)
		}
		return policies
	}
	others := func(n int) (policies []Policy) {
		for i := range n {
			v := says(fmt.Sprintf("other-%04d", i))
			v.on = []Selector{{Resources: []string{"nodes", fmt.Sprintf("r%d", i)}}, {Kinds: []string{"Pod"}, Namespaces: []string{fmt.Sprintf("ns-%d", i)}}}
			policies = append(policies, v)
		}
		return policies
	}
	for _, c := range []struct {
		name     string
		policies []Policy
	}{
		{"16", matching(16)},
		{"16of1000", append(matching(16), others(984)...)},
		{"0of1000", others(1000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := NewSet(c.policies, Options{})
			r := creation(pod("a"))
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				s.Mutate(ctx, r)
				s.Validate(ctx, r)
			}
		})
	}
}
