package part

import (
	"math"
	"reflect"
	"slices"
)

// What JSON is read into is written as the rest of the Writer does, byte for byte, without
// reflection: that costs a multiple of going through maps and lists, and such an object is
// written down for each request.

// asTree is a map as JSON is read into.
func asTree(v reflect.Value) (o map[string]any, ok bool) {
	if v.Kind() != reflect.Map || v.Type() != treeMap || !v.CanInterface() {
		return nil, false
	}
	o, ok = v.Interface().(map[string]any)
	return o, ok
}

// treePart is Part of what JSON is read into.
func (w *Writer) treePart(v any, fields []string, shape bool) {
	if w.Full() {
		return
	}
	switch {
	case v == nil:
		w.Text = append(w.Text, isNull, byte(len(fields)))
		return
	case len(fields) == 0 && shape:
		w.treeShape(v)
		return
	case len(fields) == 0:
		w.tree(v)
		return
	}
	field, rest := fields[0], fields[1:]
	switch of := v.(type) {
	case map[string]any:
		switch {
		case of == nil:
			w.Text = append(w.Text, isNull, byte(len(fields)))
		case field == Each:
			w.Text = append(w.Text, isMap)
			w.number(uint64(len(of)))
			for _, key := range sortedKeysOf(of) {
				w.String(key)
				w.treePart(of[key], rest, shape)
			}
		default:
			element, ok := of[field]
			if !ok {
				w.Text = append(w.Text, isAbsent, byte(len(fields)))
				return
			}
			w.treePart(element, rest, shape)
		}
	case []any:
		switch {
		case of == nil:
			w.Text = append(w.Text, isNull, byte(len(fields)))
		case field == Each:
			w.Text = append(w.Text, isList)
			w.number(uint64(len(of)))
			for i := range of {
				w.treePart(of[i], rest, shape)
			}
		default:
			w.Text = append(w.Text, isOther, byte(len(fields)))
			w.tree(v)
		}
	default:
		w.Part(boxed(v), fields, shape)
	}
}

// treeShape is shape of what JSON is read into.
func (w *Writer) treeShape(v any) {
	switch of := v.(type) {
	case map[string]any:
		w.Text = append(w.Text, isMap, presence(of != nil))
		w.number(uint64(len(of)))
		for _, key := range sortedKeysOf(of) {
			w.String(key)
		}
	case []any:
		w.Text = append(w.Text, isList, presence(of != nil))
		w.number(uint64(len(of)))
	default:
		w.shape(boxed(v))
	}
}

// tree is Whole of what JSON is read into.
func (w *Writer) tree(v any) {
	if w.Full() {
		return
	}
	switch of := v.(type) {
	case nil:
		w.Text = append(w.Text, isNull)
	case bool:
		if of {
			w.Text = append(w.Text, isTrue)
		} else {
			w.Text = append(w.Text, isFalse)
		}
	case int64:
		w.Text = append(w.Text, isInteger)
		w.number(uint64(of))
	case float64:
		w.Text = append(w.Text, isFloat)
		w.number(math.Float64bits(of))
	case string:
		w.Text = append(w.Text, isString)
		w.String(of)
	case []any:
		w.Text = append(w.Text, isList, presence(of != nil))
		w.number(uint64(len(of)))
		for i := range of {
			w.tree(of[i])
		}
	case map[string]any:
		w.Text = append(w.Text, isMap, presence(of != nil))
		w.number(uint64(len(of)))
		for _, key := range sortedKeysOf(of) {
			w.String(key)
			w.tree(of[key])
		}
	default:
		w.Whole(boxed(v))
	}
}

// boxed is a value with the interface around it, as it is had from a map or list.
func boxed(v any) reflect.Value { return reflect.ValueOf(&v).Elem() }

// sortedKeysOf is sortedKeys without reflection.
func sortedKeysOf[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// presence is nilness, of what is there or is not.
func presence(there bool) byte {
	if there {
		return 'V'
	}
	return 'N'
}
