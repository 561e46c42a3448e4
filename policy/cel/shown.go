package cel

import (
	"context"
	"strings"

	"github.com/google/cel-go/common/types/ref"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
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
	values    map[string]any
	// anyObject is the variable of all templates.
	anyObject computed
}

// show is the values for policies that match a request as a resource.
func (v *view) show(versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, namespace *corev1.Namespace) (map[string]any, error) {
	if s := &v.shown; s.values != nil && s.versioned == versioned && s.resource == resource && s.namespace == namespace {
		return s.values, nil
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
	values := map[string]any{
		plugincel.ObjectVarName: object, plugincel.OldObjectVarName: old,
		plugincel.RequestVarName:   common.SchemalessTypedToVal(request),
		plugincel.NamespaceVarName: common.SchemalessTypedToVal(plugincel.CreateNamespaceObject(namespace)),
	}
	if v.authorizer != nil {
		values[plugincel.AuthorizerVarName] = library.NewAuthorizerVal(versioned.GetUserInfo(), v.authorizer)
		values[plugincel.RequestResourceAuthorizerVarName] = library.NewResourceAuthorizerVal(versioned.GetUserInfo(), v.authorizer, versioned)
	}
	v.shown = shown{versioned: versioned, resource: resource, namespace: namespace, values: values}
	return values, nil
}

// plain are rules that can be found to hold without upstream's validator: they write
// nothing. What does not hold is the validator's to say.
type plain struct {
	matcher     matchconditions.Matcher // nil: there are no conditions
	validations []plugincel.CompilationResult
	// variables are those of the rules; nil where they have none.
	variables *variableSet
	// reserve is what the message expressions may cost. Upstream evaluates them even
	// where nothing needs them, and fails a validation when they exceed the budget.
	reserve int64
}

// newPlain is nil where the rules are not plain.
func newPlain(rules *Rules, matcher matchconditions.Matcher, validations []plugincel.CompilationResult, variables *variableSet) *plain {
	if len(rules.AuditAnnotations) > 0 {
		return nil
	}
	p := &plain{matcher: matcher, validations: validations, variables: variables}
	for i := range rules.Validations {
		if rules.Validations[i].MessageExpression != "" {
			p.reserve += 2 * celconfig.PerCallLimit // one ends a little above its limit
		}
		if p.variables == nil && strings.Contains(rules.Validations[i].Expression, plugincel.VariableVarName) || validations[i].Error != nil || validations[i].Program == nil {
			return nil
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
	if p.matcher != nil {
		match := p.matcher.Match(ctx, versioned, params, v.authorizer)
		if match.Error != nil {
			return false
		}
		if !match.Matches {
			return true
		}
	}
	values, err := v.show(versioned, resource, namespace)
	if err != nil {
		return false
	}
	values[plugincel.ParamsVarName] = nil
	constraint, _ := params.(*param)
	switch {
	case constraint != nil && constraint.value != nil:
		values[plugincel.ParamsVarName] = constraint.value
	case params != nil:
		values[plugincel.ParamsVarName] = common.SchemalessTypedToVal(params)
	}
	var seen *variables
	if p.variables != nil {
		seen = &variables{of: p.variables, ctx: ctx, given: values, shown: &v.shown, param: constraint, known: make([]ref.Val, len(p.variables.results))}
		values[plugincel.VariableVarName] = seen
		defer delete(values, plugincel.VariableVarName)
	}
	for i := range p.validations {
		result, details, err := p.validations[i].Program.ContextEval(ctx, values)
		if seen != nil {
			if budget -= seen.takeCost(); budget < 0 {
				return false
			}
		}
		if err != nil || result == nil || result.Value() != true || details == nil {
			return false
		}
		cost := details.ActualCost()
		if cost == nil || *cost > uint64(budget) {
			return false
		}
		budget -= int64(*cost)
	}
	return budget >= p.reserve && ctx.Err() == nil
}

// validate is upstream's Validate, which is asked only where something may be wrong.
func (p *Program) validate(ctx context.Context, v *view, versioned *admission.VersionedAttributes, resource schema.GroupVersionResource, params runtime.Object, namespace *corev1.Namespace) validating.ValidateResult {
	if p.plain.holds(ctx, v, versioned, resource, params, namespace, p.budget) {
		return validating.ValidateResult{}
	}
	return p.validator.Validate(ctx, resource, versioned, params, namespace, p.budget, v.authorizer)
}
