package rego

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// document is what the rules of one name make: a value, a set, an object, or a function.
type document struct {
	name  string
	kind  documentKind
	rules []*ast.Rule
	// why says that the rules are not of a form that is known.
	why string

	value alias
	// fields are what stands under each key of what a set's rules put into it; nil where
	// they do not all put objects with keys that are known.
	fields     map[string]*alias
	parameters []alias
	scopes     []*scope
	// asked says that it is data.template.violation.
	asked bool
	// reached says that it is evaluated; early that the evaluation may end before all of
	// it has been.
	reached, early bool
	// fails says that the rules may contradict each other, which is an error; used are the
	// documents that the rules ask for.
	fails bool
	used  map[*document]bool
}

type documentKind uint8

const (
	oneOf documentKind = iota
	setOf
	objectOf
	function
)

// scope is one rule of a document, with its else.
type scope struct {
	of    *document
	rule  *ast.Rule
	bound *bindings
	vars  map[ast.Var]*alias
}

// documentName is the name of the document that a reference from data on leads to, and how
// many steps lead there; empty where there is none.
func (f *follower) documentName(ref ast.Ref) (name string, steps int) {
	name = ref[0].Value.String()
	for i, step := range ref[1:] {
		text, ok := step.Value.(ast.String)
		if !ok {
			return "", 0
		}
		name += pathMark + string(text)
		if f.documents[name] != nil {
			return name, i + 2
		}
	}
	return "", 0
}

// define adds a rule to its document.
func (f *follower) define(r *ast.Rule) {
	name := ""
	for _, step := range r.Module.Package.Path {
		switch v := step.Value.(type) {
		case ast.Var:
			name += string(v) + pathMark
		case ast.String:
			name += string(v) + pathMark
		}
	}
	own := r.Head.Ref()
	first, _ := own[0].Value.(ast.Var)
	name += string(first)
	d := f.documents[name]
	if d == nil {
		d = &document{name: strings.ReplaceAll(name, pathMark, ".")}
		f.documents[name] = d
	}
	kind, steps := oneOf, 1
	switch {
	case len(r.Head.Args) > 0:
		kind = function
	case r.Head.Key != nil && r.Head.Value == nil:
		kind = setOf
	case r.Head.Key != nil:
		kind, steps = objectOf, 2
	}
	if len(own) != steps || len(d.rules) > 0 && kind != d.kind {
		d.why = d.name + " has rules of a form that is not known"
	}
	d.kind = kind
	d.rules = append(d.rules, r)
}

// reach has a document followed.
func (f *follower) reach(d *document, early bool) {
	if d.why != "" {
		f.fail(d.why)
		return
	}
	if !d.reached {
		d.parameters = make([]alias, len(d.rules[0].Head.Args))
		for _, r := range d.rules {
			d.scopes = append(d.scopes, &scope{of: d, rule: r, bound: bindingsOf(r, f.takes), vars: map[ast.Var]*alias{}})
		}
		if d.kind == setOf && !slices.ContainsFunc(d.scopes, func(s *scope) bool { return s.object() == nil }) {
			d.fields = map[string]*alias{}
		}
		d.reached, f.changed = true, true
		f.reached = append(f.reached, d)
	}
	if early && !d.early {
		d.early, f.changed = true, true
	}
}

// takes is how many arguments a function has.
func (f *follower) takes(function *ast.Term) int {
	ref, ok := function.Value.(ast.Ref)
	if !ok {
		return 0
	}
	if name, _ := f.documentName(ref); name != "" {
		return len(f.documents[name].rules[0].Head.Args)
	}
	if b := ast.BuiltinMap[ref.String()]; b != nil {
		return len(b.Decl.FuncArgs().Args)
	}
	return 0
}

// follow goes over the rules once.
func (d *document) follow(f *follower) {
	one := d.single(f)
	for _, s := range d.scopes {
		for r := s.rule; r != nil; r = r.Else {
			w := &walk{follower: f, scope: s, early: d.early || d.kind == function || d.kind == oneOf}
			for i, arg := range r.Head.Args {
				if v, ok := arg.Value.(ast.Var); ok && s.bound.places[v] == 1 {
					w.be(v, &d.parameters[i])
				} else {
					w.compare(arg, &d.parameters[i]) // or looked up by
				}
			}
			w.body(r.Body)
			w.head(r, one)
		}
	}
}

// single reports whether the rules cannot make different values at once, which would be
// an error: whether there is one is then decided by the values.
func (d *document) single(f *follower) bool {
	if d.kind == setOf {
		return true
	}
	if d.kind == objectOf {
		f.failing(d)
		return false
	}
	var value *ast.Term
	constant, chains := true, 0
	for _, s := range d.scopes {
		if !s.rule.Default {
			chains++
		}
		for r := s.rule; r != nil; r = r.Else {
			if !scalar(r.Head.Value) {
				constant = false
			}
		}
	}
	if !constant {
		if chains <= 1 {
			iterates := false
			for _, s := range d.scopes {
				for r := s.rule; r != nil; r = r.Else {
					iterates = iterates || s.bound.iterates(r)
				}
			}
			if !iterates {
				return true
			}
		}
		f.failing(d)
		return false
	}
	for _, s := range d.scopes {
		for r := s.rule; r != nil && !s.rule.Default; r = r.Else {
			if value != nil && !value.Equal(r.Head.Value) && chains > 1 {
				f.failing(d)
			}
			value = r.Head.Value
		}
	}
	return true
}

func (f *follower) failing(d *document) {
	if !d.fails {
		d.fails, f.changed = true, true
	}
}

// risky reports whether the rules can end in an error. Where their evaluation may end
// before, the order in which it goes decides whether it does.
func (d *document) risky(seen map[*document]bool) bool {
	if seen[d] {
		return false
	}
	seen[d] = true
	if d.fails {
		return true
	}
	for other := range d.used {
		if other.risky(seen) {
			return true
		}
	}
	return false
}

// head has the document be what a rule makes it.
func (w *walk) head(r *ast.Rule, single bool) {
	d, grown := w.scope.of, false
	switch d.kind {
	case setOf:
		key := w.term(r.Head.Key)
		w.present(r.Head.Key, key)
		object := w.scope.object()
		if d.asked && (object == nil || object.Get(ast.StringTerm("msg")) == nil) {
			// Only of an object with a msg is it certain that it is told: as a violation, or
			// as an error where the msg is no text.
			w.readWhole(key)
		}
		if d.fields != nil {
			object.Foreach(func(name, value *ast.Term) {
				grown = w.join(d.field(name), w.part(value)) || grown
			})
		}
		grown = w.join(&d.value, w.made(true, key)) || grown
	case objectOf:
		key, value := w.term(r.Head.Key), w.term(r.Head.Value)
		w.readWhole(key)
		w.readWhole(value)
		grown = w.join(&d.value, w.made(false, key, value))
	default:
		value := w.term(r.Head.Value)
		w.present(r.Head.Value, value)
		if !single {
			w.readWhole(value)
		}
		grown = w.join(&d.value, value)
	}
	w.changed = w.changed || grown
}

// field is what stands under a key of a set's elements.
func (d *document) field(name *ast.Term) *alias {
	text := string(name.Value.(ast.String))
	if d.fields[text] == nil {
		d.fields[text] = &alias{}
	}
	return d.fields[text]
}

// object is what a rule puts into a set, where that is an object whose keys are texts; nil
// for anything else.
func (s *scope) object() ast.Object {
	key := s.rule.Head.Key
	for _, e := range s.rule.Body {
		if side := s.bound.sides[e]; side != 0 && !e.Negated && e.Terms.([]*ast.Term)[side].Equal(key) {
			key = e.Terms.([]*ast.Term)[3-side]
			break
		}
	}
	object, ok := key.Value.(ast.Object)
	if !ok || !named(object) {
		return nil
	}
	return object
}

func named(object ast.Object) bool {
	return !object.Until(func(key, _ *ast.Term) bool { _, ok := key.Value.(ast.String); return !ok })
}
