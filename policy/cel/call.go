package cel

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// call is what a function makes of its operands. It reads them wholly, but for those
// functions that are known not to.
func (a *analysis) call(e ast.Expr) reach {
	c := e.AsCall()
	operands := c.Args()
	if c.IsMemberFunction() {
		operands = append([]ast.Expr{c.Target()}, operands...)
	}
	switch name, n := c.FunctionName(), len(operands); {
	case name == operators.Conditional && n == 3:
		a.whole(a.of(operands[0]))
		return join(a.of(operands[1]), a.of(operands[2]))
	case (name == operators.Equals || name == operators.NotEquals) && n == 2 && (isNull(operands[0]) || isNull(operands[1])):
		a.shape(a.of(operands[0]))
		a.shape(a.of(operands[1]))
		return reach{}
	case (name == operators.Index || name == operators.OptIndex || name == operators.OptSelect) && n == 2:
		return a.index(a.of(operands[0]), operands[1])
	case (name == operators.In || name == operators.OldIn) && n == 2:
		a.whole(a.of(operands[0]))
		if in := a.of(operands[1]); a.suppose(in, true) {
			a.shape(in)
		} else {
			a.whole(in)
		}
		return reach{}
	case name == operators.Add && n == 2:
		return a.add(e, operands[0], operands[1])
	case name == "size" && n == 1:
		if of := a.of(operands[0]); a.suppose(of, false) {
			a.shape(of)
		} else {
			a.whole(of)
		}
		return reach{}
	// An optional leads to what it holds.
	case (name == "dyn" || name == "optional.of" || name == "value") && n == 1:
		return a.of(operands[0])
	case name == "optional.none" && n == 0:
		return reach{}
	case name == "hasValue" && n == 1:
		a.shape(a.of(operands[0]))
		return reach{}
	case (name == "or" || name == "orValue") && n == 2:
		return join(a.of(operands[0]), a.of(operands[1]))
	case (name == "first" || name == "last") && n == 1:
		return a.elements(a.of(operands[0]))
	case name == "flatten" && n == 1:
		return a.flatten(a.of(operands[0]))
	case name == "cel.@mapInsert" && n == 3:
		a.whole(a.of(operands[1]))
		return a.made([]reach{a.elements(a.of(operands[0])), a.of(operands[2])})
	}
	for _, one := range operands {
		a.whole(a.of(one))
	}
	return reach{}
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// index is what a key leads to, or the number of an element.
func (a *analysis) index(r reach, key ast.Expr) reach {
	if key.Kind() == ast.LiteralKind {
		if name, ok := key.AsLiteral().(types.String); ok {
			return a.field(r, string(name))
		}
	}
	a.whole(a.of(key))
	for _, one := range r.sum {
		a.read(one) // what is no list has no elements to some, and is an error to others
	}
	return a.elements(r)
}

// add is a sum. Two lists are most often added to go through their elements, so that
// nothing is read of these yet; of other types a sum is computed from all of them.
func (a *analysis) add(e ast.Expr, left, right ast.Expr) reach {
	sum := join(a.of(left), a.of(right))
	for _, one := range []ast.Expr{left, right, e} {
		switch a.checked.GetType(one.ID()).Kind() {
		case types.ListKind, types.DynKind:
		default:
			a.whole(sum)
			return reach{}
		}
	}
	a.lost = a.lost || sum.variables
	for i := range sum.at {
		a.shape(reach{at: sum.at[i : i+1]})
	}
	return reach{sum: union(sum.sum, sum.at), each: sum.each}
}

// flatten is the elements of a list, and those of them that are lists themselves.
func (a *analysis) flatten(r reach) reach {
	elements := a.elements(r)
	return a.made([]reach{elements, a.elements(elements)})
}
