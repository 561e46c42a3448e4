package celevent

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// provider tells CEL of the types of an event, and of all others what the one below
// says. It implements types.Provider and types.Adapter.
type provider struct {
	types.Provider
	adapter types.Adapter
	// fields are made once, since a program is planned by asking for each.
	fields map[string]map[string]*types.FieldType
}

func newProvider(below types.Provider, adapter types.Adapter) *provider {
	p := &provider{Provider: below, adapter: adapter, fields: map[string]map[string]*types.FieldType{}}
	for of, all := range fields {
		p.fields[of] = map[string]*types.FieldType{}
		for name, f := range all {
			p.fields[of][name] = &types.FieldType{Type: f.typ, IsSet: f.set, GetFrom: f.get}
		}
	}
	return p
}

// FindIdent implements types.Provider: a type can be named, as in type(x) == audit.UserInfo.
func (p *provider) FindIdent(name string) (ref.Val, bool) {
	if t, ok := objectTypes[name]; ok {
		return t, true
	}
	return p.Provider.FindIdent(name)
}

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if t, ok := objectTypes[name]; ok {
		return types.NewTypeTypeWithParam(t), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if all, ok := p.fields[name]; ok {
		return slices.Sorted(maps.Keys(all)), true
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(of, name string) (*types.FieldType, bool) {
	if all, ok := p.fields[of]; ok {
		f, found := all[name]
		return f, found
	}
	return p.Provider.FindStructFieldType(of, name)
}

// NewValue implements types.Provider. An event is never made by an expression.
func (p *provider) NewValue(name string, values map[string]ref.Val) ref.Val {
	if _, ok := objectTypes[name]; ok {
		return types.NewErr("%s cannot be made in an expression", name)
	}
	return p.Provider.NewValue(name, values)
}

// NativeToValue implements types.Adapter.
func (p *provider) NativeToValue(value any) ref.Val {
	switch v := value.(type) {
	case *Activation:
		return &object{p, eventType, v}
	case userPart, impersonatedPart:
		return &object{p, userType, v}
	case objectRefPart:
		return &object{p, objectRefType, v}
	case statusPart:
		return &object{p, statusType, v}
	case authnPart:
		return &object{p, authnType, v}
	}
	return p.adapter.NativeToValue(value)
}

// object is an event or a part of one as a value of its own, where an expression does
// more with it than select a field.
type object struct {
	provider *provider
	typ      *types.Type
	part     any
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(to reflect.Type) (any, error) {
	if reflect.TypeOf(o.part).AssignableTo(to) {
		return o.part, nil
	}
	return nil, fmt.Errorf("%s is no %v", o.typ.TypeName(), to)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case types.TypeType:
		return o.typ
	case o.typ:
		return o
	}
	return types.NewErr("type conversion error from '%s' to '%s'", o.typ.TypeName(), to.TypeName())
}

// Equal implements ref.Val: two are equal where all their fields are.
func (o *object) Equal(other ref.Val) ref.Val {
	x, ok := other.(*object)
	if !ok || x.typ != o.typ {
		return types.False
	}
	for name := range fields[o.typ.TypeName()] {
		if o.Get(types.String(name)).Equal(x.Get(types.String(name))) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return o.typ }

// Value implements ref.Val. It is what the fields of the type are read from.
func (o *object) Value() any { return o.part }

// Get implements traits.Indexer.
func (o *object) Get(index ref.Val) ref.Val {
	f, err := o.field(index)
	if err != nil {
		return err
	}
	value, failed := f.GetFrom(o.part)
	if failed != nil {
		return types.WrapErr(failed)
	}
	return o.provider.NativeToValue(value)
}

// IsSet implements traits.FieldTester.
func (o *object) IsSet(index ref.Val) ref.Val {
	f, err := o.field(index)
	if err != nil {
		return err
	}
	return types.Bool(f.IsSet(o.part))
}

func (o *object) field(index ref.Val) (*types.FieldType, ref.Val) {
	name, ok := index.(types.String)
	if !ok {
		return nil, types.MaybeNoSuchOverloadErr(index)
	}
	f, ok := o.provider.fields[o.typ.TypeName()][string(name)]
	if !ok {
		return nil, types.NewErr("no such field '%s'", string(name))
	}
	return f, nil
}
