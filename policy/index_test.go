package policy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
)

// The worlds that policies and requests are drawn from: small, so that they meet.
var (
	operations   = []admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect}
	groups       = []string{"", "apps", "batch", "autoscaling"}
	resources    = []string{"pods", "deployments", "jobs"}
	subresources = []string{"", "exec", "scale", "status"}
	kinds        = []string{"Pod", "Deployment", "Job", "Scale", "Namespace"}
	namespaces   = []string{"", "shop", "kube-system", "lost"}
	labelled     = noCluster{"shop": {"env": "prod"}, "kube-system": {"env": "infra", "tier": "a"}}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func some(r *rand.Rand, from ...string) []string {
	if r.IntN(2) == 0 {
		return nil
	}
	var list []string
	for range 1 + r.IntN(2) {
		list = append(list, pick(r, from))
	}
	return list
}

func randomSelector(r *rand.Rand) Selector {
	s := Selector{
		Groups:     some(r, append(groups, "*")...),
		Kinds:      some(r, append(kinds, "*")...),
		Namespaces: some(r, append(namespaces[1:], "*")...),
		Resources:  some(r, "pods", "deployments", "*", "*/*", "pods/*", "pods/exec", "*/scale", "deployments/scale"),
	}
	if r.IntN(2) == 0 {
		s.Operations = []admission.Operation{pick(r, append(operations, "*"))}
	}
	if r.IntN(3) == 0 {
		s.NamespaceSelector = labels.SelectorFromSet(pick(r, []labels.Set{{"env": "prod"}, {"env": "infra"}, {}}))
	}
	return s
}

func randomRequest(r *rand.Rand, cluster noCluster) *Request {
	kind := schema.GroupVersionKind{Group: pick(r, groups), Version: "v1", Kind: pick(r, kinds)}
	resource := schema.GroupVersionResource{Group: pick(r, groups), Version: "v1", Resource: pick(r, resources)}
	namespace := pick(r, namespaces)
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": kind.GroupVersion().String(), "kind": kind.Kind,
		"metadata": map[string]any{"name": "x", "labels": map[string]any{"env": pick(r, []string{"prod", "infra"})}}}}
	return NewRequest(admission.NewAttributesRecord(o, nil, kind, namespace, "x", resource, pick(r, subresources), pick(r, operations), nil, false, anna), nil, cluster)
}

// The index finds what a look at every policy finds, also when it has seen the
// place before and the labels of the namespace have changed since.
func TestIndexEqualsScan(t *testing.T) {
	for seed := range uint64(200) {
		checkIndex(t, rand.New(rand.NewPCG(seed, 1)), 60)
	}
}

func FuzzIndexEqualsScan(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkIndex(t, rand.New(rand.NewPCG(a, b)), 20) })
}

func checkIndex(t *testing.T, r *rand.Rand, requests int) {
	t.Helper()
	var policies []Policy
	for i := range r.IntN(20) {
		v := says(fmt.Sprintf("p%02d", i))
		v.on = nil
		for range r.IntN(3) {
			v.on = append(v.on, randomSelector(r))
		}
		policies = append(policies, v)
	}
	s := NewSet(policies, Options{})
	cluster := maps.Clone(labelled)
	for range requests {
		if r.IntN(8) == 0 {
			cluster["shop"] = pick(r, []map[string]string{{"env": "prod"}, {"env": "infra"}, nil})
		}
		request := randomRequest(r, cluster)
		var want []*judge
		for _, v := range s.validators.all {
			if scan(t, v, request) {
				want = append(want, v)
			}
		}
		if got := s.validators.matching(t.Context(), request); !slices.Equal(got, want) {
			t.Fatalf("%+v\nof namespace %v: got %v, want %v", placeOf(request), cluster[request.GetNamespace()], sourcesOf(got), sourcesOf(want))
		}
		if s.Touches(t.Context(), request) != (len(want) > 0) {
			t.Fatal("Touches differs from what matches")
		}
	}
}

// scan is the meaning of Selector, read slowly.
func scan(t *testing.T, p Policy, r *Request) bool {
	name, known, set := namespaceOf(t.Context(), r)
	in := func(list []string, ones ...string) bool {
		return list == nil || slices.ContainsFunc(append(ones, "*"), func(one string) bool { return slices.Contains(list, one) })
	}
	for _, s := range p.Selectors() {
		resource := s.Resources == nil
		for _, of := range s.Resources {
			got := r.GetResource().Resource
			switch of {
			case "*":
				resource = resource || r.GetSubresource() == ""
			case "*/*":
				resource = true
			case "pods/*":
				resource = resource || got == "pods"
			case "*/scale":
				resource = resource || r.GetSubresource() == "scale"
			default:
				if r.GetSubresource() != "" {
					got += "/" + r.GetSubresource()
				}
				resource = resource || of == got
			}
		}
		if resource && in(s.Groups, r.GetKind().Group, r.GetResource().Group) && in(s.Kinds, r.GetKind().Kind) &&
			(s.Operations == nil || slices.Contains(s.Operations, r.GetOperation()) || slices.Contains(s.Operations, "*")) &&
			in(s.Namespaces, name) &&
			(s.NamespaceSelector == nil || name == "" || !known || s.NamespaceSelector.Matches(set)) {
			return true
		}
	}
	return false
}

func sourcesOf(all []*judge) (names []string) {
	for _, v := range all {
		names = append(names, v.Source().Name)
	}
	return names
}

// What is kept stays bounded, however many places and namespaces a client makes up.
func TestIndexIsBounded(t *testing.T) {
	v := denies("all")
	v.on = []Selector{{Namespaces: []string{"shop"}}}
	s := NewSet([]Policy{v}, Options{})
	ask := func(resource, namespace string) {
		s.Touches(t.Context(), NewRequest(admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{Kind: "Pod"}, namespace, "x",
			schema.GroupVersionResource{Resource: resource}, "", admission.Create, nil, false, anna), nil, labelled))
	}
	for i := range mostPlaces + 10 {
		ask(fmt.Sprint("r", i), "shop")
	}
	if n := len(*s.validators.places.Load()); n > mostPlaces {
		t.Errorf("%d places are kept", n)
	}
	for i := range mostNamespaces + 10 {
		ask("pods", fmt.Sprint("n", i))
	}
	n := 0
	s.validators.at(placeKey{place: place{operation: admission.Create, kind: "Pod", resource: "pods"}}).namespaces.Range(func(any, any) bool { n++; return true })
	if n > mostNamespaces {
		t.Errorf("%d namespaces are kept", n)
	}
}

func TestIndexConcurrently(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	var policies []Policy
	for i := range 50 {
		v := denies(fmt.Sprintf("p%02d", i))
		v.on = []Selector{randomSelector(r)}
		policies = append(policies, v)
	}
	s := NewSet(policies, Options{})
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(worker, 0))
			for range 300 {
				request := randomRequest(r, labelled)
				want := 0
				for _, p := range policies {
					if scan(t, p, request) {
						want++
					}
				}
				if out := s.Validate(t.Context(), request); len(out.Denials) != want {
					t.Errorf("%d denials, want %d", len(out.Denials), want)
				}
			}
		})
	}
	wg.Wait()
}

// A request that no policy can match costs no memory.
func TestUntouchedRequestsAllocateNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		on   Selector
	}{
		{"another resource", Selector{Resources: []string{"nodes"}}},
		{"another operation", Selector{Operations: []admission.Operation{admission.Delete}}},
		{"another namespace", Selector{Namespaces: []string{"kube-system"}}},
		{"other labels", Selector{NamespaceSelector: labels.SelectorFromSet(labels.Set{"env": "dev"})}},
	} {
		v := denies("a")
		v.on = []Selector{c.on}
		m := mutates("b", func(map[string]any) {})
		m.on = v.on
		s := NewSet([]Policy{v, m}, Options{})
		r := creation(pod("a"))
		ctx := t.Context()
		if n := testing.AllocsPerRun(100, func() {
			s.Mutate(ctx, r)
			s.Validate(ctx, r)
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
