package rbac

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/gate"
)

var (
	_ authorizer.Authorizer   = &Index{}
	_ authorizer.RuleResolver = &Index{}
)

// Authorize implements authorizer.Authorizer: it allows, or has no opinion.
func (x *Index) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if r := gate.RecorderFrom(ctx); r != nil {
		r.Record(x.Explain(a))
	}
	u := a.GetUser()
	if u == nil {
		return authorizer.DecisionNoOpinion, "", nil
	}
	var q query
	q.fill(a)
	var found decision
	x.now.Load().decide(&found, &q, u, x.clock)
	if found.rule != nil {
		return authorizer.DecisionAllow, found.by.reason(found.by.subject), nil
	}
	if found.incomplete {
		return authorizer.DecisionNoOpinion, fmt.Sprintf("RBAC: %v", utilerrors.NewAggregate(x.missing(u, q.namespace))), nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// ConditionsAwareAuthorize implements authorizer.Authorizer; no condition is ever
// part of the answer.
func (x *Index) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(x.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer.
func (*Index) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

func (x *Index) unix() int64 { return x.clock.Now().Unix() }

// decision is what a search has found.
type decision struct {
	by   held
	rule *rule // nil where nothing allows
	// incomplete says that a binding of the requester refers to a role that is not
	// there.
	incomplete bool
}

// decide looks at what the user holds, and then at each of the groups.
func (s *snapshot) decide(found *decision, q *query, u user.Info, now clock.PassiveClock) {
	if name := u.GetName(); found.bySubject(s.users.get(hash(name), name), q, now) {
		return
	}
	for _, group := range u.GetGroups() {
		if found.bySubject(s.groups.get(hash(group), group), q, now) {
			return
		}
	}
}

// bySubject reports whether what one subject holds allows the request.
func (d *decision) bySubject(found **subject, q *query, now clock.PassiveClock) bool {
	if found == nil {
		return false
	}
	s := *found
	for i := range s.few {
		if g := &s.few[i]; (g.scope == "" || g.scope == q.namespace) && d.byGrant(g, q, now) {
			return true
		}
	}
	if s.many.len == 0 {
		return false
	}
	if d.byHolder(s.many.get(hash(""), ""), q, now) {
		return true
	}
	return q.namespace != "" && d.byHolder(s.many.get(hash(q.namespace), q.namespace), q, now)
}

func (d *decision) byHolder(h **holder, q *query, now clock.PassiveClock) bool {
	if h == nil {
		return false
	}
	for i := range (*h).grants {
		if d.byGrant(&(*h).grants[i], q, now) {
			return true
		}
	}
	return false
}

// byGrant reports whether one role that is held allows the request.
func (d *decision) byGrant(g *grant, q *query, now clock.PassiveClock) bool {
	rules := g.role.rules.Load()
	if rules == nil {
		if !d.incomplete {
			_, d.incomplete = g.inForce(now)
		}
		return false
	}
	r := rules.allows(q)
	if r == nil {
		return false
	}
	by, ok := g.inForce(now)
	if ok {
		d.by, d.rule = by, r
	}
	return ok
}

// subjects goes through the user and the groups of u that hold anything.
func (s *snapshot) subjects(u user.Info, yield func(*subject)) {
	if found := s.users.get(hash(u.GetName()), u.GetName()); found != nil {
		yield(*found)
	}
	for _, group := range u.GetGroups() {
		if found := s.groups.get(hash(group), group); found != nil {
			yield(*found)
		}
	}
}

// holdings goes through the bindings that count for u in each of some scopes, each
// binding once, however many of its subjects mean u.
func (s *snapshot) holdings(u user.Info, scopes []string, now int64, yield func(held)) {
	seen := map[*binding]bool{}
	s.subjects(u, func(who *subject) {
		for _, scope := range scopes {
			for g := range who.in(scope) {
				g.each(func(b held) bool {
					if !seen[b.binding] && b.counts(now) {
						seen[b.binding] = true
						yield(b)
					}
					return true
				})
			}
		}
	})
}

// scopesOf are the cluster, and the namespace of a request that has one.
func scopesOf(namespace string) []string {
	if namespace == "" {
		return []string{""}
	}
	return []string{"", namespace}
}

// missing are the errors of bindings whose roles are not there.
func (x *Index) missing(u user.Info, namespace string) []error {
	_, err := x.PolicyRulesFor(u, namespace)
	if agg, ok := err.(utilerrors.Aggregate); ok {
		return agg.Errors()
	}
	return nil
}

// PolicyRulesFor returns every rule that u holds in the cluster and in a namespace,
// once for each binding that gives it, and an error for each binding whose role is
// not there; the rules are complete but for those. It is what upstream's resolver
// (pkg/registry/rbac/validation) returns.
func (x *Index) PolicyRulesFor(u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var rules []rbacv1.PolicyRule
	var errs []error
	x.now.Load().holdings(u, scopesOf(namespace), x.unix(), func(b held) {
		if c := b.role.rules.Load(); c != nil {
			rules = append(rules, c.rules...)
		} else {
			errs = append(errs, b.role.missing())
		}
	})
	return rules, utilerrors.NewAggregate(errs)
}

// RulesFor implements authorizer.RuleResolver.
func (x *Index) RulesFor(_ context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	var resources []authorizer.ResourceRuleInfo
	var urls []authorizer.NonResourceRuleInfo
	rules, err := x.PolicyRulesFor(u, namespace)
	for i := range rules {
		r := &rules[i]
		if len(r.Resources) > 0 {
			resources = append(resources, &authorizer.DefaultResourceRuleInfo{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			urls = append(urls, &authorizer.DefaultNonResourceRuleInfo{Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs})
		}
	}
	return resources, urls, false, err
}

// Missing returns what of rules u does not hold in a namespace, or in the whole
// cluster with an empty one: what may not be granted without the verbs escalate
// or bind. The comparison is upstream's own (k8s.io/component-helpers).
func (x *Index) Missing(u user.Info, namespace string, rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	own, _ := x.PolicyRulesFor(u, namespace) // what cannot be resolved is not held
	_, missing := validation.Covers(own, rules)
	return missing
}
