package meter

import (
	"context"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// The verdicts of authorization, as AuthorizationVerdicts numbers them.
const (
	Allowed = iota
	Denied
	NoOpinion
	Failed
)

// AuthorizationVerdicts are the labels of authorization's verdicts.
var AuthorizationVerdicts = []string{Allowed: "allow", Denied: "deny", NoOpinion: "no_opinion", Failed: "error"}

// Authorized is the number of a verdict. What is not allowed and has an error is an error,
// whatever it then comes to.
func Authorized(decision authorizer.Decision, err error) int {
	switch {
	case decision == authorizer.DecisionAllow:
		return Allowed
	case err != nil:
		return Failed
	case decision == authorizer.DecisionDeny:
		return Denied
	}
	return NoOpinion
}

// Authorizer answers as next does, and counts.
func (d *Decisions) Authorizer(next authorizer.UnconditionalAuthorizer) authorizer.UnconditionalAuthorizer {
	return &counted{d, next}
}

type counted struct {
	decided *Decisions
	next    authorizer.UnconditionalAuthorizer
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (c *counted) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	begun := c.decided.Begin()
	decision, reason, err := c.next.Authorize(ctx, a)
	c.decided.End(begun, Authorized(decision, err))
	return decision, reason, err
}
