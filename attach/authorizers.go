package attach

import (
	"context"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/authz/rbac"
)

// newAuthorizer builds what /authorize asks, over the cluster's own objects. The
// checks hold once these have been read.
func newAuthorizer(ctx context.Context, client kubernetes.Interface) (authorizer.Authorizer, []Check, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	index := rbac.New(rbac.Options{})
	read, err := index.Watch(ctx, factory.Rbac().V1())
	if err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	return index, []Check{synced("rbac", "the roles and their bindings", read)}, nil
}

// once keeps a check from failing again after it has held: what has been read
// stays, and only grows newer.
func once(check func() error) func() error {
	var held atomic.Bool
	return func() error {
		if held.Load() {
			return nil
		}
		err := check()
		if err == nil {
			held.Store(true)
		}
		return err
	}
}
