package gatekeeper

import (
	"slices"

	"github.com/gatehouse-io/gatehouse/policy"
)

var (
	_ policy.Reader = asRego{}
	_ policy.Reader = &constraint{}
)

// Reads implements policy.Reader: of a constraint in Rego. Where the template speaks of the
// inventory or of providers at all, that they cannot be had is said.
func (c asRego) Reads() ([]policy.Read, bool) {
	if c.template.inventory || c.template.external {
		return nil, false
	}
	return c.reads(c.template.rego.Reads)
}

// Reads implements policy.Reader: of a constraint in CEL.
func (c *constraint) Reads() ([]policy.Read, bool) { return c.reads(c.cel.Reads) }

// reads are those of the code, and those by which the constraint is about a request. They
// are not known where admission and a scan differ in more than the request: what has
// nothing to say at one of the two may have at the other.
func (c *constraint) reads(ofCode func() ([]policy.Read, bool)) ([]policy.Read, bool) {
	if (len(c.actions) == 0) != (len(c.audit) == 0) || !sameNames(c.excluded.admission, c.excluded.audit) {
		return nil, false
	}
	code, ok := ofCode()
	if !ok {
		return nil, false
	}
	namespaces := slices.ContainsFunc(c.match.Kinds, func(k Kinds) bool { return anyOf(k.Kinds, "Namespace") }) || len(c.match.Kinds) == 0
	return slices.Concat(code, c.match.reads(namespaces), c.excluded.reads(namespaces)), true
}

func sameNames(a, b []Wildcard) bool {
	within := func(one, other []Wildcard) bool {
		return !slices.ContainsFunc(one, func(w Wildcard) bool { return !slices.Contains(other, w) })
	}
	return within(a, b) && within(b, a)
}

// ofBoth is a part of the object and of what is there already.
func ofBoth(shape bool, fields ...string) []policy.Read {
	return []policy.Read{{Of: policy.OfObject, Fields: fields, Shape: shape}, {Of: policy.OfOldObject, Fields: fields, Shape: shape}}
}

// reads are what matches looks at, and what askedOf does before: whether the namespace can
// be had. namespaces says that the object may be a Namespace, whose own name and labels
// stand for those of the namespace.
func (m *Match) reads(namespaces bool) []policy.Read {
	reads := slices.Concat(ofBoth(false, "apiVersion"), ofBoth(false, "kind"), []policy.Read{{Of: policy.OfNamespace, Shape: true}})
	named := len(m.Namespaces) > 0 || len(m.ExcludedNamespaces) > 0
	if named {
		reads = append(reads, ofBoth(false, "metadata", "namespace")...)
		reads = append(reads, policy.Read{Of: policy.OfNamespace, Fields: []string{"metadata", "name"}})
	} else if m.Scope != "" || m.namespaces != nil {
		reads = append(reads, ofBoth(true, "metadata", "namespace")...)
	}
	if named && namespaces || m.Name != "" {
		reads = append(reads, ofBoth(false, "metadata", "name")...)
	}
	if m.Name != "" {
		reads = append(reads, ofBoth(false, "metadata", "generateName")...)
	}
	if m.labels != nil || m.namespaces != nil && namespaces {
		reads = append(reads, ofBoth(false, "metadata", "labels")...)
	}
	if m.namespaces != nil {
		reads = append(reads, policy.Read{Of: policy.OfNamespace, Fields: []string{"metadata", "labels"}})
	}
	return reads
}

// reads are what covers looks at.
func (x *exclusions) reads(namespaces bool) []policy.Read {
	if len(x.admission)+len(x.audit) == 0 {
		return nil
	}
	reads := []policy.Read{{Of: policy.OfRequest, Fields: []string{"namespace"}}}
	if namespaces {
		reads = append(reads, policy.Read{Of: policy.OfRequest, Fields: []string{"name"}})
		reads = append(reads, ofBoth(false, "metadata", "name")...)
	}
	return reads
}
