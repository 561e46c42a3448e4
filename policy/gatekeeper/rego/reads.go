package rego

import (
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Reads are the parts of a request by which the template finds a violation, or fails, or
// does neither, whatever a constraint's parameters are. ok is false where they are not
// known, or where it looks at anything else than the request. What a message alone is made
// of counts by whether it is there: without it there would be no message.
func (p *Program) Reads() (reads []policy.Read, ok bool) {
	r := p.reads()
	return slices.Clone(r.parts), r.why == ""
}

// known is what is known of the reads of a Program; why says what cannot be followed.
type known struct {
	parts []policy.Read
	why   string
}

// need is how much of a part is read.
type need uint8

const (
	presence need = 1 << iota // whether it is there
	shape                     // policy.Read.Shape
	whole
)

// mostPasses and deepest bound the search: what has not settled by then is not known.
const mostPasses, deepest = 100, 16

// follower follows the parts of the review through the rules that violation stands on. It
// does not heed the order of expressions, nor which of a rule's definitions holds: each
// variable may be any of the parts that it is bound to anywhere. It goes over all rules
// until nothing more is found.
type follower struct {
	documents map[string]*document
	reached   []*document
	needs     map[string]need
	changed   bool
	// last says that what is not known by now will not be.
	last bool
	why  string
}

// follow says what the modules' data.template.violation reads. They are as OPA's compiler
// has rewritten them: each call stands alone, with a variable for what it returns, and
// local variables have names of their own.
func follow(compiler *ast.Compiler) known {
	f := &follower{documents: map[string]*document{}, needs: map[string]need{}}
	for _, name := range slices.Sorted(maps.Keys(compiler.Modules)) {
		for _, r := range compiler.Modules[name].Rules {
			f.define(r)
		}
	}
	start := f.documents[ast.DefaultRootDocument.String()+pathMark+mainName+pathMark+"violation"]
	if start == nil || start.kind != setOf {
		return known{why: "violation is no set"}
	}
	start.asked = true
	f.reach(start, false)
	for pass := 0; ; pass++ {
		f.changed = false
		for i := 0; i < len(f.reached); i++ {
			f.reached[i].follow(f)
		}
		if f.why != "" {
			return known{why: f.why}
		}
		if !f.changed && f.last {
			return known{parts: parts(f.needs)}
		}
		f.last = f.last || !f.changed
		if pass == mostPasses {
			return known{why: "its rules are too deep"}
		}
	}
}

func (f *follower) fail(why string) {
	if f.why == "" {
		f.why = why
	}
}

// require notes that a part is read.
func (f *follower) require(path string, n need) {
	if path == inInput || path == inReview {
		if n != presence { // both are always there
			f.fail("the review is read as a whole")
		}
		return
	}
	if f.needs[path]&n != n {
		f.needs[path] |= n
		f.changed = true
	}
}

func (f *follower) requireAll(of paths, n need) {
	for path := range of {
		f.require(path, n)
	}
}

// readWhole notes that a value is looked at in a way that is not known in detail.
func (f *follower) readWhole(a *alias) {
	for ; a != nil; a = a.inside {
		f.requireAll(a.paths, whole)
	}
}

// parts are the needs as Reads, without those that others include.
func parts(needs map[string]need) (reads []policy.Read) {
	all := slices.Sorted(maps.Keys(needs))
	var wholes [][]string
	for _, path := range all {
		if needs[path]&whole != 0 {
			wholes = append(wholes, strings.Split(path, pathMark))
		}
	}
	for _, path := range all {
		fields := strings.Split(path, pathMark)
		n := needs[path]
		if slices.ContainsFunc(wholes, func(w []string) bool { return includes(w, fields) && (n&whole == 0 || !slices.Equal(w, fields)) }) {
			continue
		}
		if n == presence && slices.ContainsFunc(all, func(other string) bool { return strings.HasPrefix(other, path+pathMark) }) {
			continue // what leads to a part that is read is read on the way
		}
		reads = append(reads, readsOf(fields, n&whole == 0)...)
	}
	return reads
}

// includes reports whether who reads one part wholly has read another.
func includes(one, other []string) bool {
	if len(one) > len(other) {
		return false
	}
	for i, f := range one {
		if f != other[i] && f != policy.Each {
			return false
		}
	}
	return true
}

// readsOf has the fields of the input as parts of a request.
func readsOf(fields []string, shape bool) []policy.Read {
	read := policy.Read{Fields: fields[2:], Shape: shape}
	switch fields[1] {
	case "object":
		// For a deletion, Gatekeeper has there what is deleted.
		old := read
		old.Of = policy.OfOldObject
		read.Of = policy.OfObject
		return []policy.Read{read, old}
	case "oldObject":
		read.Of = policy.OfOldObject
	case "namespaceObject":
		read.Of = policy.OfNamespace
	default:
		read.Of, read.Fields = policy.OfRequest, fields[1:]
	}
	return []policy.Read{read}
}
