package cel

import (
	"context"
	"fmt"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/gatehouse-io/gatehouse/policy"
)

// params are what a binding gives its policy.
type params struct {
	kind *v1.ParamKind // nil: none
	gvk  schema.GroupVersionKind
	ref  *v1.ParamRef
	err  error // what is wrong with kind
	// namespaced says whether a kind's objects are in namespaces.
	namespaced func(schema.GroupVersionKind) (namespaced, known bool, err error)
}

func newParams(kind *v1.ParamKind, ref *v1.ParamRef, namespaced func(schema.GroupVersionKind) (bool, bool, error)) params {
	p := params{kind: kind, ref: ref, namespaced: namespaced}
	if kind != nil {
		gv, err := schema.ParseGroupVersion(kind.APIVersion)
		if err != nil {
			p.err = fmt.Errorf("failed to parse paramKind APIVersion: %w", err)
		}
		p.gvk = gv.WithKind(kind.Kind)
	}
	return p
}

// nothing is one evaluation without params.
var nothing = []runtime.Object{nil}

// scope is that of the kind; an error is one of the policy's configuration.
func (p *params) scope(ctx context.Context, c policy.Cluster) (meta.RESTScope, error) {
	if p.kind == nil {
		return nil, nil
	}
	if p.err != nil {
		return nil, p.err
	}
	namespaced, known, err := p.namespaced(p.gvk)
	if err != nil {
		return nil, fmt.Errorf("failed to find resource referenced by paramKind: '%v'", p.gvk)
	}
	if !known && p.ref != nil {
		// Nobody can tell but its objects. Where there are none nothing is found.
		objects, err := c.Objects(ctx, p.gvk, p.ref.Namespace)
		namespaced = p.ref.Namespace != "" || err == nil && len(objects) > 0 && objects[0].GetNamespace() != ""
	}
	if namespaced {
		return meta.RESTScopeNamespace, nil
	}
	return meta.RESTScopeRoot, nil
}

// collect is upstream's CollectParams over a Cluster.
func (p *params) collect(ctx context.Context, r *policy.Request, scope meta.RESTScope) ([]runtime.Object, error) {
	if p.kind == nil || p.ref == nil {
		return nothing, nil
	}
	return generic.CollectParams(p.kind, lookup{ctx: ctx, cluster: r.Cluster, kind: p.gvk}, scope, p.ref, r.GetNamespace(), nil, nil)
}

// lookup is upstream's lister over a Cluster.
type lookup struct {
	cache.SharedIndexInformer
	ctx       context.Context
	cluster   policy.Cluster
	kind      schema.GroupVersionKind
	namespace string
}

var (
	_ informers.GenericInformer = lookup{}
	_ cache.GenericLister       = lookup{}
)

func (l lookup) Informer() cache.SharedIndexInformer { return l }
func (l lookup) Lister() cache.GenericLister         { return l }
func (l lookup) HasSynced() bool                     { return true }

func (l lookup) ByNamespace(namespace string) cache.GenericNamespaceLister {
	l.namespace = namespace
	return l
}

func (l lookup) Get(name string) (runtime.Object, error) {
	o, err := l.cluster.Object(l.ctx, l.kind, l.namespace, name)
	if err != nil {
		return nil, err
	}
	return l.param(o.Object), nil
}

func (l lookup) List(selector labels.Selector) ([]runtime.Object, error) {
	objects, err := l.cluster.Objects(l.ctx, l.kind, l.namespace)
	if err != nil {
		return nil, err
	}
	var found []runtime.Object
	for _, o := range objects {
		if selector.Matches(labels.Set(o.GetLabels())) {
			found = append(found, l.param(o.Object))
		}
	}
	return found, nil
}

// param has the kind it was asked for by, as upstream's has.
func (l lookup) param(content map[string]any) *param {
	p := newParam(content)
	if p.kind() != l.kind {
		named := make(map[string]any, len(content)+2)
		for field, value := range content {
			named[field] = value
		}
		named["apiVersion"], named["kind"] = l.kind.GroupVersion().String(), l.kind.Kind
		p = newParam(named)
	}
	return p
}

// clusterScoped are the built-in kinds that are in no namespace.
func clusterScoped(kind schema.GroupKind) bool {
	switch kind.Group {
	case "":
		return kind.Kind == "Namespace" || kind.Kind == "Node" || kind.Kind == "PersistentVolume" || kind.Kind == "ComponentStatus"
	case "rbac.authorization.k8s.io":
		return kind.Kind == "ClusterRole" || kind.Kind == "ClusterRoleBinding"
	case "storage.k8s.io":
		return kind.Kind != "CSIStorageCapacity"
	case "networking.k8s.io":
		return kind.Kind == "IngressClass" || kind.Kind == "IPAddress" || kind.Kind == "ServiceCIDR"
	case "resource.k8s.io":
		return kind.Kind != "ResourceClaim" && kind.Kind != "ResourceClaimTemplate"
	case "certificates.k8s.io":
		return kind.Kind != "PodCertificateRequest"
	case "authorization.k8s.io":
		return kind.Kind != "LocalSubjectAccessReview"
	case v1.GroupName, "apiextensions.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io",
		"flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "node.k8s.io", "scheduling.k8s.io",
		"storagemigration.k8s.io", "imagepolicy.k8s.io":
		return true
	}
	return false
}
