package policy

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/policy/internal/part"
)

// Reader is a Validator that knows what its answer hangs on.
type Reader interface {
	Validator
	// Reads are the parts of a request that decide whether the policy has anything to
	// say of it: those by which it matches, and those it judges. What every answer may
	// hang on is not among them: the kind and the resource, the subresource, the
	// operation. ok is false where the parts are not known, or where it looks at
	// anything else: at the clock, at other objects, at who may do what. They may be
	// too many, never too few.
	Reads() (reads []Read, ok bool)
}

// Read is one part of a request that an answer hangs on.
type Read struct {
	// Of is where the part is.
	Of Of
	// Fields lead to the part, each a name as JSON has it, a key of a map, or Each;
	// none is the whole.
	Fields []string
	// Shape says that the values do not count, only whether the part is there, of which
	// type it is, whether it is null or the zero value of its type, and how many
	// elements or which keys it has.
	Shape bool
}

// Of is what a Read is a part of.
type Of uint8

const (
	// OfObject is the object as it is judged, in the version of the request's kind.
	OfObject Of = iota
	// OfOldObject is what is there already.
	OfOldObject
	// OfNamespace is the Namespace that the request is in, and whether it can be had.
	OfNamespace
	// OfRequest is what a request has besides: fields of admission.k8s.io/v1
	// AdmissionRequest, of which name, namespace, dryRun, options and userInfo can be
	// read.
	OfRequest
)

// Each stands in Fields for every element of a list, and every value of a map.
const Each = part.Each

// key is equal for those that read the same.
func (r *Read) key() string {
	var b strings.Builder
	b.WriteByte('0' + byte(r.Of))
	if r.Shape {
		b.WriteByte('s')
	}
	for _, f := range r.Fields {
		b.WriteByte('\x01')
		b.WriteString(f)
	}
	return b.String()
}
