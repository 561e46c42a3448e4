package rego

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// walk goes over one rule.
type walk struct {
	*follower
	scope *scope
	// early says that the evaluation may end here before it has gone over everything;
	// ordered that the order counts in which it does.
	early, ordered bool
}

// uses has a document followed, since the rule asks for it.
func (w *walk) uses(d *document) {
	if into(&w.scope.of.used, map[*document]bool{d: true}) {
		w.changed = true
	}
	w.reach(d, w.early)
}

func (w *walk) body(body ast.Body) {
	for _, e := range body {
		w.expression(e)
	}
}

func (w *walk) expression(e *ast.Expr) {
	if len(e.With) > 0 {
		w.fail("with is not followed")
		return
	}
	defer func(early bool) { w.early = early }(w.early)
	w.early = w.early || e.Negated
	switch terms := e.Terms.(type) {
	case *ast.Term:
		w.test(terms)
	case []*ast.Term:
		if isEqual(e) {
			w.equal(e)
		} else {
			w.call(terms)
		}
	case *ast.Every:
		w.early = true
		domain := w.term(terms.Domain)
		w.present(terms.Domain, domain)
		if terms.Key != nil {
			w.bind(terms.Key, w.keys(domain))
		}
		w.bind(terms.Value, w.elements(domain))
		w.body(terms.Body)
	default:
		w.fail(fmt.Sprintf("an expression is not followed: %T", terms))
	}
}

// test is a term that stands by itself: it must be there and not be false.
func (w *walk) test(t *ast.Term) {
	a := w.term(t)
	if ref, ok := t.Value.(ast.Ref); ok && !scalar(ref[len(ref)-1]) {
		// It names what it goes over, as labels[key] does: what has a shape is not false.
		w.requireAll(a.paths, shape)
		return
	}
	w.requireAll(a.paths, whole)
}

// equal is a binding where one side can be bound here alone, and else a comparison.
func (w *walk) equal(e *ast.Expr) {
	terms := e.Terms.([]*ast.Term)
	switch side := w.scope.bound.sides[e]; side {
	case 1, 2:
		other := terms[3-side]
		value := w.term(other)
		w.present(other, value)
		w.be(terms[side].Value.(ast.Var), value)
	default:
		first, second := w.term(terms[1]), w.term(terms[2])
		w.compare(terms[1], second)
		w.compare(terms[2], first)
	}
}

// compare reads a term wholly that must be equal to a value, which is read wholly too.
func (w *walk) compare(t *ast.Term, with *alias) {
	w.readWhole(w.term(t))
	w.readWhole(with)
	if v, ok := t.Value.(ast.Var); ok {
		w.be(v, with)
		return
	}
	w.loosen(t)
}

// loosen has the variables of a term be anything: what it is has been read wholly.
func (w *walk) loosen(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Var:
		w.be(v, unknown())
	case *ast.Array:
		v.Foreach(w.loosen)
	case ast.Set:
		v.Foreach(w.loosen)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { w.loosen(key); w.loosen(value) })
	}
}

func (w *walk) be(v ast.Var, value *alias) {
	if w.join(w.variable(v), value) {
		w.changed = true
	}
}

func (w *walk) variable(v ast.Var) *alias {
	a := w.scope.vars[v]
	if a == nil {
		a = &alias{}
		w.scope.vars[v] = a
	}
	return a
}

// bind gives a term what stands for it: a variable that is bound here alone becomes that,
// and anything else is compared with it.
func (w *walk) bind(t *ast.Term, value *alias) {
	if v, here := w.scope.bound.here(t); here {
		w.be(v, value)
		return
	}
	w.compare(t, value)
}

// present notes that what a term refers to must be there. What was found by going over
// something is.
func (w *walk) present(t *ast.Term, a *alias) {
	if ref, ok := t.Value.(ast.Ref); ok && scalar(ref[len(ref)-1]) {
		w.requireAll(a.paths, presence)
	}
}

// term is what a term may be.
func (w *walk) term(t *ast.Term) *alias {
	switch v := t.Value.(type) {
	case ast.String:
		return &alias{texts: map[string]bool{string(v): true}}
	case ast.Null, ast.Boolean, ast.Number:
		return unknown()
	case ast.Var:
		return w.ref(ast.Ref{t})
	case ast.Ref:
		return w.ref(v)
	case *ast.Array:
		a := w.made(false)
		v.Foreach(func(one *ast.Term) { w.join(a.inside, w.part(one)) })
		return a
	case ast.Set:
		a := w.made(true)
		v.Foreach(func(one *ast.Term) { w.join(a.inside, w.part(one)) })
		return a
	case ast.Object:
		a := w.made(false)
		v.Foreach(func(key, value *ast.Term) {
			name := w.part(key)
			w.readWhole(name)
			w.join(a.inside, name)
			w.join(a.inside, w.part(value))
		})
		return a
	case *ast.ArrayComprehension:
		defer func(ordered bool) { w.ordered = ordered }(w.ordered)
		w.ordered = true
		w.body(v.Body)
		return w.made(false, w.part(v.Term))
	case *ast.SetComprehension:
		defer func(ordered bool) { w.ordered = ordered }(w.ordered)
		w.ordered = false
		w.body(v.Body)
		return w.made(true, w.part(v.Term))
	case *ast.ObjectComprehension:
		w.failing(w.scope.of) // two values of a key are an error
		w.body(v.Body)
		key, value := w.part(v.Key), w.part(v.Value)
		w.readWhole(key)
		w.readWhole(value)
		return w.made(false, key, value)
	}
	w.fail(fmt.Sprintf("a term is not followed: %T", t.Value))
	return unknown()
}

func (w *walk) part(t *ast.Term) *alias {
	a := w.term(t)
	w.present(t, a)
	return a
}

// ref is what a reference leads to.
func (w *walk) ref(ref ast.Ref) *alias {
	var at *alias
	steps := ref[1:]
	switch head := ref[0].Value.(type) {
	case ast.Var:
		switch {
		case head.Equal(ast.InputRootDocument.Value):
			at = &alias{paths: paths{inInput: true}}
		case head.Equal(ast.DefaultRootDocument.Value):
			name, n := w.documentName(ref)
			d := w.documents[name]
			if d == nil || d.kind == function {
				w.fail("it looks up " + ref.String())
				return unknown()
			}
			w.uses(d)
			at, steps = &d.value, ref[n:]
			if len(steps) > 0 && w.match(d, steps[0]) {
				at, steps = d.value.content(), steps[1:]
			}
		default:
			at = w.variable(head)
		}
	default:
		at = w.term(ref[0])
	}
	for _, step := range steps {
		at = w.step(at, step)
	}
	return at
}

// step is one step further from a value: over all that is there where the variable is bound
// by it, and else to what has the name.
func (w *walk) step(from *alias, by *ast.Term) *alias {
	v, here := w.scope.bound.here(by)
	if here {
		w.be(v, w.keys(from))
		return w.elements(from)
	}
	to := w.lookup(from, by)
	if _, ok := by.Value.(ast.Var); !ok || !v.IsGenerated() {
		// The rules have written the variable themselves: another comprehension may have
		// another one of that name, which is bound.
		w.loosen(by)
	}
	return to
}

// match looks for the elements of a set that have some fields, as in
// found[{"msg": msg, "field": "containers"}]: the fields that it binds variables to are not
// looked at. It reports whether the elements are known so well.
func (w *walk) match(d *document, by *ast.Term) bool {
	object, ok := by.Value.(ast.Object)
	if !ok || d.fields == nil || !named(object) {
		return false
	}
	object.Foreach(func(name, value *ast.Term) { w.bind(value, d.field(name)) })
	w.heedOrder(&d.value)
	return true
}

// heedOrder reads what a set has in it where the order counts in which it is gone over.
func (w *walk) heedOrder(of *alias) {
	if of.melted && (w.ordered || w.early && w.scope.of.risky(map[*document]bool{})) {
		w.readWhole(of.inside)
	}
}

// keys are what the elements of a value are found by; those of a set are their own. The
// keys of the input are read with its shape.
func (w *walk) keys(of *alias) *alias {
	a := unknown()
	w.join(a, of.content())
	return a
}

// elements are all that a value has in it.
func (w *walk) elements(of *alias) *alias {
	to := &alias{other: of.other}
	w.join(to, of.content())
	for path := range of.paths {
		w.each(to, path)
	}
	w.heedOrder(of)
	return to
}

// lookup is what a value has by a name that is known when it is looked up.
func (w *walk) lookup(from *alias, by *ast.Term) *alias {
	to := &alias{other: from.other}
	w.join(to, from.content())
	name := w.term(by)
	w.readWhole(name)
	if from.melted {
		w.readWhole(from.inside) // it looks for an element
	}
	names := name.constants()
	for path := range from.paths {
		for _, one := range names {
			w.field(to, path, one)
		}
		if names == nil && (w.last || !name.empty()) {
			w.each(to, path)
		}
	}
	return to
}
