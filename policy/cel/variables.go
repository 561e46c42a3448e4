package cel

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// variableSet are the variables of some rules, compiled. It does not change.
type variableSet struct {
	names   map[string]int
	ordered []string
	results []plugincel.CompilationResult
	typeOf  *types.Type
	// template says that the first are those that every template has.
	template bool
}

// add adds a variable, or states one anew, as upstream takes it.
func (d *variableSet) add(name string, result plugincel.CompilationResult) {
	if i, ok := d.names[name]; ok {
		d.results[i] = result
		return
	}
	d.names[name] = len(d.results)
	d.ordered = append(d.ordered, name)
	d.results = append(d.results, result)
}

// computed is a variable that has been, and what that cost.
type computed struct {
	value ref.Val
	cost  int64
}

// variables are what the expressions of one evaluation see: each is computed when it is
// first asked for, and the expression that asked pays, as with upstream's own map, which
// looks a name up with a regular expression and computes what all constraints share for
// each of them.
type variables struct {
	of    *variableSet
	ctx   context.Context
	given *values
	shown *shown
	param *param // nil where that of the rules is no constraint's
	known []ref.Val
	cost  int64
}

var _ traits.Mapper = &variables{}

// takeCost is what was computed since it was last asked.
func (v *variables) takeCost() int64 {
	cost := v.cost
	v.cost = 0
	return cost
}

// Find implements traits.Mapper.
func (v *variables) Find(key ref.Val) (ref.Val, bool) {
	text, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key), true
	}
	name := string(text)
	if strings.Contains(name, "__") {
		if name, ok = apiservercel.Unescape(name); !ok {
			return nil, false
		}
	}
	i, ok := v.of.names[name]
	if !ok {
		return nil, false
	}
	if v.known[i] == nil {
		one := v.compute(name, i)
		v.known[i] = one.value
		v.cost += one.cost
	}
	return v.known[i], true
}

// compute is a variable, which all constraints of a request, or all requests of a
// constraint, may share.
func (v *variables) compute(name string, i int) computed {
	switch {
	case !v.of.template || i >= len(templateVariables):
		return evaluateVariable(v.ctx, name, v.of.results[i], v.given)
	case i == 0:
		if v.shown.anyObject.value == nil {
			v.shown.anyObject = evaluateVariable(v.ctx, name, v.of.results[i], v.given)
		}
		return v.shown.anyObject
	case v.param != nil && v.param.parameters.value != nil:
		return v.param.parameters
	}
	return evaluateVariable(v.ctx, name, v.of.results[i], v.given)
}

// evaluateVariable is upstream's (variableAccessor.Callback).
func evaluateVariable(ctx context.Context, name string, result plugincel.CompilationResult, given *values) computed {
	if result.Error != nil {
		return computed{value: types.NewErr("composited variable %q fails to compile: %v", name, result.Error)}
	}
	value, details, err := result.Program.ContextEval(ctx, given)
	if details == nil {
		return computed{value: types.NewErr("unable to get evaluation details of variable %q", name)}
	}
	cost := details.ActualCost()
	if cost == nil {
		return computed{value: types.NewErr("unable to calculate cost of variable %q", name)}
	}
	c := computed{value: value, cost: int64(min(*cost, math.MaxInt64))}
	if err != nil {
		c.value = types.NewErr("composited variable %q fails to evaluate: %v", name, err)
	}
	return c
}

// Get implements traits.Indexer.
func (v *variables) Get(key ref.Val) ref.Val {
	if value, ok := v.Find(key); ok {
		return value
	}
	return types.ValOrErr(key, "no such key: %v", key)
}

// Contains implements traits.Container.
func (v *variables) Contains(key ref.Val) ref.Val {
	value, ok := v.Find(key)
	if value != nil && types.IsUnknownOrError(value) {
		return value
	}
	return types.Bool(ok)
}

// Type implements ref.Val.
func (v *variables) Type() ref.Type { return v.of.typeOf }

// Size implements traits.Sizer.
func (v *variables) Size() ref.Val { return types.Int(len(v.of.results)) }

// Iterator implements traits.Iterable: as with upstream's, over the values.
func (v *variables) Iterator() traits.Iterator { return &eachVariable{variables: v} }

// Equal implements ref.Val.
func (v *variables) Equal(other ref.Val) ref.Val {
	o, ok := other.(*variables)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Bool(v == o)
}

// ConvertToType implements ref.Val.
func (v *variables) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case v.of.typeOf:
		return v
	case types.TypeType:
		return v.of.typeOf
	}
	return types.NewErr("disallowed conversion from %q to %q", v.of.typeOf.TypeName(), to.TypeName())
}

// Value implements ref.Val.
func (v *variables) Value() any { return types.NoSuchOverloadErr() }

// ConvertToNative implements ref.Val.
func (v *variables) ConvertToNative(to reflect.Type) (any, error) {
	return nil, fmt.Errorf("disallowed conversion from %q to %q", v.of.typeOf.TypeName(), to.Name())
}

// eachVariable goes through variables in their order.
type eachVariable struct {
	*variables
	next int
}

// HasNext implements traits.Iterator.
func (e *eachVariable) HasNext() ref.Val { return types.Bool(e.next < len(e.of.ordered)) }

// Next implements traits.Iterator.
func (e *eachVariable) Next() ref.Val {
	e.next++
	return e.Get(types.String(e.of.ordered[e.next-1]))
}

// Type implements ref.Val.
func (e *eachVariable) Type() ref.Type { return types.IteratorType }
