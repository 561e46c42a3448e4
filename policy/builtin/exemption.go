package builtin

import (
	"slices"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/glob"
	"github.com/gatehouse-io/gatehouse/policy"
)

// exemption is one that can match at all: its policy and its cluster do.
type exemption struct {
	*v1alpha1.BuiltinExemption
	index int // among spec.exemptions
}

// exemptionsOf are those for one policy on one cluster.
func exemptionsOf(all []v1alpha1.BuiltinExemption, policy, cluster string) (of []*exemption) {
	for i := range all {
		e := &all[i]
		if (e.Policies == nil || glob.Any(e.Policies, policy)) && (e.Clusters == nil || cluster != "" && glob.Any(e.Clusters, cluster)) {
			of = append(of, &exemption{e, i})
		}
	}
	return of
}

// exempts reports whether a request is exempt, and by which of the exemptions.
func (r *rule) exempts(request *policy.Request) (index int, exempt bool) {
	for _, e := range r.exemptions {
		if e.matches(request) {
			return e.index, true
		}
	}
	return 0, false
}

// matches fails towards no exemption: what is not known does not match.
func (e *exemption) matches(r *policy.Request) bool {
	if e.Namespaces != nil && (r.GetNamespace() == "" || !glob.Any(e.Namespaces, r.GetNamespace())) {
		return false
	}
	if e.Names != nil {
		name := nameOf(r)
		if name == "" || !glob.Any(e.Names, name) {
			return false
		}
	}
	if e.Users == nil && e.Groups == nil {
		return true
	}
	who := r.GetUserInfo()
	if who == nil || r.Background {
		return false
	}
	return (e.Users == nil || glob.Any(e.Users, who.GetName())) &&
		(e.Groups == nil || slices.ContainsFunc(who.GetGroups(), func(g string) bool { return glob.Any(e.Groups, g) }))
}

// nameOf is the name of the object a request is for; where it is to get one, the
// beginning that it says.
func nameOf(r *policy.Request) string {
	if name := r.GetName(); name != "" {
		return name
	}
	o, err := r.Object()
	if o == nil && err == nil {
		o, err = r.OldObject()
	}
	if o == nil || err != nil {
		return ""
	}
	if name := o.GetName(); name != "" {
		return name
	}
	return o.GetGenerateName()
}
