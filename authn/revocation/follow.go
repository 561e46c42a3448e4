package revocation

import (
	"errors"
	"fmt"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/kindwatch"
)

// Follow keeps the registry equal to an informer's Revocations, and counts it as
// synced once the informer's first list has gone in. It is called once.
func (r *Registry) Follow(informer kindwatch.Informer) error {
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
func (r *Registry) Handler() cache.ResourceEventHandler {
	return kindwatch.Handler("Revocation", kindwatch.Set[v1alpha1.Revocation]{
		Upsert: r.Upsert, Reject: r.reject, Delete: r.Delete,
		Report: func(err error) {
			klog.ErrorS(err, "A Revocation is malformed and not in force; mend it or delete it. Where it was good before, that version holds")
		},
	})
}
