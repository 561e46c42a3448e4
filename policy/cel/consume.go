package cel

import (
	"github.com/gatehouse-io/gatehouse/policy"
)

// read notes a part that the answer hangs on.
func (a *analysis) read(part policy.Read) {
	if part.Of == policy.OfRequest && len(part.Fields) == 0 {
		a.lost = true // a request as a whole is no part of one
		return
	}
	a.reads = union(a.reads, []policy.Read{part})
}

// whole is that all of a value counts.
func (a *analysis) whole(r reach) {
	a.lost = a.lost || r.variables
	for _, one := range append(r.at[:len(r.at):len(r.at)], r.sum...) {
		one.Shape = false
		a.read(one)
	}
	if r.each != nil {
		a.whole(*r.each)
	}
}

// shape is that it counts what a value is, but not what is in it. How many elements a
// list has that was made here is known from what it was made of.
func (a *analysis) shape(r reach) {
	a.lost = a.lost || r.variables
	for _, one := range r.at {
		one.Shape = true
		a.read(one)
	}
	for _, one := range r.sum {
		a.read(one) // of numbers, the sum may be zero
	}
}

// elements are those of a list, or the values of a map.
func (a *analysis) elements(r reach) reach {
	a.lost = a.lost || r.variables
	var each []reach
	for _, one := range r.at {
		a.shape(reach{at: []policy.Read{one}})
		each = append(each, reach{at: []policy.Read{below(one, policy.Each)}})
	}
	for _, one := range r.sum {
		// That they are lists, and how long, was read when they were added; of what is
		// no list, a sum has no elements.
		each = append(each, reach{at: []policy.Read{below(one, policy.Each)}})
	}
	if r.each != nil {
		each = append(each, *r.each)
	}
	return join(each...)
}

// field is what a name, or a key that is a constant, leads to. Where nothing is there, the
// part that it leads to is not there either: that is read whatever is done with it.
func (a *analysis) field(r reach, name string) reach {
	if name == policy.Each {
		return a.elements(r)
	}
	var found []reach
	if r.variables {
		found = append(found, a.variable(name))
	}
	for _, one := range r.at {
		if one.Of == policy.OfRequest && len(one.Fields) == 0 && !a.ofRequest(name) {
			continue
		}
		found = append(found, reach{at: []policy.Read{below(one, name)}})
	}
	for _, one := range r.sum {
		a.read(one)
	}
	if r.each != nil {
		found = append(found, *r.each)
	}
	return join(found...)
}

// ofRequest reports whether a field of a request can be read. The others are the same in
// all requests that are compared, or are not there to be read.
func (a *analysis) ofRequest(name string) bool {
	switch name {
	case "name", "namespace", "dryRun", "options", "userInfo":
		return true
	case "kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "operation":
		return false
	}
	a.lost = true
	return false
}
