package attach

import (
	"context"
	"fmt"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/union"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/grant"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// newAuthorizer builds what /authorize asks: the Guards, then the RBAC index, over
// the cluster's own objects. The checks hold once these have been read. Until ctx
// ends it also takes away grants that have ended, which is what ends the access
// where the cluster's own RBAC decides, and reports on Guards.
func newAuthorizer(ctx context.Context, client kubernetes.Interface, objects dynamic.Interface, m *instruments) (authorizer.Authorizer, *rbac.Index, []Check, error) {
	typed := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(cluster.WithoutManagedFields))
	index := rbac.New(rbac.Options{})
	read, err := index.Watch(ctx, typed.Rbac().V1())
	if err != nil {
		return nil, nil, nil, err
	}
	namespaces := typed.Core().V1().Namespaces()
	guards := guard.New(guard.Options{Namespaces: guard.ListedNamespaces(namespaces.Lister())})
	own := dynamicinformer.NewDynamicSharedInformerFactory(objects, 0)
	resource := v1alpha1.SchemeGroupVersion.WithResource("guards")
	if err := guards.Follow(own.ForResource(resource).Informer()); err != nil {
		return nil, nil, nil, err
	}
	status, err := guard.NewReporter(guards, objects.Resource(resource), own.ForResource(resource).Informer())
	if err != nil {
		return nil, nil, nil, err
	}
	grants, err := grant.New(client, typed.Rbac().V1(), grant.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	decide, err := union.New(
		union.NamedAuthorizer{AuthorizerName: "gatehouse.io/guard", Authorizer: guards},
		union.NamedAuthorizer{AuthorizerName: "RBAC", Authorizer: index},
	)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("join authorizers: %w", err)
	}
	m.ofAuthorizer(guards, index)
	checks := []Check{
		synced("rbac", "the roles and their bindings", read),
		synced("guards", "the Guards", guards.HasSynced),
		synced("namespaces", "the namespaces", namespaces.Informer().HasSynced),
	}
	typed.Start(ctx.Done())
	own.Start(ctx.Done())
	// Each replica does both: what one has done the others find done.
	go status.Run(ctx)
	go grants.Run(ctx)
	return decide, index, checks, nil
}
