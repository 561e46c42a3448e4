package rbac

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-helpers/auth/rbac/validation"

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
	x.now.Load().decide(&found, &q, u, x.unix)
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

// decide looks first at what is held in the cluster, as upstream does, and then in
// the namespace of the request.
func (s *snapshot) decide(found *decision, q *query, u user.Info, now func() int64) {
	name, groups := u.GetName(), u.GetGroups()
	h := hash(name)
	// The hash of a name serves both scopes. Groups beyond these are hashed twice.
	var hashes [32]uint64
	if decideBy(s.cluster.users.get(h, name), found, q, now) {
		return
	}
	for i, group := range groups {
		gh := hash(group)
		if i < len(hashes) {
			hashes[i] = gh
		}
		if decideBy(s.cluster.groups.get(gh, group), found, q, now) {
			return
		}
	}
	if q.namespace == "" {
		return
	}
	in := s.namespaces.get(hash(q.namespace), q.namespace)
	if in == nil {
		return
	}
	if decideBy(in.users.get(h, name), found, q, now) {
		return
	}
	for i, group := range groups {
		var gh uint64
		if i < len(hashes) {
			gh = hashes[i]
		} else {
			gh = hash(group)
		}
		if decideBy(in.groups.get(gh, group), found, q, now) {
			return
		}
	}
}

// decideBy reports whether what one subject holds in one scope allows the request.
func decideBy(h **holder, found *decision, q *query, now func() int64) bool {
	if h == nil {
		return false
	}
	for i := range (*h).grants {
		g := &(*h).grants[i]
		rules := g.role.rules.Load()
		if rules == nil {
			if !found.incomplete {
				_, found.incomplete = g.inForce(now)
			}
			continue
		}
		r := rules.allows(q)
		if r == nil {
			continue
		}
		if by, ok := g.inForce(now); ok {
			found.by, found.rule = by, r
			return true
		}
	}
	return false
}

// holdings goes through the bindings that count for u in the cluster and in a
// namespace, each once, however many of its subjects mean u.
func (s *snapshot) holdings(u user.Info, namespace string, now int64, yield func(held)) {
	seen := map[*binding]bool{}
	each := func(h **holder) {
		if h == nil {
			return
		}
		for i := range (*h).grants {
			(*h).grants[i].each(func(b held) bool {
				if !seen[b.binding] && b.counts(now) {
					seen[b.binding] = true
					yield(b)
				}
				return true
			})
		}
	}
	scopes := []*scope{&s.cluster}
	if namespace != "" {
		if in := s.namespaces.get(hash(namespace), namespace); in != nil {
			scopes = append(scopes, in)
		}
	}
	for _, in := range scopes {
		each(in.users.get(hash(u.GetName()), u.GetName()))
		for _, group := range u.GetGroups() {
			each(in.groups.get(hash(group), group))
		}
	}
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
	x.now.Load().holdings(u, namespace, x.unix(), func(b held) {
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
