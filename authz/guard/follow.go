package guard

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

// Follow keeps the authorizer equal to an informer's Guards, and counts it as
// synced once the informer's first list has gone in. It is called once.
func (a *Authorizer) Follow(informer Informer) error {
	a.mu.Lock()
	if a.followed != nil {
		a.mu.Unlock()
		return errors.New("follow Guards: the authorizer follows an informer already")
	}
	a.followed = func() bool { return false }
	a.mu.Unlock()
	registration, err := informer.AddEventHandler(a.Handler())
	if err != nil {
		return fmt.Errorf("follow Guards: %w", err)
	}
	a.mu.Lock()
	a.followed = registration.HasSynced
	a.mu.Unlock()
	return nil
}

// Handler takes an informer's events into the authorizer. The objects are
// *unstructured.Unstructured (a dynamic informer's) or *v1alpha1.Guard. Follow is
// the short way; with Handler alone, set Options.HasSynced to that of the
// handler's registration, not the informer's: the latter is true before the
// handler has heard of every object.
func (a *Authorizer) Handler() cache.ResourceEventHandler { return handler{a} }

type handler struct{ authorizer *Authorizer }

func (h handler) OnAdd(obj any, _ bool) { h.upsert(obj) }

func (h handler) OnUpdate(_, obj any) { h.upsert(obj) }

func (h handler) OnDelete(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
		if obj == nil {
			if _, name, err := cache.SplitMetaNamespaceKey(gone.Key); err == nil {
				h.authorizer.Delete(name)
			}
			return
		}
	}
	if m, err := meta.Accessor(obj); err == nil {
		h.authorizer.Delete(m.GetName())
	}
}

func (h handler) upsert(obj any) {
	g, err := read(obj)
	if err == nil {
		err = h.authorizer.Upsert(g)
	} else if m, metaErr := meta.Accessor(obj); metaErr == nil {
		err = fmt.Errorf("read Guard %q: %w", m.GetName(), err)
		h.authorizer.mu.Lock()
		h.authorizer.note(m.GetName(), err)
		h.authorizer.mu.Unlock()
	}
	if err != nil {
		klog.ErrorS(err, "A Guard is malformed; mend it or delete it. Where it was good before, that version holds; where it can be told whom and what it is about, it holds without what narrows it")
	}
}

// read turns an informer's object into a Guard.
func read(obj any) (*v1alpha1.Guard, error) {
	switch o := obj.(type) {
	case *v1alpha1.Guard:
		return o, nil
	case *unstructured.Unstructured:
		g := &v1alpha1.Guard{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, g); err != nil {
			return nil, err
		}
		return g, nil
	default:
		return nil, fmt.Errorf("an object of type %T is no Guard", obj)
	}
}
