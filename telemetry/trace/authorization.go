package trace

import (
	"context"

	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Authorizer answers as next does, with a span for each question.
func (t *Tracing) Authorizer(next authorizer.Authorizer) authorizer.Authorizer {
	if t == nil {
		return next
	}
	return tracedAuthorizer{next}
}

type tracedAuthorizer struct{ authorizer.Authorizer }

// Authorize implements authorizer.Authorizer.
func (t tracedAuthorizer) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	inner, span := Start(ctx, "authorization", "authorization")
	if span == nil {
		return t.Authorizer.Authorize(ctx, a)
	}
	decision, reason, err := t.Authorizer.Authorize(span.Record(inner), a)
	span.EndAuthorization(decision, reason, err)
	return decision, reason, err
}

// EndAuthorization ends the span of an authorizer's answer.
func (s *Span) EndAuthorization(decision authorizer.Decision, reason string, err error) {
	if s == nil {
		return
	}
	verdict := gate.Step{Opinion: gate.NoOpinion, Reason: reason}
	switch decision {
	case authorizer.DecisionAllow:
		verdict.Opinion = gate.Allow
	case authorizer.DecisionDeny:
		verdict.Opinion = gate.Deny
	}
	if err != nil {
		s.Fail("authorizer")
	}
	s.End(verdict, false)
}
