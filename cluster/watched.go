package cluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Watched looks things up in a live cluster. Kinds that are kept are answered from
// memory, as their watch left them; every other lookup is a request.
type Watched struct {
	client     dynamic.Interface
	mapper     meta.RESTMapper
	namespaces corelisters.NamespaceLister

	mu   sync.RWMutex
	kept map[schema.GroupVersionKind]*keptKind
	// told is called when an object of a kept kind has changed; nil for nobody.
	told func(schema.GroupVersionKind)
}

type keptKind struct {
	informer   informers.GenericInformer
	namespaced bool
	stop       context.CancelFunc
}

// NewWatched makes one that keeps nothing yet. namespaces answers for Namespaces.
func NewWatched(client dynamic.Interface, mapper meta.RESTMapper, namespaces corelisters.NamespaceLister) *Watched {
	return &Watched{client: client, mapper: mapper, namespaces: namespaces, kept: map[schema.GroupVersionKind]*keptKind{}}
}

// Keep has exactly these kinds kept from now on, until ctx ends, and waits until
// those that were not kept before have been read, or wait ends. A kind that the
// cluster does not serve is skipped; it is looked for again at the next call.
func (w *Watched) Keep(ctx, wait context.Context, kinds []schema.GroupVersionKind) error {
	w.mu.Lock()
	for kind, k := range w.kept {
		if !slices.Contains(kinds, kind) {
			k.stop()
			delete(w.kept, kind)
		}
	}
	var fresh []cache.InformerSynced
	for _, kind := range kinds {
		if w.kept[kind] != nil || kind.GroupKind() == namespaceKind {
			continue
		}
		mapping, err := w.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			w.mu.Unlock()
			return fmt.Errorf("look up kind %s: %w", kind.Kind, err)
		}
		informer := dynamicinformer.NewFilteredDynamicInformer(w.client, mapping.Resource, metav1.NamespaceAll, 0,
			cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, nil)
		if err := informer.Informer().SetTransform(WithoutManagedFields); err != nil {
			w.mu.Unlock()
			return err
		}
		if w.told != nil {
			if _, err := informer.Informer().AddEventHandler(changes(func() { w.told(kind) })); err != nil {
				w.mu.Unlock()
				return err
			}
		}
		running, stop := context.WithCancel(ctx)
		go informer.Informer().RunWithContext(running)
		w.kept[kind] = &keptKind{informer, mapping.Scope.Name() == meta.RESTScopeNameNamespace, stop}
		fresh = append(fresh, informer.Informer().HasSynced)
	}
	w.mu.Unlock()
	if !cache.WaitForCacheSync(wait.Done(), fresh...) {
		return fmt.Errorf("read the objects that policies look up: %w", cmp.Or(wait.Err(), context.Canceled))
	}
	return nil
}

// OnChange has tell called whenever an object of a kept kind comes, goes or changes in
// more than its status. It is called before Keep.
func (w *Watched) OnChange(tell func(schema.GroupVersionKind)) { w.told = tell }

func changes(tell func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(_ any, initial bool) {
			if !initial {
				tell()
			}
		},
		UpdateFunc: func(before, after any) {
			a, b := before.(*unstructured.Unstructured), after.(*unstructured.Unstructured)
			if a.GetGeneration() == 0 || a.GetGeneration() != b.GetGeneration() || !maps.Equal(a.GetLabels(), b.GetLabels()) {
				if a.GetResourceVersion() != b.GetResourceVersion() || a.GetResourceVersion() == "" {
					tell()
				}
			}
		},
		DeleteFunc: func(any) { tell() },
	}
}

// WithoutManagedFields is a cache.TransformFunc that keeps of an object what
// decides: who set which field is often the larger part of it.
func WithoutManagedFields(object any) (any, error) {
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

// Namespace implements policy.Cluster.
func (w *Watched) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	n, err := w.namespaces.Get(name)
	if err == nil {
		return n, nil
	}
	// It may be so new that the watch has not told of it.
	o, err := w.client.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return asNamespace(o)
}

func (w *Watched) of(kind schema.GroupVersionKind) *keptKind {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if k := w.kept[kind]; k != nil && k.informer.Informer().HasSynced() {
		return k
	}
	return nil
}

func (w *Watched) resource(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := w.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return w.client.Resource(mapping.Resource).Namespace(namespace), nil
	}
	return w.client.Resource(mapping.Resource), nil
}

// Object implements policy.Cluster.
func (w *Watched) Object(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	if k := w.of(kind); k != nil {
		var found runtime.Object
		var err error
		if k.namespaced {
			found, err = k.informer.Lister().ByNamespace(namespace).Get(name)
		} else {
			found, err = k.informer.Lister().Get(name)
		}
		if err != nil {
			return nil, err
		}
		return found.(*unstructured.Unstructured), nil
	}
	client, err := w.resource(kind, namespace)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, name, metav1.GetOptions{})
}

// Objects implements policy.Cluster.
func (w *Watched) Objects(ctx context.Context, kind schema.GroupVersionKind, namespace string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	if k := w.of(kind); k != nil {
		var found []runtime.Object
		var err error
		if k.namespaced && namespace != "" {
			found, err = k.informer.Lister().ByNamespace(namespace).List(labels.Everything())
		} else {
			found, err = k.informer.Lister().List(labels.Everything())
		}
		if err != nil {
			return nil, err
		}
		for _, o := range found {
			all = append(all, o.(*unstructured.Unstructured))
		}
	} else {
		client, err := w.resource(kind, namespace)
		if err != nil {
			return nil, err
		}
		list, err := client.List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			all = append(all, &list.Items[i])
		}
	}
	slices.SortFunc(all, compareNames)
	return all, nil
}
