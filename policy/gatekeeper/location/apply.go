package location

import (
	"errors"
	"fmt"
	"slices"
)

// Setter says what becomes of the field at the end of a location.
type Setter interface {
	// Set puts the value of a field into the map that has it, or will have it.
	Set(fields map[string]any, name string) error
	// Item is the item of a list that a location ends with, or an error where there
	// can be none. Replace puts it in, at the end where i is that.
	Item() (map[string]any, error)
	Replace(items []any, i int, item map[string]any) []any
}

// Apply goes to the end of a location, making what is missing on the way, and has the
// field set there. applied is false where a test does not hold; then the object is as
// it was. The object is changed in place; after an error it is of no use.
func Apply(object map[string]any, l Location, tests Tests, setter Setter) (applied bool, err error) {
	if len(l) == 0 {
		return false, errors.New("the location is empty")
	}
	w := walk{l, tests, setter}
	applied, _, err = w.step(object, 0)
	return applied, err
}

type walk struct {
	location Location
	tests    Tests
	setter   Setter
}

// step applies the rest of the location to a value; what it returns takes its place
// where something was applied.
func (w *walk) step(value any, depth int) (bool, any, error) {
	if w.location[depth].List {
		items, ok := value.([]any)
		if !ok {
			return false, nil, w.mismatch(depth, "a list", value)
		}
		return w.items(slices.Clone(items), depth)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return false, nil, w.mismatch(depth, "a map of fields", value)
	}
	return w.field(fields, depth)
}

func (w *walk) mismatch(depth int, wanted string, value any) error {
	return fmt.Errorf("%s: %s belongs there, and %s is there", w.location[:max(depth, 1)], wanted, kindOf(value))
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "a map of fields"
	case []any:
		return "a list"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	}
	return "a number"
}

func (w *walk) field(fields map[string]any, depth int) (bool, any, error) {
	name := w.location[depth].Name
	next, exists := fields[name]
	if exists && !w.tests.mayExist(depth) || !exists && !w.tests.mayMiss(depth) {
		return false, nil, nil
	}
	if depth == len(w.location)-1 {
		if err := w.setter.Set(fields, name); err != nil {
			return false, nil, fmt.Errorf("%s: %w", w.location, err)
		}
		return true, fields, nil
	}
	if !exists {
		var err error
		if next, err = w.missing(depth); err != nil {
			return false, nil, err
		}
	}
	applied, next, err := w.step(next, depth+1)
	if err != nil {
		return false, nil, err
	}
	if applied {
		fields[name] = next
	}
	return applied, fields, nil
}

func (w *walk) items(items []any, depth int) (bool, any, error) {
	n := w.location[depth]
	if depth == len(w.location)-1 {
		return w.item(items, depth)
	}
	if n.All && !w.tests.mayExist(depth) {
		return false, nil, nil
	}
	applied, found := false, false
	for _, item := range items {
		if !n.All {
			fields, ok := item.(map[string]any)
			if !ok {
				continue
			}
			if key, ok := fields[n.Name]; !ok || n.Value != key {
				continue
			}
			if !w.tests.mayExist(depth) {
				return false, nil, nil
			}
		}
		found = true
		one, _, err := w.step(item, depth+1)
		if err != nil {
			return false, nil, err
		}
		applied = applied || one
	}
	if found || n.All {
		return applied, items, nil
	}
	if !w.tests.mayMiss(depth) {
		return false, nil, nil
	}
	next, err := w.missing(depth)
	if err != nil {
		return false, nil, err
	}
	applied, _, err = w.step(next, depth+1)
	if err != nil {
		return false, nil, err
	}
	return applied, append(items, next), nil
}

// item sets an item of a list as a whole.
func (w *walk) item(items []any, depth int) (bool, any, error) {
	n := w.location[depth]
	item, err := w.setter.Item()
	switch {
	case err != nil:
		return false, nil, fmt.Errorf("%s: %w", w.location, err)
	case n.All:
		return false, nil, fmt.Errorf("%s: a location cannot end with all items", w.location)
	}
	for i, there := range items {
		fields, ok := there.(map[string]any)
		if !ok {
			return false, nil, w.mismatch(depth+1, "a map of fields", there)
		}
		if key, ok := fields[n.Name]; !ok || n.Value != key {
			continue
		}
		if item[n.Name] != n.Value {
			return false, nil, fmt.Errorf("%s: the key of an item must not change", w.location)
		}
		if !w.tests.mayExist(depth) {
			return false, nil, nil
		}
		return true, w.setter.Replace(items, i, item), nil
	}
	if !w.tests.mayMiss(depth) {
		return false, nil, nil
	}
	return true, w.setter.Replace(items, len(items), item), nil
}

// missing is what a location needs at a depth and the object lacks: for the next node
// to step into, and with the key of the list's item that it is.
func (w *walk) missing(depth int) (any, error) {
	n := w.location[depth]
	if w.location[depth+1].List {
		if n.List {
			return nil, fmt.Errorf("%s: a list cannot be in a list", w.location)
		}
		return []any{}, nil
	}
	if !n.List {
		return map[string]any{}, nil
	}
	return map[string]any{n.Name: n.Value}, nil
}
