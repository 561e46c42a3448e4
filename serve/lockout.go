package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/apis/authentication"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
)

// authorizationChecks are what admission plugins ask of other gates. The plugins
// are made before those are; nothing is admitted in between.
type authorizationChecks struct {
	policies policyGate
	chain    atomic.Pointer[authorizerChain]
	kinds    atomic.Pointer[kindInformers]
}

var errNotBuilt = errors.New("the authorizers are not built yet")

func (c *authorizationChecks) compileGuard(g *v1alpha1.Guard) error {
	chain := c.chain.Load()
	if chain == nil {
		return errNotBuilt
	}
	return chain.guards.Check(g)
}

// lockOut judges a Guard against those that are stored, and not against those an
// informer has heard of: two that lock out together may come one after the other.
func (c *authorizationChecks) lockOut(g *v1alpha1.Guard) error {
	chain, kinds := c.chain.Load(), c.kinds.Load()
	if chain == nil || kinds == nil {
		return errNotBuilt
	}
	holders, err := chain.guardDeleters()
	if err != nil {
		return fmt.Errorf("find who may delete Guards: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stored, err := kinds.client.Resource(guards).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list Guards: %w", err)
	}
	all := make([]v1alpha1.Guard, len(stored.Items))
	for i := range stored.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Items[i].Object, &all[i]); err != nil {
			return fmt.Errorf("read Guard %s: %w", stored.Items[i].GetName(), err)
		}
	}
	return guard.LockOut(g, all, holders)
}

// guardDeleters are the people who may delete Guards for good. The accounts of
// controllers are left out, for nobody acts as them.
func (c *authorizerChain) guardDeleters() ([]guard.Holder, error) {
	var holders []guard.Holder
	if c.systemMasters {
		holders = append(holders, guard.Holder{Kind: rbacv1.GroupKind, Name: user.SystemPrivilegedGroup})
	}
	if c.rbac == nil {
		// The authorizers that are there list nobody: somebody who is known is let.
		return append(holders, guard.Holder{Kind: rbacv1.GroupKind, Name: user.AllAuthenticated}), nil
	}
	deletion := authorizer.AttributesRecord{Verb: "delete", APIGroup: guards.Group, APIVersion: guards.Version, Resource: guards.Resource, ResourceRequest: true}
	for next := ""; ; {
		found, err := c.rbac.WhoCan(deletion, rbac.WhoCanOptions{Limit: 5000, Continue: next})
		if err != nil {
			return nil, err
		}
		for _, h := range found.Holders {
			if h.ExpiresAt == nil && !strings.HasPrefix(h.Binding.Name, "system:controller:") {
				holders = append(holders, guard.Holder{Kind: h.Subject.Kind, Namespace: h.Subject.Namespace, Name: h.Subject.Name})
			}
		}
		if next = found.Continue; next == "" {
			return holders, nil
		}
	}
}

// accessEnds says when the last permission for a request ends; the zero time where
// it does not.
func (c *authorizationChecks) accessEnds(ctx context.Context, a authorizer.Attributes) time.Time {
	chain := c.chain.Load()
	if chain == nil || chain.rbac == nil || chain.isLoopback(a.GetUser()) {
		return time.Time{}
	}
	end, allowed := chain.rbac.Until(a)
	if !allowed || end.IsZero() {
		return time.Time{}
	}
	// Only a grant allows it in RBAC; another authorizer may do so for good.
	for _, part := range chain.current.Load().parts {
		if part.Authorizer == authorizer.UnconditionalAuthorizer(chain.rbac) {
			continue
		}
		if decision, _, err := part.Authorizer.Authorize(ctx, a); err == nil && decision == authorizer.DecisionAllow {
			return time.Time{}
		}
	}
	return end
}

// endedGrant names a binding of u that is there and counts no longer.
func (c *authorizationChecks) endedGrant(u user.Info, namespace string) string {
	chain := c.chain.Load()
	if chain == nil || chain.rbac == nil || chain.isLoopback(u) {
		return ""
	}
	if binding, ok := chain.rbac.Ended(u, namespace); ok {
		return binding.String()
	}
	return ""
}

// tokenSeconds is the life that a TokenRequest asks for, in the internal type the
// chain passes.
func tokenSeconds(object runtime.Object) *int64 {
	if request, ok := object.(*authentication.TokenRequest); ok {
		return &request.Spec.ExpirationSeconds
	}
	return nil
}
