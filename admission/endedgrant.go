package admission

import (
	"context"
	"fmt"
	"io"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
)

// EndedGrantName is the name the plugin is registered under.
const EndedGrantName = "EndedGrant"

// EndedGrant refuses changes to RBAC objects by somebody who has a grant that has
// ended and is still stored. Upstream's storage asks what they may hand on with a
// resolver that knows no end (pkg/registry/rbac/validation), and would count it.
type EndedGrant struct {
	*admission.Handler
	// Ended names a binding of the user that counts no longer, in the cluster or in
	// a namespace; empty where there is none.
	Ended func(u user.Info, namespace string) string
}

var _ admission.ValidationInterface = &EndedGrant{}

// RegisterEndedGrant makes the plugin known to a chain under EndedGrantName.
func RegisterEndedGrant(plugins *admission.Plugins, ended func(user.Info, string) string) {
	plugins.Register(EndedGrantName, func(io.Reader) (admission.Interface, error) {
		return &EndedGrant{admission.NewHandler(admission.Create, admission.Update), ended}, nil
	})
}

// Validate implements admission.ValidationInterface.
func (p *EndedGrant) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().Group != "rbac.authorization.k8s.io" {
		return nil
	}
	if binding := p.Ended(a.GetUserInfo(), a.GetNamespace()); binding != "" {
		return admission.NewForbidden(a, fmt.Errorf("%s, a grant of yours, has ended and is not taken away yet; try again when it is", binding))
	}
	return nil
}
