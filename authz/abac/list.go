package abac

import (
	"cmp"
	"slices"
)

// list is the policies that name one user, or one group, or nobody.
type list struct {
	all []policy // in the order of the file

	// A long list is filed under its namespaces and paths too, so that a request
	// costs what concerns its namespace; both are nil in a short one, where going
	// through all is quicker.
	byNamespace map[string][]policy
	paths       []policy // those that have a path
}

// long is how many policies a list has that is worth filing.
const long = 16

func newList(all []policy) list {
	l := list{all: all}
	if len(all) < long {
		return l
	}
	l.byNamespace = byName(slices.Clone(all), func(s *spec) string { return s.Namespace })
	for _, policy := range all {
		if policy.NonResourcePath != "" {
			l.paths = append(l.paths, policy)
		}
	}
	return l
}

// candidates are the policies that may allow a request, in two parts.
func (l *list) candidates(r *request) (some, more []policy) {
	switch {
	case l.byNamespace == nil || !r.isResource && r.path == "":
		return l.all, nil
	case !r.isResource:
		return l.paths, nil
	}
	return l.byNamespace[everything], l.byNamespace[r.namespace]
}

// allows reports whether a policy of the list, held by someone in groups, allows
// the request.
func (l *list) allows(r *request, groups []string) bool {
	some, more := l.candidates(r)
	return anyAllows(some, r, groups) || anyAllows(more, r, groups)
}

func anyAllows(list []policy, r *request, groups []string) bool {
	for i := range list {
		if s := &list[i].spec; s.allows(r) && s.isOf(groups) {
			return true
		}
	}
	return false
}

// byName cuts policies into those of each name, and keeps the order among them. The
// parts share one array, which keeps many small ones small.
func byName(all []policy, name func(*spec) string) map[string][]policy {
	slices.SortStableFunc(all, func(a, b policy) int { return cmp.Compare(name(&a.spec), name(&b.spec)) })
	parts := map[string][]policy{}
	for len(all) > 0 {
		own := name(&all[0].spec)
		n := 1
		for n < len(all) && name(&all[n].spec) == own {
			n++
		}
		parts[own] = all[:n:n]
		all = all[n:]
	}
	return parts
}
