package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// compiled is the rules of one role. It never changes.
type compiled struct {
	rules []rbacv1.PolicyRule // as the object has them

	// A resource rule is found under each resource it names: in few, where the role
	// names at most fewResources, and otherwise in many. Both are for resources
	// such as pods and pods/log; subresources is for */log, by what follows the
	// slash, and everything for *.
	few          []resourceRule
	many         map[string][]*rule
	subresources map[string][]*rule
	everything   []*rule

	urls []urlRule
}

type resourceRule struct {
	resource string
	rule     *rule
}

// fewResources is how many resources are searched one after the other faster
// than by a hash.
const fewResources = 8

// manyNames is how many resource names are.
const manyNames = 16

type urlRule struct {
	url    string
	prefix bool // url is what the path begins with
	rule   *rule
}

// rule is one rule without its resources.
type rule struct {
	at     int    // in compiled.rules
	verbs  uint64 // bits of verbBit; all of them for *
	others []string
	// groups is nil where every group is meant.
	groups []string
	// names is nil where every name is meant; nameSet takes its place where there
	// are many.
	names   []string
	nameSet map[string]struct{}
	named   bool
}

// otherVerb is the bit of a verb that has none of its own.
const otherVerb = 1 << 63

// verbBit gives the verbs that requests are made of a bit each.
func verbBit(verb string) uint64 {
	switch verb {
	case "get":
		return 1 << 0
	case "list":
		return 1 << 1
	case "watch":
		return 1 << 2
	case "create":
		return 1 << 3
	case "update":
		return 1 << 4
	case "patch":
		return 1 << 5
	case "delete":
		return 1 << 6
	case "deletecollection":
		return 1 << 7
	case "post":
		return 1 << 8
	case "put":
		return 1 << 9
	case "head":
		return 1 << 10
	case "options":
		return 1 << 11
	case "impersonate":
		return 1 << 12
	case "bind":
		return 1 << 13
	case "escalate":
		return 1 << 14
	case "use":
		return 1 << 15
	case "approve":
		return 1 << 16
	case "sign":
		return 1 << 17
	case "proxy":
		return 1 << 18
	}
	return otherVerb
}

func compile(rules []rbacv1.PolicyRule) *compiled {
	c := &compiled{rules: rules}
	type pair struct {
		resource string
		rule     *rule
	}
	var pairs []pair
	for i := range rules {
		p := &rules[i]
		r := &rule{at: i}
		for _, verb := range p.Verbs {
			switch bit := verbBit(verb); {
			case verb == rbacv1.VerbAll:
				r.verbs = ^uint64(0)
			case bit != otherVerb:
				r.verbs |= bit
			default:
				r.others = append(r.others, verb)
			}
		}
		if len(p.Verbs) == 0 {
			continue
		}
		for _, url := range p.NonResourceURLs {
			c.urls = append(c.urls, urlRule{url, false, r})
			if strings.HasSuffix(url, "*") {
				c.urls = append(c.urls, urlRule{strings.TrimRight(url, "*"), true, r})
			}
		}
		if len(p.Resources) == 0 || len(p.APIGroups) == 0 {
			continue
		}
		if !slices.Contains(p.APIGroups, rbacv1.APIGroupAll) {
			r.groups = p.APIGroups
		}
		if r.named = len(p.ResourceNames) > 0; r.named {
			if r.names = p.ResourceNames; len(r.names) > manyNames {
				r.nameSet = make(map[string]struct{}, len(r.names))
				for _, name := range r.names {
					r.nameSet[name] = struct{}{}
				}
			}
		}
		for _, resource := range p.Resources {
			if resource == rbacv1.ResourceAll {
				c.everything = append(c.everything, r)
				continue
			}
			if sub, ok := strings.CutPrefix(resource, "*/"); ok && sub != "" {
				if c.subresources == nil {
					c.subresources = map[string][]*rule{}
				}
				c.subresources[sub] = append(c.subresources[sub], r)
			}
			pairs = append(pairs, pair{resource, r})
		}
	}
	if len(pairs) <= fewResources {
		for _, p := range pairs {
			c.few = append(c.few, resourceRule(p))
		}
		return c
	}
	c.many = make(map[string][]*rule, len(pairs))
	for _, p := range pairs {
		c.many[p.resource] = append(c.many[p.resource], p.rule)
	}
	return c
}

// allows returns the first rule found that allows the request, or nil.
func (c *compiled) allows(q *query) *rule {
	if !q.isResource {
		for i := range c.urls {
			u := &c.urls[i]
			if (q.path == u.url || u.prefix && strings.HasPrefix(q.path, u.url)) && u.rule.hasVerb(q) {
				return u.rule
			}
		}
		return nil
	}
	if c.many != nil {
		for _, r := range q.in(c.many) {
			if r.allows(q) {
				return r
			}
		}
	}
	for i := range c.few {
		if q.is(c.few[i].resource) && c.few[i].rule.allows(q) {
			return c.few[i].rule
		}
	}
	for _, r := range c.everything {
		if r.allows(q) {
			return r
		}
	}
	if c.subresources != nil && q.subresource != "" {
		for _, r := range c.subresources[q.subresource] {
			if r.allows(q) {
				return r
			}
		}
	}
	return nil
}

// allows is for a rule whose resource is the request's.
func (r *rule) allows(q *query) bool { return r.hasVerb(q) && r.hasGroup(q) && r.hasName(q) }

func (r *rule) hasVerb(q *query) bool {
	return r.verbs&q.bit != 0 || q.bit == otherVerb && slices.Contains(r.others, q.verb)
}

func (r *rule) hasGroup(q *query) bool {
	return r.groups == nil || slices.Contains(r.groups, q.group)
}

func (r *rule) hasName(q *query) bool {
	if !r.named {
		return true
	}
	if r.nameSet != nil {
		_, ok := r.nameSet[q.name]
		return ok
	}
	return slices.Contains(r.names, q.name)
}

// isWildcard reports whether a rule says * where the request could have been named.
func isWildcard(p *rbacv1.PolicyRule, isResource bool) bool {
	star := func(s string) bool { return strings.Contains(s, "*") }
	if slices.Contains(p.Verbs, rbacv1.VerbAll) {
		return true
	}
	if !isResource {
		return slices.ContainsFunc(p.NonResourceURLs, star)
	}
	return slices.Contains(p.APIGroups, rbacv1.APIGroupAll) || slices.ContainsFunc(p.Resources, star)
}
