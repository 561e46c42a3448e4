package watch

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/internal/kindwatch"
)

// The kinds that are followed.
var (
	ruleResource = v1alpha1.SchemeGroupVersion.WithResource("detectionrules")
	muteResource = v1alpha1.SchemeGroupVersion.WithResource("mutes")
)

const (
	// firstLimit is how long the first reading of the objects may take: rules that are
	// not there when events are read from the store find nothing in those.
	firstLimit = 30 * time.Second
	// askAgain is how often it is looked whether the cluster has the kinds by now.
	askAgain = 30 * time.Second
	// settle is how long is waited for changes to come together.
	settle = 200 * time.Millisecond
	// folderEvery is how often the folder of rules is looked at, and reportEvery how often
	// uses are written.
	folderEvery = 5 * time.Second
	reportEvery = time.Minute
	// firstReport is when what rules see is worked out first: not while a server starts.
	firstReport = 5 * time.Second
)

// firstObjects reads the objects before events are judged.
func (b *rulebook) firstObjects(ctx context.Context) {
	if b.o.Objects == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, firstLimit)
	defer cancel()
	for _, one := range []struct {
		resource schema.GroupVersionResource
		handler  cache.ResourceEventHandler
	}{{ruleResource, b.ruleHandler(func() {})}, {muteResource, b.muteHandler(func() {})}} {
		for ctx.Err() == nil {
			list, err := b.o.Objects.Resource(one.resource).List(ctx, metav1.ListOptions{})
			if err == nil {
				for i := range list.Items {
					one.handler.OnAdd(&list.Items[i], true)
				}
				break
			}
			if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
				break // follow looks again
			}
			select {
			case <-ctx.Done():
			case <-b.o.Clock.After(time.Second):
			}
		}
	}
}

func (b *rulebook) ruleHandler(changed func()) cache.ResourceEventHandler {
	return kindwatch.Handler("DetectionRule", kindwatch.Set[v1alpha1.DetectionRule]{
		Upsert: func(r *v1alpha1.DetectionRule) error {
			if b.putRule(r) {
				changed()
			}
			return nil
		},
		Reject: func(name string, err error) { b.rejectRule(name, err); changed() },
		Delete: func(name string) { b.deleteRule(name); changed() },
		Report: func(err error) { b.o.Log("A DetectionRule cannot be read: " + err.Error()) },
	})
}

func (b *rulebook) muteHandler(changed func()) cache.ResourceEventHandler {
	return kindwatch.Handler("Mute", kindwatch.Set[v1alpha1.Mute]{
		Upsert: func(m *v1alpha1.Mute) error {
			if b.putMute(m) {
				changed()
			}
			return nil
		},
		Reject: func(name string, err error) { b.rejectMute(name, err); changed() },
		Delete: func(name string) { b.deleteMute(name); changed() },
		Report: func(err error) { b.o.Log("A Mute cannot be read: " + err.Error()) },
	})
}

// follow keeps the rulebook equal to objects and files, and puts what changes in force,
// until ctx ends.
func (b *rulebook) follow(ctx context.Context, w *Watcher) {
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	r := newReporter(w)
	if b.o.Objects != nil {
		factory := dynamicinformer.NewDynamicSharedInformerFactory(b.o.Objects, 0)
		for _, one := range []struct {
			resource schema.GroupVersionResource
			handler  cache.ResourceEventHandler
			store    *cache.Store
		}{{ruleResource, b.ruleHandler(tell), &r.rules}, {muteResource, b.muteHandler(tell), &r.mutes}} {
			informer := factory.ForResource(one.resource).Informer()
			*one.store = informer.GetStore()
			_ = informer.SetTransform(cluster.WithoutManagedFields) // it has not been started
			if _, err := informer.AddEventHandler(one.handler); err != nil {
				w.logf("%s are not followed: %v", one.resource.Resource, err)
				continue
			}
			go func() {
				if b.awaitServed(ctx, one.resource) {
					informer.RunWithContext(ctx)
				}
			}()
		}
	}
	look, report := b.o.Clock.NewTicker(folderEvery), b.o.Clock.NewTicker(reportEvery)
	defer look.Stop()
	defer report.Stop()
	first := b.o.Clock.After(firstReport)
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-b.o.Clock.After(settle):
			}
			select {
			case <-changed:
			default:
			}
			b.enforce(ctx, w)
		case <-look.C():
			switch yes, err := b.reread(ctx); {
			case err != nil:
				w.logf("The detection rules of %s are not read again, those before stay in force: %v", b.o.RulesDir, err)
			case yes:
				w.logf("The detection rules of %s are read again and in force", b.o.RulesDir)
				b.enforce(ctx, w)
			default:
				if !r.due {
					continue
				}
			}
		case <-first:
		case <-report.C():
		}
		b.cover()
		r.report(ctx)
	}
}

// enforce puts the rules and Mutes that there are in force.
func (b *rulebook) enforce(ctx context.Context, w *Watcher) {
	set, mutes := b.set(), b.mutes()
	done := make(chan struct{})
	w.call(ctx, func() {
		w.state.Replace(set)
		w.tell(w.state.SetMutes(mutes))
		w.dirty = true
		close(done)
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// awaitServed returns when a resource can be listed; false where ctx ends.
func (b *rulebook) awaitServed(ctx context.Context, resource schema.GroupVersionResource) bool {
	for {
		_, err := b.o.Objects.Resource(resource).List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil {
			return true
		}
		wait := askAgain
		if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
			return false
		case <-b.o.Clock.After(wait):
		}
	}
}

// typed reads what an informer holds.
func typed[T any](object any) (*T, *unstructured.Unstructured) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return nil, u
	}
	return into, u
}
