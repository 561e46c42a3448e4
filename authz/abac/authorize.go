package abac

import (
	"context"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

var (
	_ authorizer.Authorizer   = &Policies{}
	_ authorizer.RuleResolver = &Policies{}
)

// Authorize implements authorizer.Authorizer: it allows, or has no opinion.
func (p *Policies) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if r := gate.RecorderFrom(ctx); r != nil {
		r.Record(p.explain(a, r.All))
	}
	if u := a.GetUser(); u != nil {
		var r request
		r.fill(a)
		if p.allows(u, &r) {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "No policy matched.", nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer; no condition is ever
// part of the answer.
func (p *Policies) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(p.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer.
func (*Policies) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// RulesFor implements authorizer.RuleResolver. A path is listed with the namespace
// of its policy, as upstream lists it, though paths are in none.
func (p *Policies) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var resources []authorizer.ResourceRuleInfo
	var paths []authorizer.NonResourceRuleInfo
	if u == nil {
		return nil, nil, false, nil
	}
	for _, policy := range p.of(u, false) {
		if !fits(policy.Namespace, namespace) {
			continue
		}
		if policy.Resource != "" {
			resources = append(resources, &authorizer.DefaultResourceRuleInfo{
				Verbs: policy.verbs(), APIGroups: []string{policy.APIGroup}, Resources: []string{policy.Resource},
			})
		}
		if policy.NonResourcePath != "" {
			paths = append(paths, &authorizer.DefaultNonResourceRuleInfo{
				Verbs: policy.verbs(), NonResourceURLs: []string{policy.NonResourcePath},
			})
		}
	}
	return resources, paths, false, nil
}

func (s *spec) verbs() []string {
	if s.Readonly {
		return []string{"get", "list", "watch"}
	}
	return []string{everything}
}
