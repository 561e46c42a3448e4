package rego

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// bindings say, for the variables of a rule, in how many places each could be bound, the
// rules of its else included. One that can be bound in one place alone is bound there;
// any other may be compared where it stands.
type bindings struct {
	places     map[ast.Var]int
	parameters map[ast.Var]bool
	// fixed are those that are bound to a constant, as in i = 0.
	fixed map[ast.Var]bool
	equal []*ast.Expr
	// sides are the equations that bind one of their terms, and which of them.
	sides map[*ast.Expr]int
	// takes is how many arguments a function has.
	takes func(function *ast.Term) int
}

func bindingsOf(rule *ast.Rule, takes func(*ast.Term) int) *bindings {
	b := &bindings{takes: takes, places: map[ast.Var]int{}, parameters: map[ast.Var]bool{}, fixed: map[ast.Var]bool{}, sides: map[*ast.Expr]int{}}
	for r := rule; r != nil; r = r.Else {
		given := map[ast.Var]int{}
		for _, arg := range r.Head.Args {
			ast.WalkTerms(arg, func(t *ast.Term) bool {
				if v, ok := t.Value.(ast.Var); ok {
					given[v]++
				}
				return false
			})
		}
		for v, n := range given {
			if !b.parameters[v] { // else has the parameters of its rule
				b.places[v] += n
			}
			if n > 1 {
				b.places[v] = max(b.places[v], n)
			}
			b.parameters[v] = true
		}
		for _, t := range []*ast.Term{r.Head.Key, r.Head.Value} {
			if t != nil {
				b.used(t)
			}
		}
		b.body(r.Body)
	}
	b.settle()
	return b
}

// here reports whether a variable is bound where it stands, and nowhere else.
func (b *bindings) here(t *ast.Term) (ast.Var, bool) {
	v, ok := t.Value.(ast.Var)
	return v, ok && b.places[v] == 1 && !b.parameters[v]
}

func (b *bindings) body(body ast.Body) {
	for _, e := range body {
		switch terms := e.Terms.(type) {
		case *ast.Term:
			b.used(terms)
		case []*ast.Term:
			b.call(e, terms)
		case *ast.Every:
			if terms.Key != nil {
				b.pattern(terms.Key)
			}
			b.pattern(terms.Value)
			b.used(terms.Domain)
			b.body(terms.Body)
		}
	}
}

func (b *bindings) call(e *ast.Expr, terms []*ast.Term) {
	if isEqual(e) {
		b.pattern(terms[1])
		b.pattern(terms[2])
		b.equal = append(b.equal, e)
		return
	}
	for i, t := range terms[1:] {
		if i < b.takes(terms[0]) {
			b.used(t)
		} else {
			b.pattern(t)
		}
	}
}

// isEqual reports whether two terms are unified; OPA has rewritten == and := as well.
func isEqual(e *ast.Expr) bool {
	terms, ok := e.Terms.([]*ast.Term)
	if !ok || len(terms) != 3 {
		return false
	}
	name := terms[0].Value.String()
	return name == ast.Equality.Name || name == ast.Equal.Name || name == ast.Assign.Name
}

// pattern counts a term whose variables can be bound where it stands.
func (b *bindings) pattern(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Var:
		b.places[v]++
	case *ast.Array:
		v.Foreach(b.pattern)
	case ast.Set:
		v.Foreach(b.pattern)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { b.pattern(key); b.pattern(value) })
	default:
		b.used(t)
	}
}

// used counts a term whose variables must be bound elsewhere, but for those by which it
// looks something up.
func (b *bindings) used(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Ref:
		b.used(v[0])
		for _, step := range v[1:] {
			b.pattern(step)
		}
	case *ast.Array:
		v.Foreach(b.used)
	case ast.Set:
		v.Foreach(b.used)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { b.used(key); b.used(value) })
	case *ast.ArrayComprehension:
		b.used(v.Term)
		b.body(v.Body)
	case *ast.SetComprehension:
		b.used(v.Term)
		b.body(v.Body)
	case *ast.ObjectComprehension:
		b.used(v.Key)
		b.used(v.Value)
		b.body(v.Body)
	}
}

// settle takes back places: where one side of an equation can be bound there alone, the
// other has to be bound elsewhere.
func (b *bindings) settle() {
	for changed := true; changed; {
		changed = false
		for _, e := range b.equal {
			terms := e.Terms.([]*ast.Term)
			for side := 1; side <= 2 && b.sides[e] == 0; side++ {
				other := terms[3-side]
				v, bound := b.here(terms[side])
				if _, too := b.here(other); !bound || too {
					continue // neither could be bound: OPA would not have compiled it
				}
				b.sides[e], changed = side, true
				if scalar(other) {
					b.fixed[v] = true
				}
				b.takeBack(other)
			}
		}
	}
}

func (b *bindings) takeBack(t *ast.Term) {
	switch v := t.Value.(type) {
	case ast.Var:
		b.places[v]--
	case *ast.Array:
		v.Foreach(b.takeBack)
	case ast.Set:
		v.Foreach(b.takeBack)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { b.takeBack(key); b.takeBack(value) })
	}
}

func scalar(t *ast.Term) bool {
	switch t.Value.(type) {
	case ast.Null, ast.Boolean, ast.Number, ast.String:
		return true
	}
	return false
}

// iterates reports whether a body can hold in more than one way, each of which could have
// a rule be something else.
func (b *bindings) iterates(r *ast.Rule) (found bool) {
	look := func(t *ast.Term) bool {
		ref, ok := t.Value.(ast.Ref)
		if !ok || found {
			return false
		}
		for _, step := range ref[1:] {
			v, isVar := step.Value.(ast.Var)
			found = found || !scalar(step) && !(isVar && (b.parameters[v] || b.fixed[v]))
		}
		return false
	}
	openTerms(r.Head.Value, look)
	for _, e := range r.Body {
		if e.Negated {
			continue
		}
		switch terms := e.Terms.(type) {
		case *ast.Term:
			openTerms(terms, look)
		case []*ast.Term:
			found = found || terms[0].Value.String() == ast.WalkBuiltin.Name
			for _, t := range terms[1:] {
				openTerms(t, look)
			}
		}
	}
	return found
}

// openTerms are a term and those in it that are not in a comprehension, which is one value.
func openTerms(t *ast.Term, look func(*ast.Term) bool) {
	ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case *ast.ArrayComprehension, *ast.SetComprehension, *ast.ObjectComprehension:
			return true
		case *ast.Term:
			return look(x)
		}
		return false
	}).Walk(t)
}
