package attach

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// Authorize is the endpoint /authorize: a SubjectAccessReview of
// authorization.k8s.io/v1, answered by an authorizer.
//
// An allow is allowed, a deny is denied with its reason, and no opinion is
// neither: the API server then asks its next authorizer, and refuses where there
// is none. An error is in evaluationError, and nothing is allowed with it.
func Authorize(a authorizer.UnconditionalAuthorizer) Endpoint {
	return Endpoint{Path: "/authorize", Answer: func(ctx context.Context, body []byte) (any, string, error) {
		review, err := decode[authorizationv1.SubjectAccessReview](body, "authorization.k8s.io/v1", "SubjectAccessReview",
			"set subjectAccessReviewVersion: v1 in the API server's AuthorizationConfiguration, or --authorization-webhook-version=v1")
		if err != nil {
			return nil, "", err
		}
		if err := validateAccessReview(&review.Spec); err != nil {
			return nil, "", err
		}
		attributes := attributesOf(&review.Spec)
		ctx, span := trace.Start(ctx, "authorization", "authorization")
		decision, reason, err := a.Authorize(span.Record(ctx), attributes)
		if err == nil {
			err = ctx.Err() // an authorizer that was cut short may know only part
		}
		if err != nil && decision == authorizer.DecisionAllow {
			decision = authorizer.DecisionNoOpinion
		}
		span.EndAuthorization(decision, reason, err)
		verdict := map[authorizer.Decision]string{
			authorizer.DecisionAllow:     "allowed",
			authorizer.DecisionDeny:      "denied",
			authorizer.DecisionNoOpinion: "no_opinion",
		}[decision]
		if err != nil && decision == authorizer.DecisionNoOpinion {
			verdict = "error"
		}
		return &authorizationv1.SubjectAccessReview{
			TypeMeta: review.TypeMeta,
			Status: authorizationv1.SubjectAccessReviewStatus{
				Allowed:         decision == authorizer.DecisionAllow,
				Denied:          decision == authorizer.DecisionDeny,
				Reason:          reason,
				EvaluationError: evaluationError(err, attributes),
			},
		}, verdict, nil
	}}
}

// validateAccessReview is as strict as an API server that is sent the same.
func validateAccessReview(spec *authorizationv1.SubjectAccessReviewSpec) error {
	resource, path := spec.ResourceAttributes, spec.NonResourceAttributes
	if (resource == nil) == (path == nil) {
		return apierrors.NewBadRequest("spec: set exactly one of resourceAttributes and nonResourceAttributes")
	}
	if spec.User == "" && len(spec.Groups) == 0 {
		return apierrors.NewBadRequest("spec.user: set at least one of user and groups")
	}
	if resource == nil {
		return nil
	}
	const selector = "spec.resourceAttributes.%s: set exactly one of requirements and rawSelector"
	if s := resource.FieldSelector; s != nil && (s.RawSelector == "") == (len(s.Requirements) == 0) {
		return apierrors.NewBadRequest(fmt.Sprintf(selector, "fieldSelector"))
	}
	if s := resource.LabelSelector; s != nil && (s.RawSelector == "") == (len(s.Requirements) == 0) {
		return apierrors.NewBadRequest(fmt.Sprintf(selector, "labelSelector"))
	}
	return nil
}

// evaluationError says what went wrong, as upstream's SubjectAccessReview does: a
// selector that cannot be understood narrows nothing, and is named.
func evaluationError(err error, a *authorizer.AttributesRecord) string {
	var said []string
	if err != nil {
		said = append(said, err.Error())
	}
	name := func(selector string, understood int, err error) {
		switch {
		case err == nil:
		case understood > 0:
			said = append(said, "spec.resourceAttributes."+selector+" partially ignored due to parse error")
		default:
			said = append(said, "spec.resourceAttributes."+selector+" ignored due to parse error")
		}
	}
	fields, err := a.GetFieldSelector()
	name("fieldSelector", len(fields), err)
	labels, err := a.GetLabelSelector()
	name("labelSelector", len(labels), err)
	return strings.Join(said, "; ")
}
