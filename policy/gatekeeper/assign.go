package gatekeeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
)

// assigned is spec.parameters.assign: exactly one of its fields is set.
type assigned struct {
	Value        json.RawMessage `json:"value,omitempty"`
	FromMetadata *struct {
		Field string `json:"field,omitempty"`
	} `json:"fromMetadata,omitempty"`
	ExternalData *externalData `json:"externalData,omitempty"`

	// value is Value; its numbers are floats, as Gatekeeper reads them.
	value any
	given bool
}

func (a *assigned) check() error {
	set := 0
	if string(a.Value) == "null" {
		a.Value = nil
	}
	for _, given := range []bool{len(a.Value) > 0, a.FromMetadata != nil, a.ExternalData != nil} {
		if given {
			set++
		}
	}
	if set != 1 {
		return errors.New("spec.parameters.assign: set one of value, fromMetadata and externalData")
	}
	switch {
	case a.FromMetadata != nil:
		if f := a.FromMetadata.Field; f != "name" && f != "namespace" {
			return fmt.Errorf("spec.parameters.assign.fromMetadata.field: %q is none of name and namespace", f)
		}
	case a.ExternalData != nil:
		return a.ExternalData.check()
	default:
		a.given = true
		if err := json.Unmarshal(a.Value, &a.value); err != nil {
			return fmt.Errorf("spec.parameters.assign.value: %w", err)
		}
	}
	return nil
}

// setter says what the field becomes.
func (a *assigned) setter(w *mutating) location.Setter {
	switch {
	case a.FromMetadata != nil && a.FromMetadata.Field == "name":
		return &assignSetter{w, w.object.GetName()}
	case a.FromMetadata != nil:
		return &assignSetter{w, w.object.GetNamespace()}
	case a.ExternalData != nil:
		p := &placeholder{of: a.ExternalData}
		if a.ExternalData.DataSource == dataSourceUsername {
			p.key = w.username
		}
		return &assignSetter{w, p}
	}
	return &assignSetter{w, a.value}
}

func readAssign(m *mutator, parameters json.RawMessage) error {
	var p struct {
		PathTests []pathTest `json:"pathTests,omitempty"`
		Assign    assigned   `json:"assign,omitempty"`
	}
	if err := strictly(parameters, &p); err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	if m.inMetadata() {
		return errors.New("spec.location: an Assign does not change metadata; use an AssignMetadata")
	}
	if err := m.checkKey(); err != nil {
		return err
	}
	if err := p.Assign.check(); err != nil {
		return err
	}
	if m.endsInList() {
		end := m.location[len(m.location)-1]
		item, ok := p.Assign.value.(map[string]any)
		switch {
		case !p.Assign.given:
			return errors.New("spec.location: it ends with an item of a list, to which only a value can be assigned")
		case end.All:
			return errors.New("spec.location: it must not end with all items of a list")
		case !ok:
			return errors.New("spec.parameters.assign.value: only an object can be the item of a list")
		case !equalScalars(end.Value, item[end.Name]):
			return fmt.Errorf("spec.parameters.assign.value: its %s is not that of the location", end.Name)
		}
	}
	m.last, m.terminates, m.data = location.TypeUnknown, p.Assign.ExternalData != nil, p.Assign.ExternalData
	m.value = p.Assign.setter
	return m.checkTests(p.PathTests)
}

// equalScalars compares a key with a value, which may be of any type.
func equalScalars(key, value any) bool {
	switch value.(type) {
	case string, int64, float64, bool:
		return key == value
	}
	return false
}

func readAssignMetadata(m *mutator, parameters json.RawMessage) error {
	var p struct {
		Assign assigned `json:"assign,omitempty"`
	}
	if err := strictly(parameters, &p); err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	if len(m.location) != 3 || m.location[1].List || m.location[2].List || !m.inMetadata() || !slices.Contains([]string{"labels", "annotations"}, m.location[1].Name) {
		return errors.New("spec.location: an AssignMetadata sets metadata.labels.NAME or metadata.annotations.NAME")
	}
	if err := p.Assign.check(); err != nil {
		return err
	}
	if d := p.Assign.ExternalData; d != nil && d.DataSource != dataSourceUsername {
		return errors.New("spec.parameters.assign.externalData.dataSource: an AssignMetadata knows Username alone")
	}
	if _, ok := p.Assign.value.(string); p.Assign.given && !ok {
		return errors.New("spec.parameters.assign.value: it must be a string")
	}
	m.value, m.data = p.Assign.setter, p.Assign.ExternalData
	// What is there already stays.
	var err error
	m.tests, err = location.NewTests(m.location, []location.Test{{SubPath: m.location, Condition: location.MustNotExist}})
	return err
}

// assignSetter sets a value.
type assignSetter struct {
	w     *mutating
	value any
}

// Set implements location.Setter.
func (s *assignSetter) Set(fields map[string]any, name string) error {
	value, there := s.value, fields[name]
	if p, ok := value.(*placeholder); ok {
		fresh := *p
		switch before := there.(type) {
		case *placeholder:
			fresh.key = before.key
		case string:
			fresh.key = before
		default:
			if _, ok := fields[name]; ok {
				return errors.New("only a string can be looked up at a provider")
			}
		}
		value = &fresh
	}
	if there, ok := fields[name]; ok && reflect.DeepEqual(there, value) {
		return nil
	}
	s.w.change()
	fields[name] = copyOf(value)
	return nil
}

// Item implements location.Setter.
func (s *assignSetter) Item() (map[string]any, error) {
	item, ok := s.value.(map[string]any)
	if !ok {
		return nil, errors.New("only an object can be the item of a list")
	}
	return item, nil
}

// Replace implements location.Setter.
func (s *assignSetter) Replace(items []any, i int, item map[string]any) []any {
	if i < len(items) && reflect.DeepEqual(items[i], any(item)) {
		return items
	}
	s.w.change()
	if i == len(items) {
		return append(items, copyOf(item))
	}
	items[i] = copyOf(item)
	return items
}

// copyOf is a deep copy of content that may hold placeholders; they do not change.
func copyOf(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		fresh := make(map[string]any, len(v))
		for key, one := range v {
			fresh[key] = copyOf(one)
		}
		return fresh
	case []any:
		if v == nil {
			return v
		}
		fresh := make([]any, len(v))
		for i, one := range v {
			fresh[i] = copyOf(one)
		}
		return fresh
	case *placeholder:
		return v
	}
	return runtime.DeepCopyJSONValue(value)
}
