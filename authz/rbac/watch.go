package rbac

import (
	"context"
	"fmt"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	rbacinformers "k8s.io/client-go/informers/rbac/v1"
	"k8s.io/client-go/tools/cache"
)

// Watch keeps the Index up to date with a cluster until ctx ends. The informers
// are the caller's to start. synced reports whether decisions are made on all that
// the informers had when they were first synced.
//
// A change is in force as soon as the informer tells its handlers. Changes that
// come while earlier ones are being entered are entered together.
func (x *Index) Watch(ctx context.Context, from rbacinformers.Interface) (synced func() bool, err error) {
	f := &feed{index: x, wake: make(chan struct{}, 1)}
	var registered []cache.ResourceEventHandlerRegistration
	for _, informer := range []cache.SharedIndexInformer{
		from.ClusterRoles().Informer(), from.Roles().Informer(),
		from.ClusterRoleBindings().Informer(), from.RoleBindings().Informer(),
	} {
		r, err := informer.AddEventHandler(f)
		if err != nil {
			return nil, fmt.Errorf("watch RBAC objects: %w", err)
		}
		registered = append(registered, r)
	}
	go f.run(ctx)
	return func() bool {
		for _, r := range registered {
			if !r.HasSynced() {
				return false
			}
		}
		return f.idle()
	}, nil
}

// feed carries what informers tell to an Index. It implements
// cache.ResourceEventHandler.
type feed struct {
	index *Index
	wake  chan struct{} // has an element while pending may have some

	mu      sync.Mutex
	pending []Change
	busy    bool // a batch has been taken and is being entered
}

// OnAdd implements cache.ResourceEventHandler.
func (f *feed) OnAdd(object any, _ bool) { f.push(Change{New: object}) }

// OnUpdate implements cache.ResourceEventHandler. What is told again without a
// change, as at every resync, is passed over.
func (f *feed) OnUpdate(old, object any) {
	a, isOld := old.(metav1.Object)
	b, isNew := object.(metav1.Object)
	if isOld && isNew && a.GetResourceVersion() != "" && a.GetResourceVersion() == b.GetResourceVersion() {
		return
	}
	f.push(Change{New: object})
}

// OnDelete implements cache.ResourceEventHandler.
func (f *feed) OnDelete(object any) {
	// A deletion that the watch missed is told with what was known last.
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	f.push(Change{Old: object})
}

func (f *feed) push(c Change) {
	f.mu.Lock()
	f.pending = append(f.pending, c)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pending) == 0 && !f.busy
}

func (f *feed) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		f.mu.Lock()
		batch := f.pending
		f.pending, f.busy = nil, true
		f.mu.Unlock()
		if err := f.index.Apply(batch...); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "RBAC informers told of something else")
		}
		f.mu.Lock()
		f.busy = false
		f.mu.Unlock()
	}
}
