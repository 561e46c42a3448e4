package serve

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

var (
	_ rest.Lister  = &reportKind{}
	_ rest.Getter  = &reportKind{}
	_ rest.Watcher = &reportKind{}
)

// The version of a report, as clients see it, has the replica that counted it in its
// last ten bits: replicas scan each for itself, and one that is asked to go on from
// another's version says that it must be asked for all.
const (
	replicaBits = 10
	replicas    = 1<<replicaBits - 1
)

func (p *policyReports) written(version uint64) string {
	return strconv.FormatUint(version<<replicaBits|p.replica, 10)
}

func (p *policyReports) read(version string) (n uint64, ours bool, err error) {
	n, err = strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0, false, apierrors.NewBadRequest("resourceVersion: is no version")
	}
	return n >> replicaBits, n&replicas == p.replica, nil
}

// New implements rest.Storage.
func (k *reportKind) New() runtime.Object {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k.kind)
	return u
}

// Destroy implements rest.Storage.
func (k *reportKind) Destroy() {}

// NewList implements rest.Lister.
func (k *reportKind) NewList() runtime.Object {
	u := &unstructured.UnstructuredList{}
	u.SetGroupVersionKind(k.kind.GroupVersion().WithKind(k.kind.Kind + "List"))
	return u
}

// has reports whether a report is of this kind, and in a namespace where one is named.
func (k *reportKind) has(r *scan.Report, namespace string) bool {
	return (r.Namespace != "") == k.namespaced && (namespace == "" || r.Namespace == namespace)
}

// Get implements rest.Getter.
func (k *reportKind) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	r := k.reports.Get(types.UID(name))
	if r == nil || !k.has(r, request.NamespaceValue(ctx)) {
		return nil, apierrors.NewNotFound(k.resource.GroupResource(), name)
	}
	return k.object(r), nil
}

// page is where a list goes on.
type page struct {
	Version   uint64    `json:"v"`
	Namespace string    `json:"n,omitempty"`
	UID       types.UID `json:"u"`
}

// selection is what a client wants of the reports.
type selection struct {
	labels labels.Selector
	fields fields.Selector
}

func selectionOf(o *metainternalversion.ListOptions) selection {
	s := selection{labels.Everything(), fields.Everything()}
	if o != nil && o.LabelSelector != nil {
		s.labels = o.LabelSelector
	}
	if o != nil && o.FieldSelector != nil {
		s.fields = o.FieldSelector
	}
	return s
}

func (s selection) takes(r *scan.Report) bool {
	return s.labels.Matches(labels.Set(reportLabels)) && s.fields.Matches(fields.Set{"metadata.name": string(r.UID), "metadata.namespace": r.Namespace})
}

// List implements rest.Lister.
func (k *reportKind) List(ctx context.Context, o *metainternalversion.ListOptions) (runtime.Object, error) {
	all, version := k.reports.All()
	namespace := request.NamespaceValue(ctx)
	at := page{Namespace: namespace}
	limit := 0
	if o != nil {
		limit = int(o.Limit)
		if o.Continue != "" {
			data, err := base64.RawURLEncoding.DecodeString(o.Continue)
			if err == nil {
				err = json.Unmarshal(data, &at)
			}
			if err != nil {
				return nil, apierrors.NewBadRequest("continue: was not given by this server")
			}
			// The version of the first page, from which a watch tells what has changed
			// behind the pages.
			version = at.Version
		}
	}
	from, found := slices.BinarySearchFunc(all, at, func(r *scan.Report, at page) int {
		return cmp.Or(strings.Compare(r.Namespace, at.Namespace), strings.Compare(string(r.UID), string(at.UID)))
	})
	if found {
		from++ // it was the last of the page before
	}
	wanted := selectionOf(o)
	list := k.NewList().(*unstructured.UnstructuredList)
	list.SetResourceVersion(k.written(version))
	list.Items = []unstructured.Unstructured{}
	for i := from; i < len(all); i++ {
		r := all[i]
		if namespace != "" && r.Namespace != namespace || !k.namespaced && r.Namespace != "" {
			break // they are in the order of their namespaces, none first
		}
		if !k.has(r, namespace) || !wanted.takes(r) {
			continue
		}
		if limit > 0 && len(list.Items) == limit {
			last := &list.Items[limit-1]
			token, err := json.Marshal(page{version, last.GetNamespace(), types.UID(last.GetName())})
			if err != nil {
				return nil, err
			}
			list.SetContinue(base64.RawURLEncoding.EncodeToString(token))
			break
		}
		list.Items = append(list.Items, *k.object(r))
	}
	return list, nil
}

// Watch implements rest.Watcher.
func (k *reportKind) Watch(ctx context.Context, o *metainternalversion.ListOptions) (watch.Interface, error) {
	_, _, ended := k.state()
	all, version := k.reports.All()
	initial := o == nil || o.ResourceVersion == "" || o.ResourceVersion == "0"
	marked := false
	if o != nil && o.SendInitialEvents != nil {
		initial, marked = *o.SendInitialEvents, *o.SendInitialEvents && o.AllowWatchBookmarks
	}
	if !initial && o.ResourceVersion != "" && o.ResourceVersion != "0" {
		from, ours, err := k.read(o.ResourceVersion)
		if err != nil {
			return nil, err
		}
		if _, _, ok := k.reports.Since(from); !ok || !ours {
			return nil, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %s", o.ResourceVersion))
		}
		version = from
	}
	w := &reportWatch{kind: k, namespace: request.NamespaceValue(ctx), wanted: selectionOf(o), events: make(chan watch.Event, 100)}
	ctx, w.cancel = context.WithCancel(ctx)
	var first []*scan.Report
	if initial {
		first = all
	}
	go w.run(ctx, first, marked, version, ended)
	return w, nil
}

// reportWatch tells of changes until it is stopped, falls too far behind, or the
// reports are another program's.
type reportWatch struct {
	kind      *reportKind
	namespace string
	wanted    selection
	events    chan watch.Event
	cancel    context.CancelFunc
}

// Stop implements watch.Interface.
func (w *reportWatch) Stop() { w.cancel() }

// ResultChan implements watch.Interface.
func (w *reportWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *reportWatch) run(ctx context.Context, first []*scan.Report, marked bool, version uint64, ended <-chan struct{}) {
	defer close(w.events)
	defer w.cancel()
	send := func(what watch.EventType, o runtime.Object) bool {
		select {
		case <-ctx.Done():
			return false
		case w.events <- watch.Event{Type: what, Object: o}:
			return true
		}
	}
	for _, r := range first {
		if w.takes(r) && !send(watch.Added, w.kind.object(r)) {
			return
		}
	}
	if marked {
		mark := w.kind.New().(*unstructured.Unstructured)
		mark.SetResourceVersion(w.kind.written(version))
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		if !send(watch.Bookmark, mark) {
			return
		}
	}
	for {
		changes, next, ok := w.kind.reports.Since(version)
		if !ok {
			expired := apierrors.NewResourceExpired("this watch has fallen too far behind").ErrStatus
			send(watch.Error, &expired)
			return
		}
		for _, c := range changes {
			version = c.Version
			if !w.takes(c.Report) {
				continue
			}
			what, o := watch.Modified, w.kind.object(c.Report)
			switch {
			case c.Gone:
				what = watch.Deleted
				o.SetResourceVersion(w.kind.written(c.Version))
			case c.First:
				what = watch.Added
			}
			if !send(what, o) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-next:
		}
	}
}

func (w *reportWatch) takes(r *scan.Report) bool {
	return w.kind.has(r, w.namespace) && w.wanted.takes(r)
}
