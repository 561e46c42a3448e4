package cel

import (
	"context"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/library"
)

// shown is what expressions see of a request in one version, made once for all
// policies: upstream makes it for each, which costs more than most expressions.
type shown struct {
	versioned *admission.VersionedAttributes
	resource  schema.GroupVersionResource
	namespace *corev1.Namespace
	values    *values
	// anyObject is the variable of all templates.
	anyObject computed
}

// values are what expressions can name. Those of one evaluation, its params and
// variables, are set before it begins.
type values struct {
	object, old                ref.Val // nil for none
	request, namespace, params any
	// authorizer and resourceAuthorizer are nil where there is nobody to ask.
	authorizer, resourceAuthorizer any
	// variables is nil where the rules have none.
	variables *variables
}

var _ interpreter.Activation = &values{}

// ResolveName implements interpreter.Activation, as upstream's does.
func (v *values) ResolveName(name string) (any, bool) {
	switch name {
	case plugincel.ObjectVarName:
		return v.object, true
	case plugincel.OldObjectVarName:
		return v.old, true
	case plugincel.ParamsVarName:
		return v.params, true // they may be null
	case plugincel.RequestVarName:
		return v.request, true
	case plugincel.NamespaceVarName:
		return v.namespace, true
	case plugincel.AuthorizerVarName:
		return v.authorizer, v.authorizer != nil
	case plugincel.RequestResourceAuthorizerVarName:
		return v.resourceAuthorizer, v.resourceAuthorizer != nil
	case plugincel.VariableVarName:
		return v.variables, v.variables != nil
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (v *values) Parent() interpreter.Activation { return nil }

// show is the values for policies that match a request as a resource.
func (v *view) show(in *shown, versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, namespace *corev1.Namespace) (*values, error) {
	if in.values != nil && in.versioned == versioned && in.resource == resource && in.namespace == namespace {
		return in.values, nil
	}
	//lint:ignore SA1019 upstream's validator sets it, and the values are shared with it
	versioned.VersionedObject.UseSchemalessTypeRef = true
	//lint:ignore SA1019 as above
	versioned.VersionedOldObject.UseSchemalessTypeRef = true
	old, err := versioned.VersionedOldObject.CELValue()
	if err != nil {
		return nil, err
	}
	object, err := versioned.VersionedObject.CELValue()
	if err != nil {
		return nil, err
	}
	request := plugincel.CreateAdmissionRequest(versioned.Attributes, metav1.GroupVersionResource(resource), metav1.GroupVersionKind(versioned.VersionedKind))
	seen := &values{object: treeOf(object), old: treeOf(old), request: common.SchemalessTypedToVal(request),
		namespace: common.SchemalessTypedToVal(plugincel.CreateNamespaceObject(namespace))}
	if v.authorizer != nil {
		seen.authorizer = library.NewAuthorizerVal(versioned.GetUserInfo(), v.authorizer)
		seen.resourceAuthorizer = library.NewResourceAuthorizerVal(versioned.GetUserInfo(), v.authorizer, versioned)
	}
	*in = shown{versioned: versioned, resource: resource, namespace: namespace, values: seen}
	return seen, nil
}

// plain are rules that can be found to hold without upstream's validator: they write
// nothing. What does not hold is the validator's to say.
type plain struct {
	// name is the policy's, for the metrics of its conditions.
	name string
	// conditions must all hold for the validations to be asked; validations must all
	// hold then.
	conditions, validations []plugincel.CompilationResult
	// variables are those of the rules; nil where they have none.
	variables *variableSet
	// reserve is what the message expressions may cost. Upstream evaluates them even
	// where nothing needs them, and fails a validation when they exceed the budget.
	reserve int64
}

// newPlain is nil where the rules are not plain.
func newPlain(rules *Rules, conditions, validations []plugincel.CompilationResult, variables *variableSet) *plain {
	if len(rules.AuditAnnotations) > 0 {
		return nil
	}
	p := &plain{name: rules.Name, conditions: conditions, validations: validations, variables: variables}
	for i := range rules.Validations {
		if rules.Validations[i].MessageExpression != "" {
			p.reserve += 2 * celconfig.PerCallLimit // one ends a little above its limit
		}
	}
	for _, of := range [][]plugincel.CompilationResult{conditions, validations} {
		for i := range of {
			if of[i].Error != nil || of[i].Program == nil || variables == nil && strings.Contains(of[i].ExpressionAccessor.GetExpression(), plugincel.VariableVarName) {
				return nil
			}
		}
	}
	return p
}

// holds reports whether nothing is wrong, or a match condition does not hold; where it
// is false the validator must be asked.
func (p *plain) holds(ctx context.Context, v *view, versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, params runtime.Object, namespace *corev1.Namespace, budget int64) bool {
	if p == nil {
		return false
	}
	if len(p.conditions) > 0 {
		began := time.Now()
		// Conditions see the request as it came, and no namespace.
		seen, err := v.show(&v.shownToConditions, versioned, versioned.GetResource(), nil)
		if err != nil {
			return false
		}
		all, _, ok := p.evaluate(ctx, v, &v.shownToConditions, seen, p.conditions, params, celconfig.RuntimeCELCostBudgetMatchConditions, true)
		if !ok {
			return false
		}
		if !all {
			v.unmatched = append(v.unmatched, unmatched{p.name, time.Since(began)})
			return true
		}
	}
	seen, err := v.show(&v.shown, versioned, resource, namespace)
	if err != nil {
		return false
	}
	all, left, ok := p.evaluate(ctx, v, &v.shown, seen, p.validations, params, budget, false)
	return ok && all && left >= p.reserve && ctx.Err() == nil
}

// evaluate reports whether all of some expressions are true, and what is left of the
// budget. ok is false where one has no answer; further says that those behind one that
// is false are evaluated too.
func (p *plain) evaluate(ctx context.Context, v *view, of *shown, seen *values, expressions []plugincel.CompilationResult, params runtime.Object, budget int64, further bool) (all bool, left int64, ok bool) {
	constraint, _ := params.(*param)
	switch {
	case constraint != nil && constraint.value != nil:
		seen.params = constraint.value
	case params != nil:
		seen.params = common.SchemalessTypedToVal(params)
	default:
		seen.params = nil
	}
	seen.variables = nil
	if p.variables != nil {
		seen.variables = &variables{of: p.variables, ctx: ctx, given: seen, shown: of, param: constraint, known: make([]ref.Val, len(p.variables.results))}
	}
	all = true
	for i := range expressions {
		frame, err := v.frameFor(ctx, seen)
		if err != nil {
			return false, budget, false
		}
		result, details, err := expressions[i].Program.Eval(frame)
		if seen.variables != nil {
			if budget -= seen.variables.takeCost(); budget < 0 {
				return false, budget, false
			}
		}
		if err != nil || result == nil || details == nil {
			return false, budget, false
		}
		cost := details.ActualCost()
		if cost == nil || *cost > uint64(budget) {
			return false, budget, false
		}
		budget -= int64(*cost)
		switch result {
		case types.True:
		case types.False:
			if all = false; !further {
				return false, budget, true
			}
		default:
			return false, budget, false
		}
	}
	return all, budget, true
}

// frameFor is what expressions are evaluated in: one for all that are about a request, since
// what ContextEval makes for each, with a context of its own, costs as much as a short
// expression.
func (v *view) frameFor(ctx context.Context, seen *values) (*interpreter.ExecutionFrame, error) {
	if v.frame == nil || v.frameOf != ctx {
		frame, err := interpreter.NewExecutionFrame(seen)
		if err != nil {
			return nil, err
		}
		if err := frame.SetContext(ctx, celconfig.CheckFrequency); err != nil {
			return nil, err
		}
		v.frame, v.frameOf = frame, ctx
	}
	v.frame.Activation = seen
	return v.frame, nil
}

// unmatched is a policy whose conditions did not hold, and how long that took.
type unmatched struct {
	policy string
	took   time.Duration
}

// validate is upstream's Validate, which is asked only where something may be wrong.
func (p *Program) validate(ctx context.Context, v *view, versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, params runtime.Object, namespace *corev1.Namespace) validating.ValidateResult {
	if p.holds(ctx, v, versioned, resource, params, namespace) {
		return validating.ValidateResult{}
	}
	if !p.reads.messages {
		v.request.Unsettle() // what messages cost may be why nothing is said
	} else {
		p.reads.settle(v, versioned)
	}
	return p.validator.Validate(ctx, resource, versioned, params, namespace, p.budget, v.authorizer)
}

// holds is that of plain rules.
func (p *Program) holds(ctx context.Context, v *view, versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, params runtime.Object, namespace *corev1.Namespace) bool {
	if !p.plain.holds(ctx, v, versioned, resource, params, namespace, p.budget) {
		return false
	}
	p.reads.settle(v, versioned)
	return true
}
