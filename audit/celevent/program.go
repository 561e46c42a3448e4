package celevent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Program is a compiled expression.
type Program struct {
	expression string
	// plan is how it is evaluated, made at the first evaluation.
	plan func() (cel.Program, error)
	// counted says that the cost of evaluations is counted.
	counted bool
	fields  []string
	bodies  bool
	checked *cel.Ast
}

// AST is the checked expression, for whoever can answer some of it without CEL.
func (p *Program) AST() *cel.Ast { return p.checked }

// String is the expression.
func (p *Program) String() string { return p.expression }

// Fields are the fields of the event that the expression mentions, sorted, such as
// user.username and requestObject; event where it speaks of the event as a whole.
func (p *Program) Fields() []string { return p.fields }

// Bodies reports whether the expression may ask for a body. Where it is false, Request
// and Response of an Event may be missing.
func (p *Program) Bodies() bool { return p.bodies }

// Eval evaluates the expression. An error is one of the evaluation: a key that is not
// there, a cost that was too high, a context that has ended.
func (p *Program) Eval(ctx context.Context, a *Activation) (ref.Val, error) {
	program, err := p.plan()
	if err != nil {
		return nil, err
	}
	value, _, err := program.ContextEval(ctx, a)
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Match evaluates a condition.
func (p *Program) Match(ctx context.Context, a *Activation) (bool, error) {
	value, err := p.Eval(ctx, a)
	if err != nil {
		return false, err
	}
	yes, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression gives %s, not bool", value.Type().TypeName())
	}
	return bool(yes), nil
}

// mentions are the fields of the event that an expression speaks of, and whether a body
// may be among them. A variable of a comprehension that is called event too only adds to
// them.
func mentions(checked *cel.Ast) (fields []string, bodies bool) {
	found := map[string]bool{}
	whole := map[int64]bool{}   // idents that no select has been seen around
	parents := map[int64]bool{} // selects that are inside a longer path
	root := ast.NavigateAST(checked.NativeRep())
	for _, e := range ast.MatchDescendants(root, ast.KindMatcher(ast.IdentKind)) {
		if e.AsIdent() == variable || e.AsIdent() == "."+variable {
			whole[e.ID()] = true
		}
	}
	selects := ast.MatchDescendants(root, ast.KindMatcher(ast.SelectKind))
	paths := map[int64]string{}
	for _, e := range selects {
		path, at := pathOf(e)
		if at == 0 || !whole[at] {
			continue
		}
		paths[e.ID()] = path
		if of := e.AsSelect().Operand(); of.Kind() == ast.SelectKind {
			parents[of.ID()] = true
		}
	}
	for _, e := range selects {
		path, ok := paths[e.ID()]
		if !ok {
			continue
		}
		_, at := pathOf(e)
		delete(whole, at)
		first, _, _ := strings.Cut(path, ".")
		switch {
		case first == requestObject || first == responseObject:
			bodies = true
			found[first] = true
		case !parents[e.ID()]:
			found[path] = true
		}
	}
	if len(whole) > 0 {
		bodies = true
		found[variable] = true
	}
	return slices.Sorted(maps.Keys(found)), bodies
}

// onlyNames reports whether an expression is a path such as event.user.username: a checked
// one can always be planned, while a plan works out what is constant, and int("x") fails.
func onlyNames(checked *cel.Ast) bool {
	for e := checked.NativeRep().Expr(); ; e = e.AsSelect().Operand() {
		switch e.Kind() {
		case ast.IdentKind:
			return true
		case ast.SelectKind:
		default:
			return false
		}
	}
}

// pathOf is the path of a select such as event.user.username without its variable, and
// the id of that; 0 where the path begins with something else.
func pathOf(e ast.Expr) (path string, ident int64) {
	for e.Kind() == ast.SelectKind {
		if path != "" {
			path = "." + path
		}
		path = e.AsSelect().FieldName() + path
		e = e.AsSelect().Operand()
	}
	if e.Kind() != ast.IdentKind {
		return "", 0
	}
	return path, e.ID()
}
