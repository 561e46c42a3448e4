package guard

import (
	"errors"
	"fmt"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/kindwatch"
)

// Follow keeps the authorizer equal to an informer's Guards, and counts it as
// synced once the informer's first list has gone in. It is called once.
func (a *Authorizer) Follow(informer kindwatch.Informer) error {
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
func (a *Authorizer) Handler() cache.ResourceEventHandler {
	return kindwatch.Handler("Guard", kindwatch.Set[v1alpha1.Guard]{
		Upsert: a.Upsert, Delete: a.Delete,
		Reject: func(name string, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.note(name, err)
		},
		Report: func(err error) {
			klog.ErrorS(err, "A Guard is malformed; mend it or delete it. Where it was good before, that version holds; where it can be told whom and what it is about, it holds without what narrows it")
		},
	})
}
