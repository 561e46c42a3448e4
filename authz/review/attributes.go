package review

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// AttributesOf is what an access review asks about, as an authorizer takes it, by
// upstream's reading (pkg/registry/authorization/util). The review must be valid.
//
// Selectors that cannot be understood are left out, with an error in their place:
// they only narrow, so what is left asks for more and never for less.
func AttributesOf(spec *authorizationv1.SubjectAccessReviewSpec) *authorizer.AttributesRecord {
	who := &user.DefaultInfo{Name: spec.User, UID: spec.UID, Groups: spec.Groups}
	if spec.Extra != nil {
		who.Extra = make(map[string][]string, len(spec.Extra))
		for key, values := range spec.Extra {
			who.Extra[key] = values
		}
	}
	if path := spec.NonResourceAttributes; path != nil {
		return &authorizer.AttributesRecord{User: who, Verb: path.Verb, Path: path.Path}
	}
	r := spec.ResourceAttributes
	a := &authorizer.AttributesRecord{
		User: who, Verb: r.Verb, ResourceRequest: true,
		Namespace: r.Namespace, APIGroup: r.Group, APIVersion: r.Version,
		Resource: r.Resource, Subresource: r.Subresource, Name: r.Name,
	}
	if a.APIVersion == "" {
		a.APIVersion = "*"
	}
	if s := r.FieldSelector; s != nil && len(s.Requirements) > 0 {
		a.FieldSelectorRequirements, a.FieldSelectorParsingErr = fieldRequirements(s.Requirements)
	} else if s != nil && s.RawSelector != "" {
		if parsed, err := fields.ParseSelector(s.RawSelector); err != nil {
			a.FieldSelectorParsingErr = err
		} else {
			a.FieldSelectorRequirements = parsed.Requirements()
		}
	}
	if s := r.LabelSelector; s != nil && len(s.Requirements) > 0 {
		a.LabelSelectorRequirements, a.LabelSelectorParsingErr = labelRequirements(s.Requirements)
	} else if s != nil && s.RawSelector != "" {
		if parsed, err := labels.Parse(s.RawSelector); err != nil {
			a.LabelSelectorParsingErr = err
		} else {
			a.LabelSelectorRequirements, _ = parsed.Requirements()
		}
	}
	return a
}

// fieldRequirements understands what field selectors can say today: that a field
// equals one value, or does not.
func fieldRequirements(given []metav1.FieldSelectorRequirement) (fields.Requirements, error) {
	var all fields.Requirements
	var errs []error
	for i, r := range given {
		operator, ok := map[metav1.FieldSelectorOperator]selection.Operator{
			metav1.FieldSelectorOpIn:    selection.Equals,
			metav1.FieldSelectorOpNotIn: selection.NotEquals,
		}[r.Operator]
		if !ok || len(r.Values) != 1 {
			errs = append(errs, fmt.Errorf("requirement %d: want In or NotIn with one value, have %q with %d", i, r.Operator, len(r.Values)))
			continue
		}
		all = append(all, fields.Requirement{Field: r.Key, Operator: operator, Value: r.Values[0]})
	}
	return all, utilerrors.NewAggregate(errs)
}

func labelRequirements(given []metav1.LabelSelectorRequirement) (labels.Requirements, error) {
	var all labels.Requirements
	var errs []error
	for i, r := range given {
		operator, ok := map[metav1.LabelSelectorOperator]selection.Operator{
			metav1.LabelSelectorOpIn:           selection.In,
			metav1.LabelSelectorOpNotIn:        selection.NotIn,
			metav1.LabelSelectorOpExists:       selection.Exists,
			metav1.LabelSelectorOpDoesNotExist: selection.DoesNotExist,
		}[r.Operator]
		if !ok {
			errs = append(errs, fmt.Errorf("requirement %d: operator %q is not known", i, r.Operator))
			continue
		}
		var values []string
		if len(r.Values) > 0 {
			values = r.Values
		}
		requirement, err := labels.NewRequirement(r.Key, operator, values)
		if err != nil {
			errs = append(errs, fmt.Errorf("requirement %d: %w", i, err))
			continue
		}
		all = append(all, *requirement)
	}
	return all, utilerrors.NewAggregate(errs)
}
