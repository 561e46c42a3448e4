package cli

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

var exceptionKind = schema.GroupKind{Group: v1alpha1.GroupName, Kind: "Exception"}

// isPolicy reports whether objects of a kind are policies, or exceptions from them.
func isPolicy(engines []policy.Engine, kind schema.GroupKind) bool {
	return kind == exceptionKind || kind.Group == "kyverno.io" || kind.Group == "policies.kyverno.io" ||
		slices.ContainsFunc(engines, func(e policy.Engine) bool { return e.Reads(kind) })
}

var definitionKind = apiextensionsv1.Kind("CustomResourceDefinition")

// describes reports whether objects of a kind say what a cluster is like: which kinds
// and namespaces there are, who may do what.
func describes(kind schema.GroupKind) bool {
	return kind == definitionKind || kind == (schema.GroupKind{Kind: "Namespace"}) || kind.Group == rbacv1.GroupName ||
		kind == schema.GroupKind{Group: v1alpha1.GroupName, Kind: "Guard"}
}

// liveCluster is what policies look things up in, in a cluster that runs. Every
// lookup is a request, made once.
type liveCluster struct {
	*cluster.Watched
	objects dynamic.Interface
	mapper  meta.RESTMapper
	disco   discovery.DiscoveryInterface
}

func newLiveCluster(config *rest.Config) (*liveCluster, error) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	known := memory.NewMemCacheClient(disco)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(known)
	return &liveCluster{cluster.NewWatched(objects, mapper, noNamespaces{}), objects, mapper, known}, nil
}

// noNamespaces is a lister that knows none: they are asked for one by one.
type noNamespaces struct{ corelisters.NamespaceLister }

func (noNamespaces) Get(name string) (*corev1.Namespace, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("namespaces"), name)
}

func (noNamespaces) List(labels.Selector) ([]*corev1.Namespace, error) { return nil, nil }

// policies are those of the cluster, and its Exceptions. Kinds that may not be read
// are an error: policies that are not known would be taken for none.
func (l *liveCluster) policies(ctx context.Context, engines []policy.Engine) ([]policy.Object, error) {
	lists, err := l.disco.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, err
	}
	var all []policy.Object
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || !isPolicy(engines, schema.GroupKind{Group: gv.Group, Kind: r.Kind}) {
				continue
			}
			found, err := l.objects.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", r.Name, err)
			}
			for i := range found.Items {
				o := &found.Items[i]
				all = append(all, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}})
			}
		}
	}
	return all, nil
}

// definitions are the CustomResourceDefinitions of the cluster.
func (l *liveCluster) definitions(ctx context.Context) ([]unstructured.Unstructured, error) {
	found, err := l.objects.Resource(apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list customresourcedefinitions: %w", err)
	}
	return found.Items, nil
}

// overlaid looks things up in files first, and then in a cluster.
type overlaid struct {
	files *cluster.Known
	live  policy.Cluster
}

var _ policy.Cluster = overlaid{}

func (o overlaid) Namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	if n, err := o.files.Namespace(ctx, name); err == nil || !apierrors.IsNotFound(err) {
		return n, err
	}
	return o.live.Namespace(ctx, name)
}

func (o overlaid) Object(ctx context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	if found, err := o.files.Object(ctx, kind, namespace, name); err == nil || !apierrors.IsNotFound(err) {
		return found, err
	}
	return o.live.Object(ctx, kind, namespace, name)
}

func (o overlaid) Objects(ctx context.Context, kind schema.GroupVersionKind, namespace string) ([]*unstructured.Unstructured, error) {
	mine, err := o.files.Objects(ctx, kind, namespace)
	if err != nil {
		return nil, err
	}
	theirs, err := o.live.Objects(ctx, kind, namespace)
	if err != nil {
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return mine, nil
		}
		return nil, err
	}
	all := slices.Clone(mine)
	for _, t := range theirs {
		if !slices.ContainsFunc(mine, func(m *unstructured.Unstructured) bool {
			return m.GetNamespace() == t.GetNamespace() && m.GetName() == t.GetName()
		}) {
			all = append(all, t)
		}
	}
	return all, nil
}
