package part

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Layouts are how Go types stand in JSON. The zero value is ready. It is safe for concurrent
// use.
type Layouts struct{ known sync.Map } // reflect.Type → *layout

// layout are the fields of a struct by their names in JSON, those of embedded structs
// among them.
type layout struct {
	fields map[string][]int
	all    [][]int  // in the order of the type
	names  []string // of each of all; empty for one that JSON does not have
	// nameless says that fields have no names for JSON: it is a type that a server has
	// for itself, and which no policy sees.
	nameless bool
	// leaf says that the type writes its own JSON, such as a time, a quantity, or content
	// of any form: of its fields nothing can be told about what policies see.
	leaf bool
}

var marshaler = reflect.TypeFor[json.Marshaler]()

func (l *Layouts) of(t reflect.Type) *layout {
	if found, ok := l.known.Load(t); ok {
		return found.(*layout)
	}
	fresh := &layout{fields: map[string][]int{}, leaf: t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)}
	fresh.add(t, nil)
	l.known.Store(t, fresh)
	return fresh
}

func (l *layout) add(t reflect.Type, above []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(above), i)
		tag, tagged := f.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		if f.Anonymous && f.Type.Kind() == reflect.Struct && name == "" {
			l.add(f.Type, at)
			continue
		}
		l.all, l.names = append(l.all, at), append(l.names, name)
		l.nameless = l.nameless || !tagged && f.IsExported()
		if _, known := l.fields[name]; !known && name != "" && name != "-" {
			l.fields[name] = at
		}
	}
}
