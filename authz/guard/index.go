package guard

import "hash/maphash"

// ruleChunk is how many rules a part of the table of rules has; a change copies
// the part and the list of parts.
const ruleChunk = 256

// index finds the rules that may touch a request. It is a value that never
// changes: an edit gives a new one that shares with the old what it did not write.
//
// Invariant: of every dimension a request has, a rule that touches the request
// stands under one of the request's keys or in wild. The search may find more
// rules than touch; each is asked itself.
type index struct {
	seed maphash.Seed
	axes [dimensions]axis

	// chunks are the rules by number; nil where a number is free.
	chunks [][]*rule

	// size is how many rules there are.
	size int
}

func (x *index) rule(n uint32) *rule { return x.chunks[n/ruleChunk][n%ruleChunk] }

// all yields every rule.
func (x *index) all(yield func(*rule) bool) {
	for _, chunk := range x.chunks {
		for _, r := range chunk {
			if r != nil && !yield(r) {
				return
			}
		}
	}
}

// editor makes a new index out of one that is published.
type editor struct {
	x    *index
	axes [dimensions]axisEditor
	owns map[int]bool // chunks that are copies
}

func (x *index) edit() *editor {
	next := *x
	next.chunks = append([][]*rule(nil), x.chunks...)
	e := &editor{x: &next, owns: map[int]bool{}}
	for d := range e.axes {
		e.axes[d].axis = &next.axes[d]
	}
	return e
}

// set puts a rule, or nil, under a number.
func (e *editor) set(n uint32, r *rule) {
	c := int(n / ruleChunk)
	for len(e.x.chunks) <= c {
		e.x.chunks = append(e.x.chunks, make([]*rule, ruleChunk))
		e.owns[len(e.x.chunks)-1] = true
	}
	if !e.owns[c] {
		e.x.chunks[c] = append([]*rule(nil), e.x.chunks[c]...)
		e.owns[c] = true
	}
	e.x.chunks[c][n%ruleChunk] = r
}

// add puts a rule under a number that is free.
func (e *editor) add(n uint32, r *rule) {
	e.set(n, r)
	e.x.size++
	for d := range dimensions {
		axis := &e.axes[d]
		keys, wild := r.keys(d)
		if wild {
			axis.wild = axis.wild.with(n)
			continue
		}
		for _, k := range keys {
			axis.add(e.x.seed, k, n)
		}
	}
}

// remove takes out the rule that stands under a number.
func (e *editor) remove(n uint32, r *rule) {
	e.set(n, nil)
	e.x.size--
	for d := range dimensions {
		axis := &e.axes[d]
		keys, wild := r.keys(d)
		if wild {
			axis.wild = axis.wild.without(n)
			continue
		}
		for _, k := range keys {
			axis.remove(e.x.seed, k, n)
		}
	}
}
