package guard

import (
	"context"
	"errors"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
)

// maxCondition is the longest condition in bytes, as in the CRD's schema.
const maxCondition = 10240

// condition is a compiled CEL expression over the request. nil is always true.
type condition struct {
	matcher authorizationcel.CELMatcher
}

func newCondition(compiler authorizationcel.Compiler, expression string) (*condition, error) {
	if len(expression) > maxCondition {
		return nil, fmt.Errorf("is %d bytes long, more than %d", len(expression), maxCondition)
	}
	result, err := compiler.CompileCELExpression(&authorizationcel.SubjectAccessReviewMatchCondition{Expression: expression})
	if err != nil {
		return nil, err
	}
	return &condition{authorizationcel.CELMatcher{
		CompilationResults: []authorizationcel.CompilationResult{result},
		UsesFieldSelector:  result.UsesFieldSelector,
		UsesLabelSelector:  result.UsesLabelSelector,
	}}, nil
}

// met evaluates the condition, within upstream's cost limit. A panic in the
// evaluator is a failure like others: a Guard that cannot be judged refuses.
func (c *condition) met(ctx context.Context, review *authorizationv1.SubjectAccessReview) (met bool, err error) {
	defer func() {
		if recover() != nil {
			met, err = false, errors.New("the evaluator panicked")
		}
	}()
	return c.matcher.Eval(ctx, review)
}

// reviewOf is the request as conditions see it: what upstream's authorization
// webhook is sent.
func reviewOf(a authorizer.Attributes) *authorizationv1.SubjectAccessReview {
	review := &authorizationv1.SubjectAccessReview{}
	if u := a.GetUser(); u != nil {
		review.Spec.User, review.Spec.UID, review.Spec.Groups = u.GetName(), u.GetUID(), u.GetGroups()
		review.Spec.Extra = make(map[string]authorizationv1.ExtraValue, len(u.GetExtra()))
		for key, values := range u.GetExtra() {
			review.Spec.Extra[key] = values
		}
	}
	if !a.IsResourceRequest() {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.GetPath(), Verb: a.GetVerb()}
		return review
	}
	attributes := &authorizationv1.ResourceAttributes{
		Namespace: a.GetNamespace(), Verb: a.GetVerb(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
		Resource: a.GetResource(), Subresource: a.GetSubresource(), Name: a.GetName(),
	}
	// A selector that cannot be parsed is left out: the request then looks wider
	// than it is, which is the safe way to look at it.
	if parsed, err := a.GetFieldSelector(); err == nil {
		if requirements := fieldRequirements(parsed); len(requirements) > 0 {
			attributes.FieldSelector = &authorizationv1.FieldSelectorAttributes{Requirements: requirements}
		}
	}
	if parsed, err := a.GetLabelSelector(); err == nil {
		if requirements := labelRequirements(parsed); len(requirements) > 0 {
			attributes.LabelSelector = &authorizationv1.LabelSelectorAttributes{Requirements: requirements}
		}
	}
	review.Spec.ResourceAttributes = attributes
	return review
}

func fieldRequirements(parsed fields.Requirements) []metav1.FieldSelectorRequirement {
	var out []metav1.FieldSelectorRequirement
	for _, r := range parsed {
		operator := metav1.FieldSelectorOpIn
		switch r.Operator {
		case selection.Equals, selection.DoubleEquals, selection.In:
		case selection.NotEquals, selection.NotIn:
			operator = metav1.FieldSelectorOpNotIn
		default:
			continue
		}
		out = append(out, metav1.FieldSelectorRequirement{Key: r.Field, Operator: operator, Values: []string{r.Value}})
	}
	return out
}

// labelOperators are those an access review can carry; upstream leaves the
// others out, and so does this package.
var labelOperators = map[selection.Operator]metav1.LabelSelectorOperator{
	selection.Equals:       metav1.LabelSelectorOpIn,
	selection.DoubleEquals: metav1.LabelSelectorOpIn,
	selection.In:           metav1.LabelSelectorOpIn,
	selection.NotEquals:    metav1.LabelSelectorOpNotIn,
	selection.NotIn:        metav1.LabelSelectorOpNotIn,
	selection.Exists:       metav1.LabelSelectorOpExists,
	selection.DoesNotExist: metav1.LabelSelectorOpDoesNotExist,
}

func labelRequirements(parsed labels.Requirements) []metav1.LabelSelectorRequirement {
	var out []metav1.LabelSelectorRequirement
	for _, r := range parsed {
		operator, ok := labelOperators[r.Operator()]
		if !ok {
			continue
		}
		requirement := metav1.LabelSelectorRequirement{Key: r.Key(), Operator: operator}
		if values := r.ValuesUnsorted(); len(values) > 0 {
			requirement.Values = values
		}
		out = append(out, requirement)
	}
	return out
}
