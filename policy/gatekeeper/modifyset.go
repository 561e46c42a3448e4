package gatekeeper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
)

func readModifySet(m *mutator, parameters json.RawMessage) error {
	var p struct {
		PathTests []pathTest `json:"pathTests,omitempty"`
		Operation string     `json:"operation,omitempty"`
		Values    struct {
			FromList json.RawMessage `json:"fromList,omitempty"`
		} `json:"values,omitempty"`
	}
	if err := strictly(parameters, &p); err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	var values []any
	if len(bytes.TrimSpace(p.Values.FromList)) > 0 {
		if err := utiljson.Unmarshal(p.Values.FromList, &values); err != nil {
			return fmt.Errorf("spec.parameters.values.fromList: %w", err)
		}
	}
	switch {
	case m.inMetadata():
		return errors.New("spec.location: a ModifySet does not change metadata")
	case m.endsInList():
		return errors.New("spec.location: it must end with the list that is the set, not with an item")
	case p.Operation != "" && p.Operation != "merge" && p.Operation != "prune":
		return fmt.Errorf("spec.parameters.operation: %q is none of merge and prune", p.Operation)
	}
	m.last = location.TypeSet
	m.value = func(w *mutating) location.Setter { return &setSetter{noItems{}, w, values, p.Operation == "prune"} }
	return m.checkTests(p.PathTests)
}

// noItems is of setters that do not set the items of lists.
type noItems struct{}

// Item implements location.Setter.
func (noItems) Item() (map[string]any, error) {
	return nil, errors.New("an item of a list cannot be set")
}

// Replace implements location.Setter.
func (noItems) Replace(items []any, _ int, _ map[string]any) []any { return items }

// setSetter adds values to a list, where they are not there, or takes them out.
type setSetter struct {
	noItems
	w      *mutating
	values []any
	prune  bool
}

// Set implements location.Setter.
func (s *setSetter) Set(fields map[string]any, name string) error {
	there, ok := fields[name]
	if !ok {
		s.w.change() // what is missing on the way is made even where nothing is to be taken out
		if !s.prune {
			fields[name] = copyOf(s.values)
		}
		return nil
	}
	items, ok := there.([]any)
	if !ok {
		return errors.New("only a list can be a set")
	}
	if s.prune {
		kept := slices.DeleteFunc(slices.Clone(items), s.has)
		if kept == nil {
			kept = []any{}
		}
		if !reflect.DeepEqual(kept, items) {
			s.w.change()
			fields[name] = kept
		}
		return nil
	}
	merged := slices.Clip(items)
	for _, v := range s.values {
		if !slices.ContainsFunc(merged, func(one any) bool { return reflect.DeepEqual(one, v) }) {
			merged = append(merged, copyOf(v))
		}
	}
	if len(merged) != len(items) {
		s.w.change()
		fields[name] = merged
	}
	return nil
}

func (s *setSetter) has(one any) bool {
	return slices.ContainsFunc(s.values, func(v any) bool { return reflect.DeepEqual(one, v) })
}
