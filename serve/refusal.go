package serve

import (
	"context"
	"strings"

	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// missesAnnotation is the key under which the audit event of a refused request
// says what the requester holds that came nearest. It stays out of the response:
// which roles and bindings there are is nobody's to learn by being refused.
const missesAnnotation = "gatehouse.io/authorization-misses"

// refusalsExplained is the chain as the server's own filter asks it, once a
// request.
type refusalsExplained struct{ *authorizerChain }

// Authorize implements authorizer.Authorizer.
func (r refusalsExplained) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	decision, reason, err := r.authorizerChain.Authorize(ctx, a)
	if decision != authorizer.DecisionAllow && r.rbac != nil && audit.AuditContextFrom(ctx).Enabled() {
		var near []string
		for _, m := range r.rbac.NearestMisses(a) {
			var sources []string
			for _, s := range m.Sources {
				sources = append(sources, s.String())
			}
			near = append(near, strings.Join(sources, ", ")+" lacks "+m.Lacks)
		}
		if len(near) > 0 {
			audit.AddAuditAnnotation(ctx, missesAnnotation, strings.Join(near, "; "))
		}
	}
	return decision, reason, err
}
