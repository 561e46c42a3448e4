package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/admission"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/storage"
	storeerrors "k8s.io/apiserver/pkg/storage/errors"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// storedObjects reads built-in kinds from the storage that the server reads them from
// itself, with its cache for watches. Every new object of a kind that a policy matches
// goes through the scan: over the server's API its way to there costs a tenth of what
// creating a Pod does.
type storedObjects struct {
	opened *openedStorage
	// others reads what is not built in, and what is not served as it is stored.
	others scan.Source
}

// servedOtherwise are the built-in resources that the server changes when they are read,
// each by a function of its own: fields that objects from before do not have.
var servedOtherwise = []schema.GroupResource{{Resource: "services"}, {Resource: "persistentvolumeclaims"}}

// of is where a resource is read from; nil where others know.
func (s *storedObjects) of(resource scan.Resource) *opened {
	if slices.Contains(servedOtherwise, resource.GroupResource()) || !legacyscheme.Scheme.Recognizes(resource.Kind) {
		return nil
	}
	return s.opened.get(resource.GroupResource())
}

// List implements scan.Source.
func (s *storedObjects) List(ctx context.Context, of scan.Resource, namespace string, opts metav1.ListOptions) (*scan.Page, error) {
	from := s.of(of)
	if from == nil {
		return s.others.List(ctx, of, namespace, opts)
	}
	key := from.prefix
	if namespace != "" {
		key += "/" + namespace
	}
	selected := storage.Everything
	selected.Limit, selected.Continue = opts.Limit, opts.Continue
	var list runtime.Object
	if err := patiently(ctx, from, func() error {
		list = from.newList()
		return from.GetList(ctx, key, storage.ListOptions{ResourceVersion: opts.ResourceVersion, ResourceVersionMatch: opts.ResourceVersionMatch, Predicate: selected, Recursive: true}, list)
	}); err != nil {
		return nil, storeerrors.InterpretListError(err, of.GroupResource())
	}
	listMeta, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	page := &scan.Page{ListMeta: metav1.ListMeta{ResourceVersion: listMeta.GetResourceVersion(), Continue: listMeta.GetContinue(), RemainingItemCount: listMeta.GetRemainingItemCount()}}
	err = meta.EachListItem(list, func(stored runtime.Object) error {
		// Below its first level it is the cache's own.
		o, err := servedAs(of, stored, legacyscheme.Scheme.ConvertToVersion)
		if err == nil {
			page.Items = append(page.Items, o)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Watch implements scan.Source.
func (s *storedObjects) Watch(ctx context.Context, of scan.Resource, opts metav1.ListOptions) (watch.Interface, error) {
	from := s.of(of)
	if from == nil {
		return s.others.Watch(ctx, of, opts)
	}
	var cancel context.CancelFunc
	if opts.TimeoutSeconds != nil {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*opts.TimeoutSeconds)*time.Second)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	selected := storage.Everything
	selected.AllowWatchBookmarks = opts.AllowWatchBookmarks
	var stored watch.Interface
	if err := patiently(ctx, from, func() (err error) {
		stored, err = from.Watch(ctx, from.prefix, storage.ListOptions{ResourceVersion: opts.ResourceVersion, Predicate: selected, Recursive: true})
		return err
	}); err != nil {
		cancel()
		return nil, err
	}
	w := &servedWatch{of: of, stored: stored, cancel: cancel, result: make(chan watch.Event)}
	go w.run(ctx)
	return w, nil
}

// Version implements scan.Versioned.
func (s *storedObjects) Version(ctx context.Context, of scan.Resource) (version uint64, ok bool, err error) {
	from := s.of(of)
	if from == nil {
		return 0, false, nil
	}
	if from.closed.Load() {
		return 0, false, errClosed
	}
	version, err = from.GetCurrentResourceVersion(ctx)
	return version, err == nil, err
}

var errClosed = errors.New("the storage is closed")

// patiently asks again where the storage says when, as a client does: its cache is not
// filled at once when a server starts.
func patiently(ctx context.Context, from *opened, ask func() error) error {
	for tries := 1; ; tries++ {
		if from.closed.Load() {
			return errClosed
		}
		err := ask()
		seconds, later := apierrors.SuggestsClientDelay(err)
		if !later || tries == 10 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(seconds) * time.Second):
		}
	}
}

// servedAs is a stored object in the version that a resource is served in. The object is
// the caller's own, but what is in it may be others' too.
func servedAs(of scan.Resource, stored runtime.Object, convert func(runtime.Object, runtime.GroupVersioner) (runtime.Object, error)) (scan.Item, error) {
	versioned, err := convert(stored, of.Kind.GroupVersion())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", of.Kind.Kind, err)
	}
	o, ok := versioned.(scan.Item)
	if kind := versioned.GetObjectKind().GroupVersionKind(); !ok || kind != of.Kind {
		return nil, fmt.Errorf("read %s: it is stored as a %T, which is served as %s", of.Kind.Kind, stored, kind)
	}
	return o, nil
}

// servedWatch has the events of a storage, with their objects as they are served.
type servedWatch struct {
	of     scan.Resource
	stored watch.Interface
	cancel context.CancelFunc
	result chan watch.Event
}

// Stop implements watch.Interface.
func (w *servedWatch) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *servedWatch) ResultChan() <-chan watch.Event { return w.result }

func (w *servedWatch) run(ctx context.Context) {
	defer close(w.result)
	defer w.stored.Stop()
	defer w.cancel()
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-w.stored.ResultChan():
			if !ok {
				return
			}
			event = w.served(event)
			select {
			case <-ctx.Done():
				return
			case w.result <- event:
			}
			if event.Type == watch.Error {
				return
			}
		}
	}
}

func (w *servedWatch) served(event watch.Event) watch.Event {
	if event.Type == watch.Error {
		return event
	}
	stored := event.Object
	if shared, ok := stored.(runtime.CacheableObject); ok {
		stored = shared.GetObject() // a copy
	}
	// The storage gives each watch objects of its own: they need no copy.
	o, err := servedAs(w.of, stored, legacyscheme.Scheme.UnsafeConvertToVersion)
	if err != nil {
		return watch.Event{Type: watch.Error, Object: &apierrors.NewInternalError(err).ErrStatus}
	}
	return watch.Event{Type: event.Type, Object: o}
}

// builtInTypes knows the Go types that storedObjects gives, and the versions they are
// served in. The server makes its registry of these when its configuration is completed.
type builtInTypes struct {
	admission.ObjectInterfaces
	config *genericapiserver.Config
}

func newBuiltInTypes(config *genericapiserver.Config) *builtInTypes {
	return &builtInTypes{admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme), config}
}

// GetEquivalentResourceMapper implements admission.ObjectInterfaces.
func (b *builtInTypes) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	return b.config.EquivalentResourceRegistry
}
