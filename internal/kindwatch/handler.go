// Package kindwatch takes what an informer tells of one of Gatehouse's kinds to
// the gate that follows it.
//
//	informer.AddEventHandler(kindwatch.Handler("Guard", set))
//
// The informer may be a dynamic one or a typed one. An object that cannot be read
// as its kind is told to the gate by name, which decides what stays in force.
package kindwatch

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Informer is the part of a cache.SharedIndexInformer that is followed.
type Informer interface {
	AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// Set is what holds the objects of a kind T.
type Set[T any] struct {
	// Upsert takes an object in, or in place of the one of its name.
	Upsert func(*T) error
	// Reject is told of an object that is none of the kind, though it says so.
	Reject func(name string, err error)
	// Delete drops the object of a name, if there is one.
	Delete func(name string)
	// Report is told what Upsert and Reject were told was wrong.
	Report func(error)
}

// Handler takes an informer's events into a set. The objects are
// *unstructured.Unstructured or *T, in no namespace.
func Handler[T any](kind string, set Set[T]) cache.ResourceEventHandler { return handler[T]{kind, set} }

type handler[T any] struct {
	kind string
	set  Set[T]
}

func (h handler[T]) OnAdd(obj any, _ bool) { h.upsert(obj) }

func (h handler[T]) OnUpdate(_, obj any) { h.upsert(obj) }

func (h handler[T]) OnDelete(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
		if obj == nil {
			if _, name, err := cache.SplitMetaNamespaceKey(gone.Key); err == nil {
				h.set.Delete(name)
			}
			return
		}
	}
	if m, err := meta.Accessor(obj); err == nil {
		h.set.Delete(m.GetName())
	}
}

func (h handler[T]) upsert(obj any) {
	object, err := h.read(obj)
	if err == nil {
		err = h.set.Upsert(object)
	} else if m, metaErr := meta.Accessor(obj); metaErr == nil {
		err = fmt.Errorf("read %s %q: %w", h.kind, m.GetName(), err)
		h.set.Reject(m.GetName(), err)
	}
	if err != nil {
		h.set.Report(err)
	}
}

func (h handler[T]) read(obj any) (*T, error) {
	switch o := obj.(type) {
	case *T:
		return o, nil
	case *unstructured.Unstructured:
		object := new(T)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, object); err != nil {
			return nil, err
		}
		return object, nil
	default:
		return nil, fmt.Errorf("an object of type %T is no %s", obj, h.kind)
	}
}
