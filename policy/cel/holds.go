package cel

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	admissionmetrics "k8s.io/apiserver/pkg/admission/metrics"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"

	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Holds reports whether upstream's plugin for ValidatingAdmissionPolicies would let a
// request pass without a word: no refusal, no warning, nothing for the audit event. It
// may be false where the plugin would, and is never true where the plugin would not.
//
// It is for an API server that can ask the plugin where this is false. The request is
// that of the server: its Objects are set, its object is of the server's type, and no
// mutation of ours has replaced it. Policies see what the plugin shows them, converted
// by the same function.
//
// What only the plugin can say is not tried: a policy with params, which it reads by
// watches of its own; one that writes to the audit event; one that asks who may do what,
// for asking twice is two questions; and one with a fault, of its own or of a binding.
func Holds(ctx context.Context, set *policy.Set, r *policy.Request) (holds bool) {
	if r.Objects == nil || r.Replaced() {
		return false
	}
	any := false
	for one := range set.Validators(ctx, r) {
		if b, ok := one.(*validatingBinding); !ok || !b.vouches {
			return false
		}
		any = true
	}
	if !any {
		return true
	}
	defer func() {
		if p := recover(); p != nil {
			auditid.Log(ctx).Error(nil, "A policy panicked; upstream's plugin is asked", "panic", fmt.Sprintf("%T", p))
			holds = false
		}
	}()
	// Each evaluation makes a context below this one, and looks for the nearest that can
	// be cancelled: a server's is far up.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var v *view // where somebody must be asked
	if !set.Silent(ctx, r, func(one policy.Validator) bool {
		if v == nil {
			v = servedView(ctx, r)
		}
		return one.(*validatingBinding).holds(ctx, v)
	}) {
		return false
	}
	if v == nil {
		return ctx.Err() == nil
	}
	// What the plugin counts of a request that passes. Where one does not, the plugin is
	// asked, and counts all itself.
	for _, u := range v.unmatched {
		admissionmetrics.Metrics.ObserveMatchConditionEvaluationTime(ctx, u.took, u.policy, "policy", "validate", string(r.GetOperation()))
	}
	return ctx.Err() == nil
}

// holds is judge, where that has nothing to say.
func (b *validatingBinding) holds(ctx context.Context, v *view) bool {
	m, ok, err := b.matchesPolicy(v)
	v.settle(b.pair.policy, m, ok, b.server)
	if err != nil || !ok {
		return err == nil
	}
	as, ok, err := b.matchesBinding(v)
	v.settle(b.pair.binding, as, ok, b.server)
	if err != nil || !ok {
		return err == nil
	}
	versioned, err := v.as(m.kind, b.server)
	if err != nil {
		return false
	}
	namespace, err := v.namespace()
	if err != nil {
		return false
	}
	return b.of.program.holds(ctx, v, versioned, m.resource, nil, namespace)
}

// vouched reports whether Holds may speak for a policy.
func (p *validatingPolicy) vouched() bool {
	spec := &p.object.Spec
	if spec.ParamKind != nil || p.program.plain == nil {
		return false
	}
	asks := func(expression string) bool { return strings.Contains(expression, plugincel.AuthorizerVarName) }
	for _, c := range spec.MatchConditions {
		if asks(c.Expression) {
			return false
		}
	}
	for _, c := range spec.Variables {
		if asks(c.Expression) {
			return false
		}
	}
	for _, c := range spec.Validations {
		if asks(c.Expression) || asks(c.MessageExpression) {
			return false
		}
	}
	switch failure := spec.FailurePolicy; {
	case failure == nil, *failure == v1.Fail, *failure == v1.Ignore:
		return true
	}
	return false
}

// servedView is a request as the plugins of its server see it: with the objects that the
// server has.
func servedView(ctx context.Context, r *policy.Request) *view {
	v := &view{request: r, ctx: ctx, served: true, attributes: attributes{r.Attributes, r.Attributes.GetObject(), r.Attributes.GetOldObject()}}
	v.matcher = matching.NewMatcher(namespaces{v}, client{v: v})
	return v
}

// asServed is upstream's conversion.
func (v *view) asServed(kind schema.GroupVersionKind) (*admission.VersionedAttributes, error) {
	if found, ok := v.converted[kind]; ok {
		return found, nil
	}
	versioned, err := admission.NewVersionedAttributes(&v.attributes, kind, v.request.Objects)
	if err != nil {
		return nil, err
	}
	v.keep(kind, versioned)
	return versioned, nil
}
