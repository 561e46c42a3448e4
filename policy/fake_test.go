package policy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// now is the clock of these tests.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// named is a policy that says nothing.
type named struct {
	source gate.Source
	on     []Selector
}

func (n *named) Source() gate.Source   { return n.source }
func (n *named) Selectors() []Selector { return n.on }

// source is one by its name.
func source(name string) gate.Source { return gate.Source{Kind: "Fake", Name: name} }

// everything is one selector, which matches everything.
var everything = []Selector{{}}

type validator struct {
	named
	say   func(ctx context.Context, r *Request) []Result
	asked atomic.Int32
}

func (v *validator) Validate(ctx context.Context, r *Request) []Result {
	v.asked.Add(1)
	if v.say == nil {
		return nil
	}
	return v.say(ctx, r)
}

func says(name string, results ...Result) *validator {
	return &validator{named: named{source(name), everything}, say: func(context.Context, *Request) []Result { return results }}
}

func denies(name string) *validator {
	return says(name, Result{Actions: []Action{Deny}, Message: name + " says no"})
}

type mutator struct {
	named
	how   Mutation
	do    func(o map[string]any) error
	asked int
}

func (m *mutator) Mutation() Mutation { return m.how }

func (m *mutator) Mutate(_ context.Context, r *Request) (*unstructured.Unstructured, error) {
	m.asked++
	o, err := r.Object()
	if err != nil || o == nil {
		return nil, err
	}
	o = o.DeepCopy()
	return o, m.do(o.Object)
}

func mutates(name string, do func(o map[string]any)) *mutator {
	return &mutator{named: named{source(name), everything}, do: func(o map[string]any) error { do(o); return nil }}
}

// noCluster has namespaces and nothing else.
type noCluster map[string]map[string]string

func (c noCluster) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	set, ok := c[name]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set}}, nil
}

func (noCluster) Object(context.Context, schema.GroupVersionKind, string, string) (*unstructured.Unstructured, error) {
	return nil, errors.New("nothing is here")
}

func (noCluster) Objects(context.Context, schema.GroupVersionKind, string) ([]*unstructured.Unstructured, error) {
	return nil, errors.New("nothing is here")
}

func pod(images ...string) *unstructured.Unstructured {
	var containers []any
	for _, image := range images {
		containers = append(containers, map[string]any{"name": "c", "image": image})
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "web", "namespace": "shop", "labels": map[string]any{"app": "web"}},
		"spec":     map[string]any{"containers": containers},
	}}
}

var anna = &user.DefaultInfo{Name: "anna", Groups: []string{"devs", "system:authenticated"}}

// creation of an object by anna.
func creation(o *unstructured.Unstructured) *Request {
	return NewRequest(attributes(admission.Create, o, nil, anna), nil, noCluster{"shop": {"env": "prod"}})
}

func attributes(operation admission.Operation, o, old *unstructured.Unstructured, who user.Info) admission.Attributes {
	of := o
	if of == nil {
		of = old
	}
	kind := of.GroupVersionKind()
	resource := map[string]string{"Pod": "pods", "Deployment": "deployments", "Namespace": "namespaces", "Node": "nodes"}[kind.Kind]
	namespace := of.GetNamespace()
	if kind.Kind == "Namespace" {
		namespace = of.GetName()
	}
	return admission.NewAttributesRecord(orNil(o), orNil(old), kind, namespace, of.GetName(),
		kind.GroupVersion().WithResource(resource), "", operation, nil, false, who)
}

func orNil(o *unstructured.Unstructured) runtime.Object {
	if o == nil {
		return nil
	}
	return o
}

func exception(name string, spec v1alpha1.ExceptionSpec) *v1alpha1.Exception {
	if spec.Reason == "" {
		spec.Reason = "for a test"
	}
	if spec.Owner == "" {
		spec.Owner = "anna"
	}
	if spec.ExpiresAt.IsZero() {
		spec.ExpiresAt = metav1.NewTime(now.Add(time.Hour))
	}
	if spec.Policies == nil {
		spec.Policies = []v1alpha1.ExceptedPolicy{{Name: "*"}}
	}
	return &v1alpha1.Exception{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}
