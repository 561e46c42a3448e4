package builtin

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// object, list and text are a field of an object, or the empty one where it is
// missing or of another type: what an API server would not let pass is no policy's
// to judge.
func object(in map[string]any, field string) map[string]any {
	o, _ := in[field].(map[string]any)
	return o
}

func list(in map[string]any, field string) []any {
	l, _ := in[field].([]any)
	return l
}

func text(in map[string]any, field string) string {
	s, _ := in[field].(string)
	return s
}

// flag is a boolean, and whether it is set.
func flag(in map[string]any, field string) (value, set bool) {
	value, set = in[field].(bool)
	return value, set
}

// number is a whole number, and whether it is set.
func number(in map[string]any, field string) (int64, bool) {
	switch n := in[field].(type) {
	case int64:
		return n, true
	case float64: // of a decoder that knows no whole numbers
		return int64(n), float64(int64(n)) == n
	}
	return 0, false
}

// field is what is at a path of names.
func field(in map[string]any, path string) any {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		if !deeper {
			return in[name]
		}
		if in = object(in, name); in == nil {
			return nil
		}
		path = rest
	}
}

// same reports whether two values of JSON's types are equal. Unlike
// reflect.DeepEqual it needs no memory.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case nil, string, bool, int64, float64:
		return a == b
	default:
		return reflect.DeepEqual(a, b)
	}
}

// annotations are those of an object as they are written.
func annotations(o *unstructured.Unstructured) map[string]any {
	return object(object(o.Object, "metadata"), "annotations")
}
