package cel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// validatingPolicy is a ValidatingAdmissionPolicy, compiled.
type validatingPolicy struct {
	object   *v1.ValidatingAdmissionPolicy
	source   gate.Source
	program  *Program
	criteria *criteria
}

// validatingBinding is a ValidatingAdmissionPolicy as one binding has it.
type validatingBinding struct {
	pair
	of        *validatingPolicy
	object    *v1.ValidatingAdmissionPolicyBinding
	params    params
	actions   []policy.Action
	sources   []gate.Source // the binding, the policy
	selectors []policy.Selector
	// vouches says that Holds may speak for it.
	vouches bool
}

var (
	_ policy.Compound = &validatingBinding{}
	_ policy.Reader   = &validatingBinding{}
)

// Details is what a Result of a ValidatingAdmissionPolicy has for machines: what
// upstream writes to the audit event.
type Details struct {
	Policy, Binding string
	// Expression is the index of the validation.
	Expression int
	Actions    []v1.ValidationAction
	// bare says that the error itself is the answer: the namespace cannot be had.
	bare bool
}

// Denial is a refusal as upstream words it.
func (d *Details) Denial(message string) string {
	if d.Binding == "" {
		return fmt.Sprintf("ValidatingAdmissionPolicy '%s' denied request: %s", d.Policy, message)
	}
	return fmt.Sprintf("ValidatingAdmissionPolicy '%s' with binding '%s' denied request: %s", d.Policy, d.Binding, message)
}

// Refusal is the error that upstream's plugin answers with.
func (d *Details) Refusal(a admission.Attributes, of *policy.Result) error {
	if d.bare {
		return of.Err
	}
	message := d.Denial(of.Message)
	refused, ok := admission.NewForbidden(a, errors.New(message)).(*apierrors.StatusError)
	if !ok {
		return errors.New(message)
	}
	refused.ErrStatus.Reason, refused.ErrStatus.Code = of.Reason, http.StatusUnprocessableEntity
	if code, ok := codes[of.Reason]; ok {
		refused.ErrStatus.Code = code
	}
	refused.ErrStatus.Details.Causes = append(refused.ErrStatus.Details.Causes, metav1.StatusCause{Message: message})
	return refused
}

// codes of the reasons that a validation may state; of others it is that of Invalid.
var codes = map[metav1.StatusReason]int32{
	metav1.StatusReasonForbidden: http.StatusForbidden, metav1.StatusReasonUnauthorized: http.StatusUnauthorized,
	metav1.StatusReasonRequestEntityTooLarge: http.StatusRequestEntityTooLarge,
}

// Warning is one as upstream words it.
func (d *Details) Warning(message string) string {
	return fmt.Sprintf("Validation failed for ValidatingAdmissionPolicy '%s' with binding '%s': %s", d.Policy, d.Binding, message)
}

func (b *validatingBinding) Source() gate.Source          { return b.sources[0] }
func (b *validatingBinding) Selectors() []policy.Selector { return b.selectors }

// Sources implements policy.Compound.
func (b *validatingBinding) Sources() []gate.Source { return b.sources }

// Lookups implements policy.Compound.
func (b *validatingBinding) Lookups() []schema.GroupVersionKind {
	if b.params.kind == nil || b.params.err != nil {
		return nil
	}
	return []schema.GroupVersionKind{b.params.gvk}
}

// Validate implements policy.Validator.
func (b *validatingBinding) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	results, annotations := b.judge(ctx, r, nil)
	return b.of.annotate(results, annotations)
}

// judge is upstream's Dispatch for one binding. It adds to annotations.
func (b *validatingBinding) judge(ctx context.Context, r *policy.Request, annotations annotations) ([]policy.Result, annotations) {
	v, err := viewOf(ctx, r)
	if err != nil {
		return b.misconfigured("binding", err), annotations
	}
	// In upstream's order: what is wrong with the policy refuses whatever its bindings
	// match, and a namespace that is not there whatever the params.
	m, ok, err := b.matchesPolicy(v)
	v.settle(b.pair.policy, m, ok, b.server)
	if err != nil {
		return b.misconfigured("policy", err), annotations
	}
	if !ok {
		return nil, annotations
	}
	scope, err := b.params.scope(ctx, r.Cluster)
	if err != nil {
		return b.misconfigured("policy", err), annotations
	}
	as, ok, err := b.matchesBinding(v)
	v.settle(b.pair.binding, as, ok, b.server)
	if err != nil {
		return b.misconfigured("binding", err), annotations
	}
	if !ok {
		return nil, annotations
	}
	given, err := b.params.collect(ctx, r, scope)
	if err != nil {
		return b.misconfigured("binding", err), annotations
	}
	var versioned *admission.VersionedAttributes
	if len(given) > 0 {
		if versioned, err = v.as(m.kind, b.server); err != nil {
			return b.misconfigured("binding", err), annotations
		}
	}
	namespace, err := v.namespace()
	if err != nil {
		return []policy.Result{{Actions: refuse, Message: err.Error(), Reason: apierrors.ReasonForError(err), Err: err, Sources: b.sources,
			Details: &Details{Policy: b.of.object.Name, Binding: b.object.Name, bare: true}}}, annotations
	}
	var results []policy.Result
	for _, one := range given {
		said := b.of.program.validate(ctx, v, versioned, m.resource, one, namespace)
		for i := range said.Decisions {
			if d := &said.Decisions[i]; d.Evaluation != validating.EvalAdmit {
				results = append(results, b.result(i, d))
			}
		}
		for i := range said.AuditAnnotations {
			switch a := &said.AuditAnnotations[i]; a.Action {
			case validating.AuditAnnotationActionPublish:
				annotations = annotations.add(a.Key, a.Value)
			case validating.AuditAnnotationActionError:
				// Whatever the binding's actions: upstream refuses.
				results = append(results, policy.Result{Actions: refuse, Message: a.Error, Reason: metav1.StatusReasonInvalid, Err: evaluationError(a.Error),
					Sources: b.sources, Details: &Details{Policy: b.of.object.Name, Binding: b.object.Name}})
			}
		}
	}
	return results, annotations
}

// refuse is what becomes of a failure that no binding's actions are asked about.
var refuse = []policy.Action{policy.Deny}

// evaluationError is why an expression has no answer.
type evaluationError string

func (e evaluationError) Error() string { return string(e) }

func (b *validatingBinding) result(index int, d *validating.PolicyDecision) policy.Result {
	result := policy.Result{Message: d.Message, Reason: d.Reason, Sources: b.sources,
		Details: &Details{Policy: b.of.object.Name, Binding: b.object.Name, Expression: index, Actions: b.object.Spec.ValidationActions}}
	if result.Reason == "" {
		result.Reason = metav1.StatusReasonInvalid
	}
	if d.Evaluation == validating.EvalError {
		result.Err = evaluationError(d.Message)
	}
	if d.Action == validating.ActionDeny {
		result.Actions = b.actions
	}
	return result
}

// misconfigured is upstream's answer where the policy or the binding cannot be used.
func (b *validatingBinding) misconfigured(what string, err error) []policy.Result {
	result := policy.Result{Err: err, Sources: b.sources, Reason: metav1.StatusReasonInvalid}
	details := &Details{Policy: b.of.object.Name}
	if what == "binding" {
		details.Binding = b.object.Name
	}
	result.Details = details
	switch failure := b.of.object.Spec.FailurePolicy; {
	case failure == nil || *failure == v1.Fail:
		result.Actions, result.Message = refuse, fmt.Sprintf("failed to configure %s: %v", what, err)
	case *failure != v1.Ignore:
		result.Actions, result.Message = refuse, fmt.Sprintf("unrecognized failure policy: '%v'", *failure)
	}
	return []policy.Result{result}
}

// namespace is what CEL is given as namespaceObject; nil for what is in none, and for
// a Namespace itself.
func (v *view) namespace() (*corev1.Namespace, error) {
	kind := v.attributes.GetKind()
	name := v.attributes.GetNamespace()
	if name == "" || kind.Group == "" && kind.Version == "v1" && kind.Kind == "Namespace" {
		return nil, nil
	}
	if v.in == nil {
		n, err := v.matcher.GetNamespace(v.ctx, name)
		v.in = &inNamespace{n, err}
	}
	return v.in.namespace, v.in.err
}

// inNamespace is what is known of the namespace of a request.
type inNamespace struct {
	namespace *corev1.Namespace
	err       error
}

// annotations are those of one policy for the audit event: a key's distinct values.
type annotations map[string][]string

// longest is how many bytes a value may have, as upstream has it.
const longest = 10 * 1024

func (a annotations) add(key, value string) annotations {
	if len(value) > longest {
		value = value[:longest]
	}
	if a == nil {
		a = annotations{}
	}
	if !slices.Contains(a[key], value) {
		a[key] = append(a[key], value)
	}
	return a
}

// annotate adds a Result with the annotations, if there are any.
func (p *validatingPolicy) annotate(results []policy.Result, of annotations) []policy.Result {
	if len(of) == 0 {
		return results
	}
	all := make(map[string]string, len(of))
	for key, values := range of {
		all[p.object.Name+"/"+key] = strings.Join(values, ", ")
	}
	return append(results, policy.Result{Annotations: all, Sources: []gate.Source{p.source}})
}

// annotatedBinding is one of several bindings of a policy that writes to the audit
// event: what they write is told together.
type annotatedBinding struct{ *validatingBinding }

var _ policy.Batcher = annotatedBinding{}

// Batch is one for the bindings of a policy.
func (b annotatedBinding) Batch() any { return b.of }

// ValidateAll implements policy.Batcher.
func (b annotatedBinding) ValidateAll(ctx context.Context, r *policy.Request, policies []policy.Validator) [][]policy.Result {
	all := make([][]policy.Result, len(policies))
	var together annotations
	for i, one := range policies {
		all[i], together = one.(annotatedBinding).judge(ctx, r, together)
	}
	all[0] = b.of.annotate(all[0], together)
	return all
}

func actionsOf(stated []v1.ValidationAction) ([]policy.Action, error) {
	var all []policy.Action
	for _, one := range stated {
		switch one {
		case v1.Deny:
			all = append(all, policy.Deny)
		case v1.Warn:
			all = append(all, policy.Warn)
		case v1.Audit:
			all = append(all, policy.Audit)
		default:
			return all, fmt.Errorf("the action %q is none of Deny, Warn and Audit", one)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it has no validationActions, and so does nothing")
	}
	return all, nil
}
