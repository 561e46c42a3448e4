package v1alpha1

import (
	"encoding/json"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// member is one field of a settings struct as a file spells it.
type member struct {
	// name is the field's name in the file.
	name string
	// index leads reflect.Value.FieldByIndex to it, through embedded structs.
	index []int
	typ   reflect.Type
	// required says that the section makes no sense without the field.
	required bool
}

var unmarshalerType = reflect.TypeFor[json.Unmarshaler]()

// isLeaf reports whether a file writes a value of type t as one scalar or list,
// rather than as a mapping of t's fields.
func isLeaf(t reflect.Type) bool {
	return t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(unmarshalerType)
}

// isSections reports whether a file writes a value of type t as a list of mappings.
func isSections(t reflect.Type) bool { return t.Kind() == reflect.Slice && !isLeaf(t.Elem()) }

// members returns the fields of a struct type in the order they are declared,
// those of inlined structs among them.
func members(t reflect.Type) []member {
	var all []member
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			for _, m := range members(f.Type) {
				m.index = append([]int{i}, m.index...)
				all = append(all, m)
			}
		default:
			all = append(all, member{name: name, index: []int{i}, typ: f.Type,
				required: !strings.Contains(options, "omitempty")})
		}
	}
	return all
}

// fieldPaths returns the path of every field below t, outer ones first. That of a field
// of a list's items is "webhooks[].url".
func fieldPaths(t reflect.Type, prefix string) []string {
	var paths []string
	for _, m := range members(t) {
		p := join(prefix, m.name)
		paths = append(paths, p)
		if u := deref(m.typ); !isLeaf(u) {
			paths = append(paths, fieldPaths(u, p)...)
		} else if isSections(u) {
			paths = append(paths, fieldPaths(u.Elem(), p+"[]")...)
		}
	}
	return paths
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// want says in words what a file writes for a value of type t.
func want(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return "a size such as 64Ki or 8Gi"
	case reflect.TypeFor[metav1.Duration]():
		return "a duration such as 30s or 2m"
	}
	if isSections(t) {
		return "a list of mappings"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int32:
		return "a whole number"
	case reflect.Slice:
		return "a list of strings"
	case reflect.Map:
		return "a mapping of names to true or false"
	default:
		return "a mapping of fields"
	}
}
