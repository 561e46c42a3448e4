package serve

import (
	"context"
	"errors"
	"net/http"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// The resources that gates follow.
var (
	revocations = v1alpha1.SchemeGroupVersion.WithResource("revocations")
	guards      = v1alpha1.SchemeGroupVersion.WithResource("guards")

	// crdResource tells which kinds of policies there are.
	crdResource = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
)

// kindInformers follow the kinds that Gatehouse adds, through the server's own
// API.
type kindInformers struct {
	client  dynamic.Interface
	probe   discovery.DiscoveryInterface
	factory dynamicinformer.DynamicSharedInformerFactory
	wanted  []schema.GroupVersionResource
}

func newKindInformers(generic *genericapiserver.Config) (*kindInformers, error) {
	config := rest.CopyConfig(generic.LoopbackClientConfig)
	config.QPS = -1 // the first requests below are in quick succession
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	probe, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	k := &kindInformers{client: client, probe: probe, factory: dynamicinformer.NewDynamicSharedInformerFactory(client, 0)}
	return k, generic.AddPostStartHook("gatehouse-kinds", func(hook genericapiserver.PostStartHookContext) error {
		go k.start(hook)
		return nil
	})
}

// informer is that of a resource; called before the server starts.
func (k *kindInformers) informer(of schema.GroupVersionResource) cache.SharedIndexInformer {
	k.wanted = append(k.wanted, of)
	return k.factory.ForResource(of).Informer()
}

// start waits until the resources are served. An informer that finds no such
// resource, or a server that is still starting, waits up to five seconds before it
// looks again; asking first makes the start that much shorter.
func (k *kindInformers) start(ctx context.Context) {
	for _, resource := range k.wanted {
		k.awaitServed(ctx, resource)
	}
	k.factory.Start(ctx.Done())
}

// awaitServed returns when a resource can be listed, or ctx ends.
func (k *kindInformers) awaitServed(ctx context.Context, resource schema.GroupVersionResource) {
	_ = wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		ask := k.probe.RESTClient().Get().AbsPath("/apis", resource.Group, resource.Version, resource.Resource)
		return ask.Param("limit", "1").MaxRetries(0).Do(ctx).Error() == nil, nil
	})
}

// syncCheck is a readiness check that holds once something has been read.
func syncCheck(name, unread string, synced func() bool) healthz.HealthChecker {
	return healthz.NamedCheck(name, func(*http.Request) error {
		if synced() {
			return nil
		}
		return errors.New(unread)
	})
}
