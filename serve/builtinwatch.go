package serve

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// builtinWatch watches built-in kinds in protobuf. Every new object of a kind that a
// policy matches goes through the scan's watch, and as JSON it costs the server a
// seventh of what creating a Pod does.
type builtinWatch struct {
	config *rest.Config
	// others watches kinds that are not built in.
	others dynamic.Interface

	mu      sync.Mutex // over clients
	clients map[schema.GroupVersion]rest.Interface
}

func (b *builtinWatch) watch(ctx context.Context, of scan.Resource, opts metav1.ListOptions) (watch.Interface, error) {
	if !scheme.Scheme.Recognizes(of.Kind) {
		return b.others.Resource(of.GroupVersionResource).Watch(ctx, opts)
	}
	client, err := b.client(of.GroupVersion())
	if err != nil {
		return nil, err
	}
	opts.Watch = true
	var limit time.Duration
	if opts.TimeoutSeconds != nil {
		limit = time.Duration(*opts.TimeoutSeconds) * time.Second
	}
	return client.Get().Resource(of.Resource).VersionedParams(&opts, scheme.ParameterCodec).Timeout(limit).Watch(ctx)
}

func (b *builtinWatch) client(of schema.GroupVersion) (rest.Interface, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if client := b.clients[of]; client != nil {
		return client, nil
	}
	config := rest.CopyConfig(b.config)
	config.GroupVersion, config.APIPath = &of, "/apis"
	if of.Group == "" {
		config.APIPath = "/api"
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	if b.clients == nil {
		b.clients = map[schema.GroupVersion]rest.Interface{}
	}
	b.clients[of] = client
	return client, nil
}
