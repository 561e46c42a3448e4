package review

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Authorization is the name of the gate in every step.
const Authorization = "authorization"

// Part is one authorizer of a chain.
type Part struct {
	Name       string
	Authorizer authorizer.UnconditionalAuthorizer
}

// Chain is the authorizers of a mount, in the order they are asked.
type Chain []Part

// Request puts one request before every part. A specification that describes no
// request is an error.
func (c Chain) Request(ctx context.Context, spec *v1alpha1.RequestReviewSpec) (*gate.Trace, error) {
	a, err := Attributes(spec)
	if err != nil {
		return nil, err
	}
	return c.Explain(ctx, a), nil
}

// Explain puts a request before every part.
func (c Chain) Explain(ctx context.Context, a authorizer.Attributes) *gate.Trace {
	trace := &gate.Trace{Request: requestOf(a)}
	for _, part := range c {
		recorder := &gate.Recorder{All: true}
		begun := time.Now()
		decision, reason, err := part.Authorizer.Authorize(gate.WithRecorder(ctx, recorder), a)
		steps := recorder.Steps()
		if len(steps) == 0 {
			steps = []gate.Step{{Gate: Authorization, Part: part.Name, Opinion: opinion(decision), Reason: reason, Took: time.Since(begun)}}
		}
		if err != nil {
			// What it would have said is not known; where it refuses for that, its
			// own step says deny.
			last := &steps[len(steps)-1]
			last.Reason = fmt.Sprintf("cannot be evaluated: %v", err)
		}
		trace.Steps = append(trace.Steps, steps...)
	}
	trace.Decide(Authorization)
	return trace
}

func opinion(d authorizer.Decision) gate.Opinion {
	switch d {
	case authorizer.DecisionAllow:
		return gate.Allow
	case authorizer.DecisionNoOpinion:
		return gate.NoOpinion
	}
	return gate.Deny // an unknown decision too
}

func requestOf(a authorizer.Attributes) gate.Request {
	r := gate.Request{Verb: a.GetVerb()}
	if u := a.GetUser(); u != nil {
		r.User, r.UID, r.Groups, r.Extra = u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()
	}
	if !a.IsResourceRequest() {
		r.Path = a.GetPath()
		return r
	}
	r.Group, r.Version, r.Resource, r.Subresource = a.GetAPIGroup(), a.GetAPIVersion(), a.GetResource(), a.GetSubresource()
	r.Namespace, r.Name = a.GetNamespace(), a.GetName()
	if parsed, err := a.GetFieldSelector(); err == nil && len(parsed) > 0 {
		r.FieldSelector = fieldText(parsed)
	}
	if parsed, err := a.GetLabelSelector(); err == nil && len(parsed) > 0 {
		r.LabelSelector = labels.NewSelector().Add(parsed...).String()
	}
	return r
}

func fieldText(requirements fields.Requirements) string {
	var selectors []fields.Selector
	for _, r := range requirements {
		if r.Operator == selection.NotEquals {
			selectors = append(selectors, fields.OneTermNotEqualSelector(r.Field, r.Value))
		} else {
			selectors = append(selectors, fields.OneTermEqualSelector(r.Field, r.Value))
		}
	}
	return fields.AndSelectors(selectors...).String()
}

var (
	errNoRequest = errors.New("set exactly one of resourceAttributes and nonResourceAttributes")
	errNoUser    = errors.New("user is missing")
)

// Attributes reads the request that a specification describes.
func Attributes(spec *v1alpha1.RequestReviewSpec) (*authorizer.AttributesRecord, error) {
	if (spec.ResourceAttributes == nil) == (spec.NonResourceAttributes == nil) {
		return nil, errNoRequest
	}
	if spec.User == "" && len(spec.Groups) == 0 {
		return nil, errNoUser
	}
	return AttributesOf(&authorizationv1.SubjectAccessReviewSpec{
		User: spec.User, Groups: spec.Groups, UID: spec.UID, Extra: spec.Extra,
		ResourceAttributes: spec.ResourceAttributes, NonResourceAttributes: spec.NonResourceAttributes,
	}), nil
}

// Status is a trace as RequestReview has it.
func Status(t *gate.Trace) v1alpha1.RequestReviewStatus {
	status := v1alpha1.RequestReviewStatus{
		Allowed: t.Verdict.Opinion == gate.Allow,
		Denied:  t.Verdict.Opinion == gate.Deny && t.Verdict.By != nil,
		Reason:  t.Verdict.Reason,
	}
	for i := range t.Steps {
		s := &t.Steps[i]
		step := v1alpha1.TraceStep{
			Gate: s.Gate, Part: s.Part, Opinion: string(s.Opinion), Reason: s.Reason,
			Sources: sources(s.Sources), Patch: string(s.Patch), Took: metav1.Duration{Duration: s.Took},
		}
		for _, m := range s.Misses {
			step.Misses = append(step.Misses, v1alpha1.TraceMiss{Sources: sources(m.Sources), Lacks: m.Lacks})
		}
		status.Steps = append(status.Steps, step)
	}
	return status
}

func sources(list []gate.Source) []v1alpha1.TraceSource {
	var all []v1alpha1.TraceSource
	for _, s := range list {
		all = append(all, Source(s))
	}
	return all
}

// Source is a source as the API has it.
func Source(s gate.Source) v1alpha1.TraceSource {
	return v1alpha1.TraceSource{Kind: s.Kind, Namespace: s.Namespace, Name: s.Name, Part: s.Part, File: s.File, Line: int32(s.Line)}
}
