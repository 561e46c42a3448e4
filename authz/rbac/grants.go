package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Grant is one rule of one role that one binding gives the requester.
type Grant struct {
	// BindingNamespace is empty for a ClusterRoleBinding.
	BindingNamespace, Binding     string
	RoleKind, RoleNamespace, Role string
	// Rule is the rule's place in the role.
	Rule int
}

// Grants goes through every rule that allows a request, by every binding that gives it:
// what Authorize would find if the ones before were not there. A binding with several
// subjects that mean the requester comes once for each.
func (x *Index) Grants(a authorizer.Attributes, yield func(Grant)) {
	u := a.GetUser()
	if u == nil {
		return
	}
	var q query
	q.fill(a)
	now := x.unix()
	of := func(g *grant) {
		c := g.role.rules.Load()
		if c == nil || c.allows(&q) == nil {
			return
		}
		c.each(&q, func(rule int) {
			g.each(func(b held) bool {
				if b.counts(now) {
					k := g.role.key
					yield(Grant{BindingNamespace: b.namespace, Binding: b.name, RoleKind: k.kind, RoleNamespace: k.namespace, Role: k.name, Rule: rule})
				}
				return true
			})
		})
	}
	x.now.Load().subjects(u, func(s *subject) {
		for g := range s.in("") {
			of(g)
		}
		if q.namespace != "" {
			for g := range s.in(q.namespace) {
				of(g)
			}
		}
	})
}

// each goes through the rules that allow the request, as they are written, each once.
func (c *compiled) each(q *query, yield func(rule int)) {
	for i := range c.rules {
		if grants(&c.rules[i], q) {
			yield(i)
		}
	}
}

// grants reports whether a rule as it is written allows the request.
func grants(p *rbacv1.PolicyRule, q *query) bool {
	switch {
	case !slices.Contains(p.Verbs, rbacv1.VerbAll) && !slices.Contains(p.Verbs, q.verb):
		return false
	case !q.isResource:
		return slices.ContainsFunc(p.NonResourceURLs, q.isUnder)
	}
	return (slices.Contains(p.APIGroups, rbacv1.APIGroupAll) || slices.Contains(p.APIGroups, q.group)) &&
		slices.ContainsFunc(p.Resources, q.isIn) &&
		(len(p.ResourceNames) == 0 || slices.Contains(p.ResourceNames, q.name))
}
