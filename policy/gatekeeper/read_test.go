package gatekeeper_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/parts"
)

// spaces are namespaces by their name; what is nil cannot be had.
type spaces map[string]*corev1.Namespace

func (s spaces) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	ns, ok := s[name]
	switch {
	case !ok:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	case ns == nil:
		return nil, errors.New("it cannot be had")
	}
	return ns, nil
}

func (spaces) Object(context.Context, schema.GroupVersionKind, string, string) (*unstructured.Unstructured, error) {
	return nil, errors.New("no policy here looks anything up")
}

func (spaces) Objects(context.Context, schema.GroupVersionKind, string) ([]*unstructured.Unstructured, error) {
	return nil, errors.New("no policy here looks anything up")
}

// small is an object of few that there are, so that many are the same in some parts.
func (c chance) small(kind string) *unstructured.Unstructured {
	metadata := map[string]any{}
	if !c.once(6) {
		metadata["name"] = c.pick("c", "cx", "d", "shop", "lab")
	}
	if c.once(3) {
		metadata["generateName"] = c.pick("c", "d")
	}
	if c.once(2) {
		metadata["namespace"] = c.pick("shop", "lab", "")
	}
	if c.once(2) {
		metadata["labels"] = map[string]any{c.pick("a", "b", "team"): c.pick("red", "blue")}
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind, "metadata": metadata}}
	if c.once(3) {
		o.Object["spec"] = map[string]any{"ok": c.once(2)}
	}
	return o
}

// smallRequest is one of few, and the content that its reads are parts of.
func (c chance) smallRequest(known spaces) (r *policy.Request, content map[policy.Of]any) {
	kind := c.pick("Pod", "Pod", "ConfigMap", "Namespace")
	var object, old runtime.Object
	content = map[policy.Of]any{}
	operation := []admission.Operation{admission.Create, admission.Update, admission.Delete}[c.IntN(3)]
	name, namespace := c.pick("c", "cx", "d", "shop", ""), c.pick("", "shop", "lab", "none", "broken")
	if operation != admission.Delete {
		o := c.small(kind)
		object, content[policy.OfObject] = o, o.Object
	}
	if operation != admission.Create && !c.once(5) {
		o := c.small(kind)
		old, content[policy.OfOldObject] = o, o.Object
	}
	gvk := corev1.SchemeGroupVersion.WithKind(kind)
	r = policy.NewRequest(admission.NewAttributesRecord(object, old, gvk, namespace, name, gvk.GroupVersion().WithResource(strings.ToLower(kind)+"s"), "", operation, nil, false, &user.DefaultInfo{Name: "jane"}), nil, known)
	r.Background = c.once(2)
	if ns, err := known.Namespace(context.Background(), namespace); err == nil {
		content[policy.OfNamespace], _ = runtime.DefaultUnstructuredConverter.ToUnstructured(ns)
	} else if namespace != "" && !apierrors.IsNotFound(err) {
		content[policy.OfNamespace] = err.Error()
	}
	content[policy.OfRequest] = map[string]any{"name": name, "namespace": namespace}
	return r, content
}

// TestConstraintsReadWhatTheyMatchBy asks constraints with every kind of match, with and
// without exclusions, about requests of which many are the same in what they read: they
// have something to say of all of these or of none.
func TestConstraintsReadWhatTheyMatchBy(t *testing.T) {
	c := chance{rand.New(rand.NewPCG(21, 22))}
	known := spaces{"shop": {}, "lab": {}, "broken": nil}
	for name, team := range map[string]string{"shop": "red", "lab": "blue"} {
		known[name].Name, known[name].Labels = name, map[string]string{"team": team}
	}
	counts := map[string]int{}
	for range 400 {
		match := c.match()
		if c.once(4) {
			match["kinds"] = []any{map[string]any{"apiGroups": []any{""}, "kinds": []any{c.pick("Namespace", "Pod")}}}
		}
		spec := map[string]any{"match": match}
		if c.once(4) {
			spec["enforcementAction"] = "scoped"
			spec["scopedEnforcementActions"] = []any{map[string]any{"action": "deny", "enforcementPoints": []any{map[string]any{"name": c.pick("validation.gatekeeper.sh", "audit.gatekeeper.sh", "*")}}}}
		}
		all := objects(t, rego("Matched", c.pick(always, `violation[{"msg": "no"}] { not input.review.object.spec.ok }`), "{}"))
		all[1].Object["spec"] = spec
		if c.once(2) {
			processes := []any{c.pick("*", "webhook", "audit", "mutation-webhook")}
			if c.once(2) {
				processes = []any{"audit", "webhook"}
			}
			all = append(all, policy.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{"apiVersion": "config.gatekeeper.sh/v1alpha1", "kind": "Config", "metadata": map[string]any{"name": "config"},
				"spec": map[string]any{"match": []any{map[string]any{"excludedNamespaces": []any{c.pick("shop", "l*", "c")}, "processes": processes}}}}}})
		}
		e := engine(t)
		loaded := e.Compile(all)
		if len(loaded.Problems) > 0 {
			t.Fatal(loaded.Problems)
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		reader := loaded.Policies[0].(policy.Reader)
		reads, ok := reader.Reads()
		if !ok {
			counts["constraints that are not known"]++
			continue
		}
		counts["constraints"]++
		remembered := map[string]bool{}
		for range 1500 {
			r, content := c.smallRequest(known)
			if !slices.Contains(slices.Collect(set.Validators(context.Background(), r)), policy.Validator(reader)) {
				continue
			}
			key := fmt.Sprint(r.GetKind(), r.GetOperation())
			for _, read := range reads {
				key += "\n" + parts.Digest(content[read.Of], read)
			}
			says := len(reader.Validate(context.Background(), r)) > 0
			before, ok := remembered[key]
			if ok {
				counts[fmt.Sprint("remembered ", before)]++
			}
			if ok && before != says {
				t.Fatalf("it says something: %v, and of a request that is equal in %v: %v\nspec %v\n%s", before, parts.Texts(reads), says, spec, key)
			}
			remembered[key] = says
		}
	}
	t.Log(counts)
	if counts["constraints"] < 200 || counts["constraints that are not known"] < 20 || counts["remembered true"] < 10000 || counts["remembered false"] < 10000 {
		t.Errorf("there is too little to compare: %v", counts)
	}
}

// TestReadsOfConstraints says what common constraints read: neither the name of a Pod nor
// its whole spec, unless they match by it.
func TestReadsOfConstraints(t *testing.T) {
	const pods = `kinds: [{apiGroups: [""], kinds: [Pod]}]`
	const always = "namespace~ object.apiVersion object.kind"
	for spec, want := range map[string]string{
		`{match: {` + pods + `}}`:                                           always,
		`{match: {` + pods + `, excludedNamespaces: [kube-system]}}`:        always + " object.metadata.namespace namespace.metadata.name",
		`{match: {` + pods + `, namespaceSelector: {matchLabels: {a: b}}}}`: always + " object.metadata.namespace~ namespace.metadata.labels",
		`{match: {` + pods + `, labelSelector: {matchLabels: {a: b}}}}`:     always + " object.metadata.labels",
		`{match: {` + pods + `, name: web}}`:                                always + " object.metadata.name object.metadata.generateName",
		`{match: {` + pods + `, scope: Namespaced}}`:                        always + " object.metadata.namespace~",
		`{match: {excludedNamespaces: [kube-system]}}`:                      always + " object.metadata.namespace namespace.metadata.name object.metadata.name",
		`{enforcementAction: scoped, scopedEnforcementActions: [{action: deny, enforcementPoints: [{name: audit.gatekeeper.sh}]}]}`: "?",
	} {
		loaded := engine(t).Compile(objects(t, rego("Matched", `violation[{"msg": "no"}] { input.review.object.spec.bad }`, spec)))
		reads, ok := loaded.Policies[0].(policy.Reader).Reads()
		wanted := strings.Fields(want + " object.spec.bad")
		for _, text := range slices.Clone(wanted) {
			if of, ok := strings.CutPrefix(text, "object"); ok {
				wanted = append(wanted, "old"+of)
			}
		}
		slices.Sort(wanted)
		if !ok {
			wanted = slices.DeleteFunc(wanted, func(text string) bool { return text != "?" })
			reads = nil
		}
		if got := parts.Texts(reads); ok && !slices.Equal(got, wanted) || !ok && len(wanted) == 0 {
			t.Errorf("%s (known: %v):\n got %v\nwant %v", spec, ok, got, wanted)
		}
	}
}
