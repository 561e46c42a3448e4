package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Known are objects of any kind that were given once, those of files for example.
// It is what policies look things up in. The zero value holds nothing.
type Known struct {
	kinds map[schema.GroupKind]*knownKind
	// namespaces are those that were asked for, as their type, by the objects that they
	// were made of: each request asks for its own.
	namespaces sync.Map
}

// knownKind holds the objects of a kind in the order of namespace and name.
type knownKind struct {
	objects []*unstructured.Unstructured
	sorted  bool
}

var namespaceKind = schema.GroupKind{Kind: "Namespace"}

// Add puts an object in; the last of a kind, namespace and name counts. Not safe
// beside lookups.
func (k *Known) Add(o *unstructured.Unstructured) {
	if k.kinds == nil {
		k.kinds = map[schema.GroupKind]*knownKind{}
	}
	of := o.GroupVersionKind().GroupKind()
	if k.kinds[of] == nil {
		k.kinds[of] = &knownKind{}
	}
	k.kinds[of].objects = append(k.kinds[of].objects, o)
	k.kinds[of].sorted = false
}

// Seal orders what was added. Lookups after it are safe for concurrent use.
func (k *Known) Seal() {
	for _, of := range k.kinds {
		if of.sorted {
			continue
		}
		slices.SortStableFunc(of.objects, compareNames)
		// Of equal ones the last stays.
		kept := of.objects[:0]
		for i, o := range of.objects {
			if i+1 == len(of.objects) || compareNames(o, of.objects[i+1]) != 0 {
				kept = append(kept, o)
			}
		}
		of.objects, of.sorted = kept, true
	}
}

func compareNames(a, b *unstructured.Unstructured) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// Namespace implements policy.Cluster.
func (k *Known) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	o, err := k.Object(ctx, namespaceKind.WithVersion("v1"), "", name)
	if err != nil {
		return nil, err
	}
	if found, ok := k.namespaces.Load(o); ok {
		return found.(*corev1.Namespace), nil
	}
	n, err := asNamespace(o)
	if err == nil {
		k.namespaces.Store(o, n)
	}
	return n, err
}

func asNamespace(o *unstructured.Unstructured) (*corev1.Namespace, error) {
	n := &corev1.Namespace{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, n); err != nil {
		return nil, fmt.Errorf("read Namespace %s: %w", o.GetName(), err)
	}
	return n, nil
}

// Object implements policy.Cluster. The version is not looked at: an object of a
// file has the one it was written in.
func (k *Known) Object(_ context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	if of := k.kinds[kind.GroupKind()]; of != nil {
		at, ok := slices.BinarySearchFunc(of.objects, [2]string{namespace, name}, func(o *unstructured.Unstructured, want [2]string) int {
			return cmp.Or(cmp.Compare(o.GetNamespace(), want[0]), cmp.Compare(o.GetName(), want[1]))
		})
		if ok {
			return of.objects[at], nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, name)
}

// Objects implements policy.Cluster.
func (k *Known) Objects(_ context.Context, kind schema.GroupVersionKind, namespace string) ([]*unstructured.Unstructured, error) {
	of := k.kinds[kind.GroupKind()]
	if of == nil {
		return nil, nil
	}
	if namespace == "" {
		return of.objects, nil
	}
	from, _ := slices.BinarySearchFunc(of.objects, namespace, func(o *unstructured.Unstructured, want string) int {
		return cmp.Compare(o.GetNamespace(), want)
	})
	to := from
	for to < len(of.objects) && of.objects[to].GetNamespace() == namespace {
		to++
	}
	return of.objects[from:to], nil
}
