package admission

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"
)

// TokenLifeName is the name the plugin is registered under.
const TokenLifeName = "TokenLife"

// TokenLife gives a service account token that is asked for no longer life than
// the access of who asks: with a grant of two hours nobody makes a token of a day.
type TokenLife struct {
	*admission.Handler
	// Until says when the last permission for a request ends; the zero time where
	// it does not.
	Until func(context.Context, authorizer.Attributes) time.Time
	// Seconds is the expirationSeconds of a TokenRequest, in whatever type the chain
	// passes it, or nil.
	Seconds func(runtime.Object) *int64
	Clock   clock.PassiveClock
}

var _ admission.MutationInterface = &TokenLife{}

// RegisterTokenLife makes the plugin known to a chain under TokenLifeName.
func RegisterTokenLife(plugins *admission.Plugins, until func(context.Context, authorizer.Attributes) time.Time, seconds func(runtime.Object) *int64) {
	plugins.Register(TokenLifeName, func(io.Reader) (admission.Interface, error) {
		return &TokenLife{admission.NewHandler(admission.Create), until, seconds, clock.RealClock{}}, nil
	})
}

const (
	// leastTokenSeconds is the shortest life upstream's validation allows.
	leastTokenSeconds = 600
	// extendedTokenSeconds is the life that kubelets ask for, and for which upstream
	// gives a year (pkg/serviceaccount, WarnOnlyBoundTokenExpirationPeriod).
	extendedTokenSeconds = 3607
)

// Admit implements admission.MutationInterface.
func (p *TokenLife) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if r := a.GetResource(); r.Group != "" || r.Resource != "serviceaccounts" || a.GetSubresource() != "token" {
		return nil
	}
	end := p.Until(ctx, authorizer.AttributesRecord{
		User: a.GetUserInfo(), Verb: "create", APIVersion: "v1", Resource: "serviceaccounts", Subresource: "token",
		Namespace: a.GetNamespace(), Name: a.GetName(), ResourceRequest: true,
	})
	if end.IsZero() {
		return nil
	}
	seconds := p.Seconds(a.GetObject())
	if seconds == nil {
		return admission.NewForbidden(a, fmt.Errorf("an object of type %T is no TokenRequest", a.GetObject()))
	}
	left := int64(end.Sub(p.Clock.Now()).Seconds())
	if left < leastTokenSeconds {
		return admission.NewForbidden(a, fmt.Errorf("your access ends at %s, sooner than the shortest token, of %d seconds", end.UTC().Format(time.RFC3339), leastTokenSeconds))
	}
	*seconds = min(*seconds, left)
	if *seconds == extendedTokenSeconds {
		*seconds--
	}
	return nil
}
