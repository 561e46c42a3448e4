package query

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// FieldChange is one field that is different. Before is nil where it was not there, and
// After where it is gone. Both are JSON.
type FieldChange struct {
	Path          string
	Before, After json.RawMessage
}

// maxFieldChanges is how many changes of fields are told of one object.
const maxFieldChanges = 1000

// Diff is what is different between two objects, in order of the paths. What was added or
// taken away whole is told as a whole, as long as that is short; metadata and spec never
// are. Lists whose elements all have a name of their own are compared by
// it, others by position.
func Diff(before, after map[string]any) []FieldChange {
	d := &differ{}
	switch {
	case before == nil:
		d.whole("", after, true)
	case after == nil:
		d.whole("", before, false)
	default:
		d.maps("", before, after)
	}
	return d.found
}

type differ struct{ found []FieldChange }

func (d *differ) add(path string, before, after json.RawMessage) {
	if len(d.found) < maxFieldChanges {
		d.found = append(d.found, FieldChange{path, before, after})
	}
}

func (d *differ) values(path string, before, after any) {
	if b, ok := before.(map[string]any); ok {
		if a, ok := after.(map[string]any); ok {
			d.maps(path, b, a)
			return
		}
	}
	if b, ok := before.([]any); ok {
		if a, ok := after.([]any); ok {
			d.lists(path, b, a)
			return
		}
	}
	if !reflect.DeepEqual(before, after) {
		d.add(path, encode(before), encode(after))
	}
}

func (d *differ) maps(path string, before, after map[string]any) {
	for _, key := range sortedKeys(before, after) {
		b, was := before[key]
		a, is := after[key]
		at := join(path, key)
		switch {
		case !was:
			d.whole(at, a, true)
		case !is:
			d.whole(at, b, false)
		default:
			d.values(at, b, a)
		}
	}
}

func (d *differ) lists(path string, before, after []any) {
	b, a := named(before), named(after)
	if b == nil && len(before) > 0 || a == nil && len(after) > 0 {
		for i := range max(len(before), len(after)) {
			at := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case i >= len(before):
				d.whole(at, after[i], true)
			case i >= len(after):
				d.whole(at, before[i], false)
			default:
				d.values(at, before[i], after[i])
			}
		}
		return
	}
	for _, name := range sortedKeys(b, a) {
		at := path + "[" + quoted(name) + "]"
		x, was := b[name]
		y, is := a[name]
		switch {
		case !was:
			d.whole(at, y, true)
		case !is:
			d.whole(at, x, false)
		default:
			d.values(at, x, y)
		}
	}
}

// fewBytes is how long a value may be to be told in one piece.
const fewBytes = 60

// whole tells of a value that was added or taken away.
func (d *differ) whole(path string, value any, added bool) {
	encoded := encode(value)
	list, isList := value.([]any)
	object, isMap := value.(map[string]any)
	switch {
	case isMap && len(object) > 0 && (!strings.ContainsAny(path, ".[") || len(encoded) > fewBytes):
		for _, key := range sortedKeys(object, nil) {
			d.whole(join(path, key), object[key], added)
		}
	case isList && len(list) > 0 && len(encoded) > fewBytes:
		names := namesOf(list)
		for i, element := range list {
			at := fmt.Sprintf("%s[%d]", path, i)
			if names != nil {
				at = path + "[" + quoted(names[i]) + "]"
			}
			d.whole(at, element, added)
		}
	case added:
		d.add(path, nil, encoded)
	default:
		d.add(path, encoded, nil)
	}
}

// namesOf are the names of a list's elements; nil unless each has one of its own.
func namesOf(list []any) []string {
	names := make([]string, 0, len(list))
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, ok := object["name"].(string)
		if !ok {
			if name, ok = object["type"].(string); !ok { // as conditions have
				return nil
			}
		}
		names = append(names, name)
	}
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(names) {
		return nil
	}
	return names
}

// named are the elements of a list by their names; nil where they have none.
func named(list []any) map[string]any {
	names := namesOf(list)
	if names == nil {
		return nil
	}
	m := make(map[string]any, len(list))
	for i, name := range names {
		m[name] = list[i]
	}
	return m
}

func sortedKeys(a, b map[string]any) []string {
	keys := make([]string, 0, len(a)+len(b))
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// join puts a key to a path. A key that would look like more than one is quoted.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\"/ ") {
		return path + "[" + quoted(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func quoted(key string) string { return string(encode(key)) }

// encode is a value as JSON on one line.
func encode(value any) json.RawMessage {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return json.RawMessage("null") // never of what JSON was read into
	}
	return bytes.TrimSpace(out.Bytes())
}
