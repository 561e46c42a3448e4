package server

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Objects puts objects of any kind into a cluster.
type Objects struct {
	Client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// ObjectsOf is for the cluster of config, with its rights.
func ObjectsOf(t testing.TB, config *rest.Config) *Objects {
	t.Helper()
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &Objects{Dynamic(t, config), restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}
}

// Of is the client for an object's kind, in its namespace.
func (c *Objects) Of(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		return c.Client.Resource(mapping.Resource).Namespace(o.GetNamespace()), nil
	}
	return c.Client.Resource(mapping.Resource), nil
}

// Apply puts objects in, in their order, over those that are there. When the test
// ends it takes them away, but for Namespaces, which take their time.
func (c *Objects) Apply(t testing.TB, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		Eventually(t, time.Minute, func(ctx context.Context) error {
			client, err := c.Of(o)
			if err != nil {
				return err // its definition is not served yet
			}
			_, err = client.Create(ctx, o, metav1.CreateOptions{})
			if !apierrors.IsAlreadyExists(err) {
				return err
			}
			have, err := client.Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return err
			}
			next := o.DeepCopy()
			next.SetResourceVersion(have.GetResourceVersion())
			_, err = client.Update(ctx, next, metav1.UpdateOptions{})
			return err
		})
		if o.GetKind() == "Namespace" {
			continue
		}
		t.Cleanup(func() {
			// A policy that forbids it may hold for a moment after it has been deleted.
			Eventually(t, time.Minute, func(ctx context.Context) error {
				client, err := c.Of(o)
				if meta.IsNoMatchError(err) {
					return nil
				}
				if err == nil {
					err = client.Delete(context.WithoutCancel(ctx), o.GetName(), metav1.DeleteOptions{})
				}
				if apierrors.IsNotFound(err) {
					return nil
				}
				if err == nil {
					err = errors.New("it is being deleted")
				}
				return err
			})
		})
	}
}
