package attach

import (
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	authzreview "github.com/gatehouse-io/gatehouse/authz/review"
)

// attributesOf is what a review asks about, as an authorizer takes it. The review
// must be valid. A rawSelector is left out, as its documentation wants of webhooks:
// an API server sends requirements, and two readers of one text may disagree.
func attributesOf(spec *authorizationv1.SubjectAccessReviewSpec) *authorizer.AttributesRecord {
	if spec.ResourceAttributes == nil {
		return authzreview.AttributesOf(spec)
	}
	resource := *spec.ResourceAttributes
	if s := resource.FieldSelector; s != nil {
		resource.FieldSelector = &authorizationv1.FieldSelectorAttributes{Requirements: s.Requirements}
	}
	if s := resource.LabelSelector; s != nil {
		resource.LabelSelector = &authorizationv1.LabelSelectorAttributes{Requirements: s.Requirements}
	}
	parsed := *spec
	parsed.ResourceAttributes = &resource
	return authzreview.AttributesOf(&parsed)
}
