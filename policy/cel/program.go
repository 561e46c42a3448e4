package cel

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Program is rules, compiled. It is safe for concurrent use and does not change.
type Program struct {
	validator validating.Validator
	// plain is nil where the validator is always asked.
	plain *plain
	// budget is what one evaluation may cost.
	budget int64
	reads  reads
}

// Decision is what is wrong with a request.
type Decision struct {
	// Index is that of the validation. Where the rules failed before any was asked
	// there is one decision, with index 0.
	Index int
	// Message is that of the validation; of one that failed to be evaluated, why.
	Message string
	// Reason is the validation's. Default: Invalid.
	Reason metav1.StatusReason
	// Failed says that it could not be evaluated: the failure policy decides.
	Failed bool
	// Ignored says that it failed and the failure policy is Ignore: it refuses
	// nothing.
	Ignored bool
}

// Evaluate says what is wrong with a request; nothing where all validations hold or a
// match condition does not. params is nil for none, and must not change; namespace
// is that of the request, nil for none. Every call has the whole cost budget of a
// policy in an API server, and ends early when ctx does.
func (p *Program) Evaluate(ctx context.Context, r *policy.Request, params map[string]any, namespace *corev1.Namespace) []Decision {
	if params == nil {
		return p.evaluate(ctx, r, nil, namespace)
	}
	return p.evaluate(ctx, r, newParam(params), namespace)
}

// evaluate takes nil, and no nil pointer, for no params.
func (p *Program) evaluate(ctx context.Context, r *policy.Request, given runtime.Object, namespace *corev1.Namespace) []Decision {
	view, err := viewOf(ctx, r)
	if err != nil {
		return []Decision{{Message: err.Error(), Reason: metav1.StatusReasonInvalid, Failed: true}}
	}
	said := p.validate(ctx, view, view.asRequested(), r.GetResource(), given, namespace)
	var decisions []Decision
	for i := range said.Decisions {
		d := &said.Decisions[i]
		if d.Evaluation == validating.EvalAdmit {
			continue
		}
		decision := Decision{Index: i, Message: d.Message, Reason: d.Reason,
			Failed: d.Evaluation == validating.EvalError, Ignored: d.Action == validating.ActionAdmit}
		if decision.Reason == "" {
			decision.Reason = metav1.StatusReasonInvalid
		}
		decisions = append(decisions, decision)
	}
	return decisions
}
