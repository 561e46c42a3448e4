package abac

import (
	"cmp"
	"slices"

	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Policies are the policies of one file. They never change.
type Policies struct {
	file     string // as the operator named it
	findings []gate.Finding

	// Each policy that can match anyone is in exactly one of these, and each list
	// is in the order of the file.
	byUser   map[string][]policy // those that name a user, and perhaps a group too
	byGroup  map[string][]policy // those that name a group alone
	everyone []policy            // those that name nobody: upstream's form in memory can
}

// newPolicies files the policies under whom they name. All lists of a kind share one
// array, which keeps the index of many small ones small.
func newPolicies(file string, all []policy) *Policies {
	var users, groups []policy
	p := &Policies{file: file}
	for _, policy := range all {
		switch {
		case policy.User != "" && policy.User != everything:
			users = append(users, policy)
		case policy.Group != "" && policy.Group != everything:
			groups = append(groups, policy)
		case policy.User != "" || policy.Group != "":
			p.everyone = append(p.everyone, policy)
		}
	}
	p.byUser = byName(users, func(s *spec) string { return s.User })
	p.byGroup = byName(groups, func(s *spec) string { return s.Group })
	return p
}

func byName(all []policy, name func(*spec) string) map[string][]policy {
	slices.SortStableFunc(all, func(a, b policy) int { return cmp.Compare(name(&a.spec), name(&b.spec)) })
	lists := map[string][]policy{}
	for len(all) > 0 {
		own := name(&all[0].spec)
		n := 1
		for n < len(all) && name(&all[n].spec) == own {
			n++
		}
		lists[own] = all[:n:n]
		all = all[n:]
	}
	return lists
}

// allows reports whether any policy of u allows the request.
func (p *Policies) allows(u user.Info, r *request) bool {
	groups := u.GetGroups()
	own := p.byUser[u.GetName()]
	for i := range own {
		if s := &own[i].spec; s.allows(r) && s.namesGroup(groups) {
			return true
		}
	}
	for _, group := range groups {
		if anyAllows(p.byGroup[group], r) {
			return true
		}
	}
	return anyAllows(p.everyone, r)
}

func anyAllows(list []policy, r *request) bool {
	for i := range list {
		if list[i].allows(r) {
			return true
		}
	}
	return false
}

// of are the policies that u has, in the order of the file. With others it adds
// those that name the user and a group that the user lacks.
func (p *Policies) of(u user.Info, others bool) []*policy {
	var all []*policy
	groups := u.GetGroups()
	own := p.byUser[u.GetName()]
	for i := range own {
		if others || own[i].namesGroup(groups) {
			all = append(all, &own[i])
		}
	}
	for _, group := range groups {
		for i := range p.byGroup[group] {
			all = append(all, &p.byGroup[group][i])
		}
	}
	for i := range p.everyone {
		all = append(all, &p.everyone[i])
	}
	slices.SortFunc(all, func(a, b *policy) int { return cmp.Compare(a.line, b.line) })
	return slices.Compact(all) // a requester may be in one group twice
}
