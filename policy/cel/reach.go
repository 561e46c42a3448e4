package cel

import (
	"slices"
	"strings"

	"github.com/gatehouse-io/gatehouse/policy"
)

// reach is how far what an expression yields leads back into the request. The zero value
// is what the expression has computed: whatever that is made of has been read already.
type reach struct {
	// at are the parts that it may be itself, or hold where it is an optional. What
	// becomes of them is still to be said: nobody has looked at them yet.
	at []policy.Read
	// sum are parts that it may be the sum of: lists most often, but nobody knows.
	sum []policy.Read
	// each is what the elements may be of a list that the expression has made, or the
	// values of such a map; nil where they are computed.
	each *reach
	// variables says that it may be the map of all variables.
	variables bool
}

// join is what may be any of them.
func join(all ...reach) (r reach) {
	for _, one := range all {
		r.at = union(r.at, one.at)
		r.sum = union(r.sum, one.sum)
		r.variables = r.variables || one.variables
		switch {
		case one.each == nil:
		case r.each == nil:
			r.each = one.each
		default:
			each := join(*r.each, *one.each)
			r.each = &each
		}
	}
	return r
}

func union(a, b []policy.Read) []policy.Read {
	all := a[:len(a):len(a)]
	for _, one := range b {
		if !slices.ContainsFunc(all, func(other policy.Read) bool { return same(one, other) }) {
			all = append(all, one)
		}
	}
	return all
}

func same(a, b policy.Read) bool {
	return a.Of == b.Of && a.Shape == b.Shape && slices.Equal(a.Fields, b.Fields)
}

// weight grows as more is joined.
func (r reach) weight() int {
	n := len(r.at) + len(r.sum)
	if r.variables {
		n++
	}
	if r.each != nil {
		n += 1 + r.each.weight()
	}
	return n
}

// below is the part that a field leads to.
func below(of policy.Read, field string) policy.Read {
	of.Fields = append(of.Fields[:len(of.Fields):len(of.Fields)], field)
	return of
}

// supposition is that a part of an object is what its name says, where that decides what
// of it is read: the elements of a list decide what is in it, and the keys of a map; how
// long a string is cannot be told by its Shape. What is said of an object for which one
// does not hold is not to be remembered. Of those for which it does, it holds for all of
// the same Shape.
type supposition struct {
	policy.Read
	// mapping says that it is a map; otherwise it is a map or a list.
	mapping bool
}

// mappings are what Kubernetes calls maps whose keys are asked for.
var mappings = map[string]bool{"labels": true, "annotations": true, "matchLabels": true, "nodeSelector": true,
	"limits": true, "requests": true, "data": true, "stringData": true, "binaryData": true}

// suppose reports whether all that r may be are maps, or lists or maps, by their names.
// That they are is a supposition from then on.
func (a *analysis) suppose(r reach, mapping bool) bool {
	if r.variables || len(r.sum) > 0 || r.each != nil && mapping {
		return false
	}
	for _, one := range r.at {
		if !mapped(one) && !supposable(one, mapping) {
			return false
		}
	}
	for _, one := range r.at {
		s := supposition{Read: one, mapping: mapping}
		if !mapped(one) && !slices.ContainsFunc(a.supposed, func(other supposition) bool { return other.mapping == s.mapping && same(other.Read, s.Read) }) {
			a.supposed = append(a.supposed, s)
		}
	}
	return true
}

// mapped reports whether a part is a map by Go's types, which a Namespace always has.
func mapped(part policy.Read) bool {
	return part.Of == policy.OfNamespace && len(part.Fields) == 2 && part.Fields[0] == "metadata" && (part.Fields[1] == "labels" || part.Fields[1] == "annotations")
}

func supposable(part policy.Read, mapping bool) bool {
	if part.Of != policy.OfObject && part.Of != policy.OfOldObject || len(part.Fields) == 0 {
		return false
	}
	name := part.Fields[len(part.Fields)-1]
	return mappings[name] || !mapping && name != policy.Each && strings.HasSuffix(name, "s")
}
