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

	// Each policy that can match anyone is in exactly one of these.
	byUser   map[string]list // those that name a user, and perhaps a group too
	byGroup  map[string]list // those that name a group alone
	everyone list            // those that match whoever asks: upstream's form in memory can
}

// newPolicies files the policies under whom they name.
func newPolicies(file string, all []policy) *Policies {
	var users, groups, everyone []policy
	for _, policy := range all {
		switch {
		case policy.User != "" && policy.User != everything:
			users = append(users, policy)
		case policy.Group != "" && policy.Group != everything:
			groups = append(groups, policy)
		case policy.User != "" || policy.Group != "":
			everyone = append(everyone, policy)
		}
	}
	return &Policies{
		file:     file,
		byUser:   lists(users, func(s *spec) string { return s.User }),
		byGroup:  lists(groups, func(s *spec) string { return s.Group }),
		everyone: newList(everyone),
	}
}

func lists(all []policy, name func(*spec) string) map[string]list {
	lists := map[string]list{}
	for name, own := range byName(all, name) {
		lists[name] = newList(own)
	}
	return lists
}

// allows reports whether any policy of u allows the request.
func (p *Policies) allows(u user.Info, r *request) bool {
	groups := u.GetGroups()
	if own, ok := p.byUser[u.GetName()]; ok && own.allows(r, groups) {
		return true
	}
	for _, group := range groups {
		if own, ok := p.byGroup[group]; ok && own.allows(r, groups) {
			return true
		}
	}
	return p.everyone.allows(r, groups)
}

// of are the policies that u has, in the order of the file. With others it adds
// those that name the user and a group that the user lacks.
func (p *Policies) of(u user.Info, others bool) []*policy {
	var all []*policy
	groups := u.GetGroups()
	add := func(l list) {
		for i := range l.all {
			if others || l.all[i].isOf(groups) {
				all = append(all, &l.all[i])
			}
		}
	}
	add(p.byUser[u.GetName()])
	for _, group := range groups {
		add(p.byGroup[group])
	}
	add(p.everyone)
	slices.SortFunc(all, func(a, b *policy) int { return cmp.Compare(a.line, b.line) })
	return slices.Compact(all) // a requester may be in one group twice
}
