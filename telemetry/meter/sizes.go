package meter

// GuardSet is what is told of Guards.
type GuardSet interface {
	Len() int
	Invalid() map[string]error
	Refused() uint64
}

// RBACIndex is what is told of an index over RBAC.
type RBACIndex interface {
	Size() (roles, bindings int)
}

// Authorization are the sizes of what authorization decides by. index is nil where RBAC
// is not asked.
func Authorization(guards GuardSet, index RBACIndex) []Family {
	return []Family{
		{Name: "gatehouse_authz_index_objects", Help: "Objects that authorization is decided by, by kind.", Labels: []string{"kind"},
			Read: func() []Value {
				all := []Value{Of("guard", float64(guards.Len()))}
				if index != nil {
					roles, bindings := index.Size()
					all = append(all, Of("role", float64(roles)), Of("binding", float64(bindings)))
				}
				return all
			}},
		Gauge("gatehouse_authz_invalid_guards", "Guards that do not compile.", func() float64 { return float64(len(guards.Invalid())) }),
		Counter("gatehouse_authz_guard_refusals_total", "Requests that Guards have refused.", func() float64 { return float64(guards.Refused()) }),
	}
}

// RevocationSet is what is told of Revocations.
type RevocationSet interface {
	Len() int
	Invalid() map[string]error
}

// Revocations are how many there are.
func Revocations(set RevocationSet) []Family {
	return []Family{
		Gauge("gatehouse_authn_revocations", "Revocations in force, expired ones included.", func() float64 { return float64(set.Len()) }),
		Gauge("gatehouse_authn_invalid_revocations", "Revocations that cannot be read.", func() float64 { return float64(len(set.Invalid())) }),
	}
}
