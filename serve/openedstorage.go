package serve

import (
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// openedStorage knows the storage of each built-in resource, whoever opens it, for those
// who read in this process what the server serves.
type openedStorage struct {
	mu sync.Mutex // over of
	of map[schema.GroupResource]*opened
}

// opened is the storage of one resource.
type opened struct {
	storage.Interface
	// prefix is that of the keys, without a slash at its end.
	prefix  string
	newList func() runtime.Object
	// closed says that nothing may be read any more.
	closed atomic.Bool
}

func newOpenedStorage() *openedStorage {
	return &openedStorage{of: map[schema.GroupResource]*opened{}}
}

// get is the storage of a resource; nil where none was opened.
func (s *openedStorage) get(resource schema.GroupResource) *opened {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[resource]
}

// over has what a getter says, and notes what is opened by it.
func (s *openedStorage) over(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return openedStorageGetter{getter, s}
}

type openedStorageGetter struct {
	generic.RESTOptionsGetter
	storage *openedStorage
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g openedStorageGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	o, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil || o.Decorator == nil {
		return o, err
	}
	open := o.Decorator
	o.Decorator = func(
		config *storagebackend.ConfigForResource,
		resourcePrefix string,
		keyFunc func(runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object,
		attributes storage.AttrFunc,
		triggers storage.IndexerFuncs,
		indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		objects, destroy, err := open(config, resourcePrefix, keyFunc, newFunc, newListFunc, attributes, triggers, indexers)
		if err != nil {
			return objects, destroy, err
		}
		one := &opened{Interface: objects, prefix: resourcePrefix, newList: newListFunc}
		g.storage.note(resource, one)
		return objects, func() {
			one.closed.Store(true)
			destroy()
		}, nil
	}
	return o, nil
}

// note keeps the first: some resources are opened for each version they are served in,
// and all of these have the same objects.
func (s *openedStorage) note(resource schema.GroupResource, one *opened) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[resource] == nil {
		s.of[resource] = one
	}
}
