package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacv1client "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// LiveOptions shape how a cluster is read. The zero value is ready.
type LiveOptions struct {
	// Kinds are those that are read. Default: AllKinds.
	Kinds []Kind
	// PageSize is how many objects are asked for at once. Default: 500.
	PageSize int64
}

// ForbiddenError says which permissions reading a cluster needs and does not have.
type ForbiddenError struct {
	// Resources that could not be listed: "clusterroles.rbac.authorization.k8s.io".
	Resources []string
}

func (e *ForbiddenError) Error() string {
	return "read cluster: needs list on " + strings.Join(e.Resources, ", ")
}

// Hint says how to get the permissions.
func (e *ForbiddenError) Hint() string {
	return "kubectl create clusterrole gatehouse-view --verb=list --resource=" + strings.Join(e.Resources, ",") +
		", and bind it to yourself with kubectl create clusterrolebinding"
}

// liveKind is how a kind is read from a cluster.
type liveKind struct {
	schema.GroupResource
	list pager.ListPageFunc
	// optional says that a cluster need not have the kind.
	optional bool
}

// FromLive fills a View from a cluster, which it changes nothing in. It asks for
// all that it may before it says what it may not: a *ForbiddenError.
func FromLive(ctx context.Context, config *rest.Config, opts LiveOptions) (*View, error) {
	if opts.Kinds == nil {
		opts.Kinds = AllKinds
	}
	if opts.PageSize <= 0 {
		opts.PageSize = 500
	}
	kinds, err := liveKinds(config)
	if err != nil {
		return nil, fmt.Errorf("read cluster: %w", err)
	}
	v := &View{}
	var missing []string
	for _, kind := range AllKinds {
		if !slices.Contains(opts.Kinds, kind) {
			continue
		}
		k := kinds[kind]
		p := pager.New(k.list)
		p.PageSize = opts.PageSize
		err := p.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
			return v.addLive(kind, object)
		})
		switch {
		case apierrors.IsForbidden(err):
			missing = append(missing, k.GroupResource.String())
		case k.optional && apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("read cluster: list %s: %w", k.GroupResource, err)
		}
	}
	if missing != nil {
		return nil, &ForbiddenError{missing}
	}
	v.sort()
	return v, nil
}

func liveKinds(config *rest.Config) (map[Kind]liveKind, error) {
	config = rest.CopyConfig(config)
	if config.QPS == 0 { // a big cluster has many pages, which one reader asks for one by one
		config.QPS, config.Burst = 50, 100
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	rbac, err := rbacv1client.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	core, err := corev1client.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	custom, err := dynamic.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	guards := v1alpha1.SchemeGroupVersion.WithResource("guards")
	return map[Kind]liveKind{
		Roles: {rbacv1.Resource("roles"), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return rbac.Roles("").List(ctx, o)
		}, false},
		RoleBindings: {rbacv1.Resource("rolebindings"), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return rbac.RoleBindings("").List(ctx, o)
		}, false},
		ClusterRoles: {rbacv1.Resource("clusterroles"), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return rbac.ClusterRoles().List(ctx, o)
		}, false},
		ClusterRoleBindings: {rbacv1.Resource("clusterrolebindings"), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return rbac.ClusterRoleBindings().List(ctx, o)
		}, false},
		Guards: {guards.GroupResource(), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return custom.Resource(guards).List(ctx, o)
		}, true},
		Namespaces: {corev1.Resource("namespaces"), func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.Namespaces().List(ctx, o)
		}, false},
	}, nil
}

// addLive puts an object of a list into the View.
func (v *View) addLive(kind Kind, object runtime.Object) error {
	if raw, ok := object.(*unstructured.Unstructured); ok {
		g := &v1alpha1.Guard{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw.Object, g); err != nil {
			return fmt.Errorf("read Guard %q: %w", raw.GetName(), err)
		}
		object = g
	}
	o, ok := object.(metav1.Object)
	if !ok {
		return errors.New("the answer is no list of " + string(kind))
	}
	o.SetManagedFields(nil)
	v.add(o, gate.Source{Kind: string(kind), Namespace: o.GetNamespace(), Name: o.GetName()}, nil)
	return nil
}
