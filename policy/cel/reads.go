package cel

import (
	"cmp"
	"slices"
	"strings"

	celgo "github.com/google/cel-go/cel"

	"github.com/gatehouse-io/gatehouse/policy"
)

// reads are what the answer of a program hangs on.
type reads struct {
	parts    []policy.Read
	supposed []supposition
	// messages says that those are among it that the message expressions read.
	messages bool
	// ok is false where that is not known.
	ok bool
}

// newReads goes through all expressions of some rules that can be found to hold.
//
// Message expressions decide nothing where all validations hold, but upstream evaluates
// them all the same, and fails a validation when they exceed what the validations have left
// of the budget. Where that is their reserve, they cannot (plain.reserve). Where the budget
// is less than that from the outset, as with every Gatekeeper template that has one, each
// verdict is upstream's and may hang on their cost: then it hangs on what they read. In
// between is a verdict that upstream had to give since the validations cost too much: it
// is not to be remembered (Program.validate).
func newReads(env *celgo.Env, rules *Rules, p *plain, budget int64) reads {
	if p == nil {
		return reads{}
	}
	a := newAnalysis(env, rules)
	for _, c := range rules.MatchConditions {
		a.verdict(c.Expression)
	}
	messages := p.reserve >= budget
	for _, v := range rules.Validations {
		a.verdict(v.Expression)
		if messages && v.MessageExpression != "" {
			a.verdict(v.MessageExpression)
		}
	}
	if a.lost {
		return reads{}
	}
	return reads{parts: reduced(a.reads), supposed: a.supposed, messages: messages, ok: true}
}

// Reads implements policy.Reader. It is known for policies of which Holds may speak: the
// others say something whatever is read, or look elsewhere.
func (b *validatingBinding) Reads() ([]policy.Read, bool) {
	known := b.of.program.reads
	if !b.vouches || !known.ok {
		return nil, false
	}
	parts := slices.Clone(known.parts)
	for _, c := range []*criteria{b.pair.policy, b.pair.binding} {
		if c != nil {
			parts = append(parts, c.reads()...)
		}
	}
	// Without its namespace a request is refused, and a rule may be for what is in one. One
	// field of the namespace says whether there is one; its own shape is long to write.
	parts = append(parts, policy.Read{Of: policy.OfNamespace, Fields: []string{"kind"}, Shape: true},
		policy.Read{Of: policy.OfRequest, Fields: []string{"namespace"}, Shape: true})
	return reduced(parts), true
}

// Reads are what decides whether the constraint is broken, where it matches: whether
// Evaluate says anything. That its parameters are what they are is not among it. ok is
// false where it is not known. They are of an object and a namespace that are those of the
// request.
func (c *Constraint) Reads() (parts []policy.Read, ok bool) {
	return slices.Clone(c.program.reads.parts), c.program.reads.ok
}

// reduced is the same without what is read by another of them, in an order of their own.
func reduced(parts []policy.Read) []policy.Read {
	var all []policy.Read
	for i, one := range parts {
		if !slices.ContainsFunc(parts[:i], func(other policy.Read) bool { return same(one, other) }) && !slices.ContainsFunc(parts, func(other policy.Read) bool { return covers(other, one) }) {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b policy.Read) int {
		if a.Of != b.Of {
			return cmp.Compare(a.Of, b.Of)
		}
		if d := slices.Compare(a.Fields, b.Fields); d != 0 {
			return d
		}
		return strings.Compare(shapeWord(a), shapeWord(b))
	})
	return all
}

func shapeWord(r policy.Read) string {
	if r.Shape {
		return "shape"
	}
	return ""
}

// covers reports whether one read says all that another, different one does. What goes on
// to the elements says how many they are, or under which keys; where it ends before, what
// is there instead.
func covers(one, other policy.Read) bool {
	n := len(other.Fields)
	if one.Of != other.Of {
		return false
	}
	if len(one.Fields) > n {
		return other.Shape && one.Fields[n] == policy.Each && slices.Equal(one.Fields[:n], other.Fields)
	}
	if one.Shape || !slices.Equal(one.Fields, other.Fields[:len(one.Fields)]) {
		return false
	}
	return len(one.Fields) < n || other.Shape
}
