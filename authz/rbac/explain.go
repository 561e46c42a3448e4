package rbac

import (
	"cmp"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

const (
	gateName = "authorization"
	partName = "RBAC"
)

// mostMisses is how many near misses a step names.
const mostMisses = 3

// Explain is the decision on a request with its reasons: the binding and the rule
// that allow it, or the nearest ones that do not and what they lack.
func (x *Index) Explain(a authorizer.Attributes) gate.Step {
	begun := time.Now()
	step := gate.Step{Gate: gateName, Part: partName, Opinion: gate.NoOpinion}
	u := a.GetUser()
	if u == nil {
		step.Reason = "the request has no user"
		return step
	}
	var q query
	q.fill(a)
	s := x.now.Load()
	var found decision
	s.decide(&found, &q, u, x.clock)
	if found.rule != nil {
		step.Opinion = gate.Allow
		step.Reason = strings.TrimPrefix(found.by.reason(found.by.subject), "RBAC: ")
		step.Sources = []gate.Source{found.by.describe(), found.by.role.describe(found.rule.at)}
	} else {
		step.Reason = "no rule allows it"
		if found.incomplete {
			step.Reason += "; " + utilerrors.NewAggregate(x.missing(u, q.namespace)).Error()
		}
		step.Misses = x.misses(s, a, &q, true)
	}
	step.Took = time.Since(begun)
	return step
}

// NearestMisses names what the requester holds in the scope of a request that
// nearly allows it. It is cheap enough for every refused request that is audited:
// other namespaces are left out.
func (x *Index) NearestMisses(a authorizer.Attributes) []gate.Miss {
	if a.GetUser() == nil {
		return nil
	}
	var q query
	q.fill(a)
	return x.misses(x.now.Load(), a, &q, false)
}

// miss is how far a rule is from allowing a request: the smaller the nearer.
type miss struct {
	distance int
	gate.Miss
}

func (x *Index) misses(s *snapshot, a authorizer.Attributes, q *query, elsewhere bool) []gate.Miss {
	var all []miss
	now := x.unix()
	u := a.GetUser()
	s.holdings(u, scopesOf(q.namespace), now, func(h held) {
		c := h.role.rules.Load()
		if c == nil {
			all = append(all, miss{2, gate.Miss{Sources: []gate.Source{h.describe()}, Lacks: "its role: " + h.role.missing().Error()}})
			return
		}
		best := miss{distance: tooFar}
		for i := range c.rules {
			if lacks, distance := distance(&c.rules[i], q); distance < best.distance {
				best = miss{distance, gate.Miss{Sources: []gate.Source{h.describe(), h.role.describe(i)}, Lacks: lacks}}
			}
		}
		if best.distance < tooFar {
			all = append(all, best)
		}
	})
	s.subjects(u, func(who *subject) {
		for _, scope := range scopesOf(q.namespace) {
			for g := range who.in(scope) {
				ended(g, q, now, func(m miss) { all = append(all, m) })
			}
		}
		if !elsewhere || !q.isResource { // a RoleBinding allows no path
			return
		}
		for namespace := range who.scopes {
			var found decision
			if namespace == "" || namespace == q.namespace {
				continue
			}
			for g := range who.in(namespace) {
				if found.byGrant(g, q, x.clock) {
					break
				}
			}
			if found.rule == nil {
				continue
			}
			lacks := "namespace " + q.namespace
			if q.namespace == "" {
				lacks = "all namespaces: it is good in " + namespace + " alone"
			}
			all = append(all, miss{1, gate.Miss{
				Sources: []gate.Source{found.by.describe(), found.by.role.describe(found.rule.at)}, Lacks: lacks,
			}})
		}
	})
	slices.SortStableFunc(all, func(a, b miss) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.Sources[0].String(), b.Sources[0].String()))
	})
	var nearest []gate.Miss
	for _, m := range all[:min(len(all), mostMisses)] {
		nearest = append(nearest, m.Miss)
	}
	return nearest
}

// ended finds bindings that would allow the request, had they not come to their
// end: the nearest miss there is.
func ended(g *grant, q *query, now int64, yield func(miss)) {
	c := g.role.rules.Load()
	if c == nil {
		return
	}
	r := c.allows(q)
	if r == nil {
		return
	}
	g.each(func(b held) bool {
		if !b.counts(now) {
			lacks := "validity: its expiry cannot be read"
			if end := b.end(); end != nil {
				lacks = "validity: it ended at " + end.Format(time.RFC3339)
			}
			yield(miss{0, gate.Miss{Sources: []gate.Source{b.describe(), b.role.describe(r.at)}, Lacks: lacks}})
		}
		return true
	})
}

// tooFar is a rule that has nothing to do with the request.
const tooFar = 100

// distance says what a rule lacks to allow a request, and how much that is. It
// reads the rule as it is written: every refused request that is audited asks it of
// all that the requester holds.
func distance(p *rbacv1.PolicyRule, q *query) (lacks string, far int) {
	verb := slices.Contains(p.Verbs, rbacv1.VerbAll) || slices.Contains(p.Verbs, q.verb)
	if !q.isResource {
		if !verb && slices.ContainsFunc(p.NonResourceURLs, q.isUnder) {
			return "verb " + q.verb, 2
		}
		return "", tooFar
	}
	group := slices.Contains(p.APIGroups, rbacv1.APIGroupAll) || slices.Contains(p.APIGroups, q.group)
	named := len(p.ResourceNames) == 0 || slices.Contains(p.ResourceNames, q.name)
	resource := slices.ContainsFunc(p.Resources, q.isIn)
	switch {
	case verb && group && resource && named:
		return "", tooFar // it was in a binding that has ended
	case verb && group && resource:
		return nameLacking(p, q), 2
	case group && resource && named:
		return "verb " + q.verb, 3
	case verb && resource && named:
		return "API group " + quoteGroup(q.group), 4
	case q.subresource != "" && slices.Contains(p.Resources, q.resource):
		return "resource " + q.combined() + ": it has " + q.resource + " alone", 5
	case group && resource:
		return "verb " + q.verb + ", and " + nameLacking(p, q), 6
	case resource && named:
		return "verb " + q.verb + " and API group " + quoteGroup(q.group), 7
	}
	return "", tooFar
}

func nameLacking(p *rbacv1.PolicyRule, q *query) string {
	if q.name == "" {
		return "requests without a name: it names " + strings.Join(p.ResourceNames[:min(len(p.ResourceNames), 3)], ", ")
	}
	return "name " + q.name + ": it names others"
}

func quoteGroup(group string) string {
	if group == "" {
		return `"" (the core group)`
	}
	return group
}
