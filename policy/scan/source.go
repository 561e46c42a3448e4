package scan

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// Item is an object that exists: of its Go type, in the version of its Resource's kind, or
// unstructured. It is read alone, for others may have it too.
type Item interface {
	metav1.Object
	runtime.Object
}

// Source reads what exists. The objects of one resource are always of one form, for a
// list must be seen to say what the watch has said.
type Source interface {
	// List is a page of the objects in one namespace or, where that is empty, in all.
	List(ctx context.Context, of Resource, namespace string, opts metav1.ListOptions) (*Page, error)
	// Watch tells of changes in all namespaces, by events as a client's: each is of an
	// Item, but a watch.Error, which is of a metav1.Status.
	Watch(ctx context.Context, of Resource, opts metav1.ListOptions) (watch.Interface, error)
}

// Versioned is a Source that knows how far its store has come.
type Versioned interface {
	Source
	// Version is the resourceVersion of the last change in the store of a resource, of
	// whatever kind. ok is false where that is not known of it.
	Version(ctx context.Context, of Resource) (version uint64, ok bool, err error)
}

// Page is a part of a list.
type Page struct {
	metav1.ListMeta
	Items []Item
}

// FromClient is a Source of unstructured objects.
func FromClient(client dynamic.Interface) Source { return clientSource{client} }

type clientSource struct{ client dynamic.Interface }

// List implements Source.
func (c clientSource) List(ctx context.Context, of Resource, namespace string, opts metav1.ListOptions) (*Page, error) {
	var from dynamic.ResourceInterface = c.client.Resource(of.GroupVersionResource)
	if namespace != "" {
		from = c.client.Resource(of.GroupVersionResource).Namespace(namespace)
	}
	list, err := from.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	page := &Page{
		ListMeta: metav1.ListMeta{ResourceVersion: list.GetResourceVersion(), Continue: list.GetContinue(), RemainingItemCount: list.GetRemainingItemCount()},
		Items:    make([]Item, len(list.Items)),
	}
	for i := range list.Items {
		o := &list.Items[i]
		if o.GetKind() == "" { // items of a list may leave out what the list says
			o.SetGroupVersionKind(of.Kind)
		}
		page.Items[i] = o
	}
	return page, nil
}

// Watch implements Source.
func (c clientSource) Watch(ctx context.Context, of Resource, opts metav1.ListOptions) (watch.Interface, error) {
	return c.client.Resource(of.GroupVersionResource).Watch(ctx, opts)
}

// contentOf is an object as policies see it that ask for its fields by their names.
func contentOf(o runtime.Object, kind schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind.Kind, err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kind)
	return u, nil
}
