package serve

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericfeatures "k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/generic"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/feature"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// objectStorage opens the storage of a kind of objects as upstream does
// (storagebackend/factory and generic/registry's StorageWithCacher), with a client of
// the etcd in this process where upstream's connects. Upstream's own is what a server
// over an external cluster has.
type objectStorage struct {
	etcd      *inProcess
	compactor etcd3.Compactor
	plain     map[schema.GroupResource]bool // kinds that are read without a cache
}

// newObjectStorage returns nil for a store elsewhere. It calls a store that answers.
func newObjectStorage(ctx context.Context, st *store, opts options.CompletedOptions) (*objectStorage, error) {
	if st.embedded == nil {
		return nil, nil
	}
	sizes, err := genericoptions.ParseWatchCacheSizes(opts.Etcd.WatchCacheSizes)
	if err != nil {
		return nil, err
	}
	s := &objectStorage{etcd: st.inProcess, plain: map[schema.GroupResource]bool{}}
	for resource, size := range sizes {
		s.plain[resource] = size <= 0
	}
	// Upstream has one compactor for each endpoint, found by its name, and a few
	// allocators of addresses that open their storage by upstream's factory: this is
	// the same one.
	compacting, err := st.connect(ctx)
	if err != nil {
		return nil, err
	}
	s.compactor = etcd3.StartCompactorPerEndpoint(compacting, opts.Etcd.StorageConfig.CompactionInterval)
	// A client in process has no endpoint whose features would be looked up.
	feature.DefaultFeatureSupportChecker.CheckClient(ctx, compacting, storage.RequestWatchProgress)
	return s, nil
}

// over has what a getter says, opened by s; the getter itself where s is nil.
func (s *objectStorage) over(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	if s == nil {
		return getter
	}
	return objectStorageGetter{RESTOptionsGetter: getter, storage: s}
}

type objectStorageGetter struct {
	generic.RESTOptionsGetter
	storage *objectStorage
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g objectStorageGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	o, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return o, err
	}
	o.Decorator = g.storage.openCached
	if g.storage.plain[resource] {
		o.Decorator = g.storage.openPlain
	}
	return o, nil
}

// openPlain is a generic.StorageDecorator without a cache.
func (s *objectStorage) openPlain(
	config *storagebackend.ConfigForResource,
	resourcePrefix string,
	_ func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object,
	_ storage.AttrFunc,
	_ storage.IndexerFuncs,
	_ *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	return s.open(config, newFunc, newListFunc, resourcePrefix)
}

// openCached is a generic.StorageDecorator with upstream's cache for watches.
func (s *objectStorage) openCached(
	config *storagebackend.ConfigForResource,
	resourcePrefix string,
	keyFunc func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object,
	attributes storage.AttrFunc,
	triggers storage.IndexerFuncs,
	indexers *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	raw, destroy, err := s.open(config, newFunc, newListFunc, resourcePrefix)
	if err != nil {
		return nil, nil, err
	}
	c, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage:             raw,
		Versioner:           storage.APIObjectVersioner{},
		GroupResource:       config.GroupResource,
		EventsHistoryWindow: config.EventsHistoryWindow,
		ResourcePrefix:      resourcePrefix,
		KeyFunc:             keyFunc,
		NewFunc:             newFunc,
		NewListFunc:         newListFunc,
		GetAttrsFunc:        attributes,
		IndexerFuncs:        triggers,
		Indexers:            indexers,
		Codec:               config.Codec,
	})
	if err != nil {
		destroy()
		return nil, nil, fmt.Errorf("open cache of %s: %w", config.GroupResource, err)
	}
	delegator := cacher.NewCacheDelegator(c, raw)
	// Subresources share a storage, and each destroys it.
	return delegator, sync.OnceFunc(func() {
		delegator.Stop()
		c.Stop()
		destroy()
	}), nil
}

func (s *objectStorage) open(config *storagebackend.ConfigForResource, newFunc, newListFunc func() runtime.Object, resourcePrefix string) (storage.Interface, factory.DestroyFunc, error) {
	client := s.etcd.client()
	client.KV = etcd3.NewETCDLatencyTracker(client.KV)
	transformer := config.Transformer
	if transformer == nil {
		transformer = identity.NewEncryptCheckTransformer()
	}
	versioner := storage.APIObjectVersioner{}
	decoder := etcd3.NewDefaultDecoder(config.Codec, versioner)
	deletesCorrupt := utilfeature.DefaultFeatureGate.Enabled(genericfeatures.AllowUnsafeMalformedObjectDeletion)
	if deletesCorrupt {
		transformer = etcd3.WithCorruptObjErrorHandlingTransformer(transformer)
		decoder = etcd3.WithCorruptObjErrorHandlingDecoder(decoder)
	}
	raw, err := etcd3.New(client, s.compactor, config.Codec, newFunc, newListFunc, config.Prefix, resourcePrefix, config.GroupResource, transformer, config.LeaseManagerConfig, decoder, versioner)
	if err != nil {
		s.etcd.release(client)
		return nil, nil, fmt.Errorf("open storage of %s: %w", config.GroupResource, err)
	}
	destroy := sync.OnceFunc(func() {
		raw.Close()
		s.etcd.release(client)
	})
	if deletesCorrupt {
		return etcd3.NewStoreWithUnsafeCorruptObjectDeletion(raw, config.GroupResource), destroy, nil
	}
	return raw, destroy, nil
}
