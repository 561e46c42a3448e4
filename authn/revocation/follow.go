package revocation

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Informer is the part of a cache.SharedIndexInformer that Follow needs.
type Informer interface {
	AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error)
}

// Follow keeps the registry equal to an informer's Revocations, and counts it as
// synced once the informer's first list has gone in. It is called once.
func (r *Registry) Follow(informer Informer) error {
	r.mu.Lock()
	if r.followed != nil {
		r.mu.Unlock()
		return errors.New("follow Revocations: the registry follows an informer already")
	}
	r.followed = func() bool { return false }
	r.mu.Unlock()
	registration, err := informer.AddEventHandler(r.Handler())
	if err != nil {
		return fmt.Errorf("follow Revocations: %w", err)
	}
	r.mu.Lock()
	r.followed = registration.HasSynced
	r.mu.Unlock()
	return nil
}

// Handler takes an informer's events into the registry. The objects are
// *unstructured.Unstructured (a dynamic informer's) or *v1alpha1.Revocation.
// Follow is the short way; with Handler alone, set RegistryOptions.HasSynced to
// that of the handler's registration, not the informer's: the latter is true
// before the handler has heard of every object.
func (r *Registry) Handler() cache.ResourceEventHandler { return handler{r} }

type handler struct{ registry *Registry }

func (h handler) OnAdd(obj any, _ bool) { h.upsert(obj) }

func (h handler) OnUpdate(_, obj any) { h.upsert(obj) }

func (h handler) OnDelete(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
		if obj == nil {
			if _, name, err := cache.SplitMetaNamespaceKey(gone.Key); err == nil {
				h.registry.Delete(name)
			}
			return
		}
	}
	if m, err := meta.Accessor(obj); err == nil {
		h.registry.Delete(m.GetName())
	}
}

func (h handler) upsert(obj any) {
	rev, err := read(obj)
	if err == nil {
		err = h.registry.Upsert(rev)
	} else if m, metaErr := meta.Accessor(obj); metaErr == nil {
		err = fmt.Errorf("read Revocation %q: %w", m.GetName(), err)
		h.registry.reject(m.GetName(), err)
	}
	if err != nil {
		klog.ErrorS(err, "A Revocation is malformed and not in force; mend it or delete it. Where it was good before, that version holds")
	}
}

// read turns an informer's object into a Revocation.
func read(obj any) (*v1alpha1.Revocation, error) {
	switch o := obj.(type) {
	case *v1alpha1.Revocation:
		return o, nil
	case *unstructured.Unstructured:
		rev := &v1alpha1.Revocation{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, rev); err != nil {
			return nil, err
		}
		return rev, nil
	default:
		return nil, fmt.Errorf("an object of type %T is no Revocation", obj)
	}
}
