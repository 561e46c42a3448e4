package attach

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// Policies is what the admission endpoints ask.
type Policies struct {
	// Set is the policies in force; nil while they have not been read, and then
	// nothing is admitted.
	Set func() *policy.Set
	// Cluster is what policies look things up in.
	Cluster policy.Cluster
	// Authorizer answers what policies ask about permissions; nil where nobody can.
	Authorizer authorizer.UnconditionalAuthorizer
}

// Mutate is the endpoint /mutate: an AdmissionReview of admission.k8s.io/v1, answered
// with the patch that the mutators come to.
func Mutate(p Policies) Endpoint {
	return Endpoint{Path: "/mutate", Answer: func(ctx context.Context, body []byte) (any, string, error) {
		return p.review(ctx, "mutate", body, func(ctx context.Context, set *policy.Set, r *policy.Request, response *admissionv1.AdmissionResponse) (*policy.Outcome, error) {
			out := &policy.Outcome{}
			if op := r.GetOperation(); op != admission.Create && op != admission.Update {
				return out, nil
			}
			before, err := r.Object()
			if err != nil || before == nil {
				return out, err
			}
			out = set.Mutate(ctx, r)
			if !out.Changed || len(out.Denials) > 0 {
				return out, nil
			}
			after, err := r.Object()
			if err != nil {
				return out, err
			}
			patchType := admissionv1.PatchTypeJSONPatch
			response.PatchType, response.Patch = &patchType, policy.Patch(before.Object, after.Object)
			return out, nil
		})
	}}
}

// Validate is the endpoint /validate: an AdmissionReview of admission.k8s.io/v1.
func Validate(p Policies) Endpoint {
	return Endpoint{Path: "/validate", Answer: func(ctx context.Context, body []byte) (any, string, error) {
		return p.review(ctx, "validate", body, func(ctx context.Context, set *policy.Set, r *policy.Request, response *admissionv1.AdmissionResponse) (*policy.Outcome, error) {
			out := set.Validate(ctx, r)
			for i := range out.Warnings {
				response.Warnings = append(response.Warnings, out.Warnings[i].Text())
			}
			for key, value := range gateadmission.AuditAnnotations(out) {
				// The API server puts the webhook's name before it, and takes one slash.
				if response.AuditAnnotations == nil {
					response.AuditAnnotations = map[string]string{}
				}
				response.AuditAnnotations[key[strings.LastIndexByte(key, '/')+1:]] = value
			}
			return out, nil
		})
	}}
}

type judge func(context.Context, *policy.Set, *policy.Request, *admissionv1.AdmissionResponse) (*policy.Outcome, error)

func (p *Policies) review(ctx context.Context, phase string, body []byte, judge judge) (any, string, error) {
	review, err := decode[admissionv1.AdmissionReview](body, "admission.k8s.io/v1", "AdmissionReview",
		"set admissionReviewVersions: [v1] in the webhook's configuration")
	if err != nil {
		return nil, "", err
	}
	asked := review.Request
	if asked == nil || asked.UID == "" {
		return nil, "", apierrors.NewBadRequest("request: the review has none, or no uid")
	}
	set := p.Set()
	if set == nil {
		return nil, "", status(503, metav1.StatusReasonServiceUnavailable, "the policies have not been read yet")
	}
	response := &admissionv1.AdmissionResponse{UID: asked.UID, Allowed: true}
	answer := &admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response}
	if gateadmission.Exempt(schema.GroupResource{Group: asked.Resource.Group, Resource: asked.Resource.Resource}) {
		return answer, "exempt", nil
	}
	r, err := p.request(asked)
	if err != nil {
		return nil, "", err
	}
	ctx, span := trace.StartAdmission(ctx, phase, gateadmission.PolicyName)
	out, err := judge(span.Record(ctx), set, r, response)
	if err != nil {
		span.Fail("object")
		span.EndAdmission(r, err, false)
		return nil, "", apierrors.NewBadRequest("the object of the review cannot be read")
	}
	span.EndAdmission(r, out.Error(r), len(response.Patch) > 0)
	refusal := &apierrors.StatusError{}
	switch err := out.Error(r); {
	case err == nil && len(response.Patch) > 0:
		return answer, "mutated", nil
	case err == nil:
		return answer, "allowed", nil
	case errors.As(err, &refusal):
		response.Result = &metav1.Status{
			Status: metav1.StatusFailure, Message: out.Message(), Reason: refusal.ErrStatus.Reason, Code: refusal.ErrStatus.Code, Details: refusal.ErrStatus.Details,
		}
	default:
		response.Result = &metav1.Status{Status: metav1.StatusFailure, Message: err.Error(), Reason: metav1.StatusReasonForbidden, Code: 403}
	}
	response.Allowed, response.Patch, response.PatchType = false, nil, nil
	return answer, "denied", nil
}

func (p *Policies) request(asked *admissionv1.AdmissionRequest) (*policy.Request, error) {
	object, err := objectOf(asked.Object, "request.object")
	if err != nil {
		return nil, err
	}
	old, err := objectOf(asked.OldObject, "request.oldObject")
	if err != nil {
		return nil, err
	}
	options, err := objectOf(asked.Options, "request.options")
	if err != nil {
		return nil, err
	}
	dryRun := asked.DryRun != nil && *asked.DryRun
	a := admission.NewAttributesRecord(object, old, schema.GroupVersionKind(asked.Kind), asked.Namespace, asked.Name,
		schema.GroupVersionResource(asked.Resource), asked.SubResource, admission.Operation(asked.Operation), options, dryRun, userOf(&asked.UserInfo))
	r := policy.NewRequest(a, nil, p.Cluster)
	r.Authorizer = p.Authorizer
	return r, nil
}

// objectOf reads an object of a review; nil, and no typed nil, where there is none.
func objectOf(raw runtime.RawExtension, field string) (runtime.Object, error) {
	if len(raw.Raw) == 0 || string(raw.Raw) == "null" {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw.Raw); err != nil {
		return nil, apierrors.NewBadRequest(field + ": is no Kubernetes object")
	}
	return u, nil
}

func userOf(u *authenticationv1.UserInfo) user.Info {
	who := &user.DefaultInfo{Name: u.Username, UID: u.UID, Groups: u.Groups}
	if u.Extra != nil {
		who.Extra = make(map[string][]string, len(u.Extra))
		for key, values := range u.Extra {
			who.Extra[key] = values
		}
	}
	return who
}

// Images is the endpoint /images: an ImageReview of imagepolicy.k8s.io/v1alpha1, as
// the plugin ImagePolicyWebhook of an API server asks it. The policies judge a Pod
// that has these images and nothing else that is known; what they say of anything
// but images does not count.
func Images(p Policies) Endpoint {
	return Endpoint{Path: "/images", Answer: func(ctx context.Context, body []byte) (any, string, error) {
		review, err := decode[imagepolicyv1alpha1.ImageReview](body, "imagepolicy.k8s.io/v1alpha1", "ImageReview", "an API server sends v1alpha1")
		if err != nil {
			return nil, "", err
		}
		set := p.Set()
		if set == nil {
			return nil, "", status(503, metav1.StatusReasonServiceUnavailable, "the policies have not been read yet")
		}
		if len(review.Spec.Containers) == 0 {
			return nil, "", apierrors.NewBadRequest("spec.containers: the review has no image")
		}
		ctx, span := trace.StartAdmission(ctx, "images", gateadmission.PolicyName)
		r := p.imageRequest(&review.Spec)
		out := set.Validate(span.Record(ctx), r)
		answer := &imagepolicyv1alpha1.ImageReview{TypeMeta: review.TypeMeta, Status: imagepolicyv1alpha1.ImageReviewStatus{Allowed: true}}
		out.Denials = slices.DeleteFunc(out.Denials, func(s policy.Said) bool { return len(s.Images) == 0 && s.Err == nil })
		span.EndAdmission(r, out.Error(r), false)
		if len(out.Denials) > 0 {
			answer.Status = imagepolicyv1alpha1.ImageReviewStatus{Reason: out.Message()}
			return answer, "denied", nil
		}
		return answer, "allowed", nil
	}}
}

func (p *Policies) imageRequest(spec *imagepolicyv1alpha1.ImageReviewSpec) *policy.Request {
	containers := make([]any, len(spec.Containers))
	for i, c := range spec.Containers {
		containers[i] = map[string]any{"name": fmt.Sprintf("image-%d", i), "image": c.Image}
	}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "image-review", "namespace": spec.Namespace},
		"spec":     map[string]any{"containers": containers},
	}}
	pod.SetAnnotations(spec.Annotations)
	a := admission.NewAttributesRecord(pod, nil, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, spec.Namespace, pod.GetName(),
		schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, true, &user.DefaultInfo{})
	r := policy.NewRequest(a, nil, p.Cluster)
	r.Authorizer = p.Authorizer
	return r
}
