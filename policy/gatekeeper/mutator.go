package gatekeeper

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
)

// mutator is an Assign, AssignMetadata, ModifySet or AssignImage, compiled.
type mutator struct {
	source   gate.Source
	on       []policy.Selector
	how      policy.Mutation
	applyTo  []applyTo // nil for AssignMetadata, which applies to every kind
	match    *Match
	location location.Location
	tests    location.Tests
	// last is what it takes the field for that it sets, and terminates says that no
	// other may go further than that field.
	last       location.Type
	terminates bool
	// value says what to set, of an object that is being mutated.
	value func(*mutating) location.Setter
	// data is what an external provider is asked for; nil where none is.
	data *externalData

	group *mutatorGroup
}

var _ policy.Grouper = &mutator{}

// applyTo are kinds, spelled out, and the operations that count for them.
type applyTo struct {
	Groups     []string `json:"groups,omitempty"`
	Versions   []string `json:"versions,omitempty"`
	Kinds      []string `json:"kinds,omitempty"`
	Operations []string `json:"operations,omitempty"`
}

// mutatedOperations are those of requests that have something to mutate.
var mutatedOperations = []admission.Operation{admission.Create, admission.Update}

func (a *applyTo) operations() []admission.Operation {
	if len(a.Operations) == 0 || slices.Contains(a.Operations, "*") {
		return mutatedOperations
	}
	return slices.DeleteFunc(slices.Clone(mutatedOperations), func(o admission.Operation) bool { return !slices.Contains(a.Operations, string(o)) })
}

// covers reports whether it is for a kind and an operation. What has no operation, as
// what an ExpansionTemplate makes, must be covered by every one.
func (a *applyTo) covers(kind schema.GroupVersionKind, operation admission.Operation) bool {
	if !slices.Contains(a.Groups, kind.Group) || !slices.Contains(a.Versions, kind.Version) || !slices.Contains(a.Kinds, kind.Kind) {
		return false
	}
	operations := a.operations()
	return slices.Contains(operations, operation) || operation == "" && len(operations) == len(mutatedOperations)
}

func (a *applyTo) kinds() (all []schema.GroupVersionKind) {
	for _, group := range a.Groups {
		for _, version := range a.Versions {
			for _, kind := range a.Kinds {
				all = append(all, schema.GroupVersionKind{Group: group, Version: version, Kind: kind})
			}
		}
	}
	return all
}

// pathTest is one of spec.parameters.pathTests.
type pathTest struct {
	SubPath   string             `json:"subPath,omitempty"`
	Condition location.Condition `json:"condition,omitempty"`
}

// mutatorSpec is what the four kinds have in common.
type mutatorSpec struct {
	ApplyTo    []applyTo       `json:"applyTo,omitempty"`
	Match      json.RawMessage `json:"match,omitempty"`
	Location   string          `json:"location,omitempty"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// most bound what an object of a kind may hold.
const mostMutatorName, mostApplyTo, mostBindings = 63, 256, 4096

// mutatorKinds read the parameters of each kind.
var mutatorKinds = map[string]func(*mutator, json.RawMessage) error{
	"Assign": readAssign, "AssignMetadata": readAssignMetadata, "ModifySet": readModifySet, "AssignImage": readAssignImage,
}

// readMutator compiles a mutator. What Gatekeeper refuses is refused, and so is what
// the schemas of its kinds do not allow.
func readMutator(o policy.Object) (*mutator, error) {
	kind := o.GroupVersionKind()
	read := mutatorKinds[kind.Kind]
	switch {
	case read == nil:
		return nil, fmt.Errorf("the kind %q is none of Assign, AssignImage, AssignMetadata and ModifySet", kind.Kind)
	case !slices.Contains([]string{"v1", "v1beta1", "v1alpha1"}, kind.Version):
		return nil, fmt.Errorf("the version %q is none of v1, v1beta1 and v1alpha1", kind.Version)
	case len(o.GetName()) > mostMutatorName:
		return nil, fmt.Errorf("metadata.name: it has more than %d characters", mostMutatorName)
	}
	m := &mutator{source: o.Source}
	data, err := json.Marshal(o.Object["spec"])
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	var spec mutatorSpec
	if err := strictly(data, &spec); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	if m.match, err = readMatch(o.Unstructured); err != nil {
		return nil, err
	}
	if m.location, err = location.Parse(spec.Location); err != nil {
		return nil, fmt.Errorf("spec.location: %w", err)
	}
	if kind.Kind == "AssignMetadata" {
		if spec.ApplyTo != nil {
			return nil, errors.New("spec.applyTo: an AssignMetadata applies to every kind; use match.kinds")
		}
	} else if m.applyTo, err = checkApplyTo(spec.ApplyTo); err != nil {
		return nil, err
	}
	if err := read(m, spec.Parameters); err != nil {
		return nil, err
	}
	if text := o.GetAnnotations()[policy.OrderAnnotation]; text != "" {
		if m.how.Order, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("metadata.annotations[%s]: %q is no integer", policy.OrderAnnotation, text)
		}
	}
	m.on = m.selectors()
	return m, nil
}

// strictly reads JSON; a field that is not known is an error.
func strictly(data []byte, into any) error {
	if len(data) == 0 || string(data) == "null" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func checkApplyTo(list []applyTo) ([]applyTo, error) {
	if len(list) == 0 || len(list) > mostApplyTo {
		return nil, fmt.Errorf("spec.applyTo: there must be 1 to %d entries", mostApplyTo)
	}
	bindings := 0
	for i := range list {
		a := &list[i]
		if len(a.Groups) == 0 || len(a.Versions) == 0 || len(a.Kinds) == 0 {
			return nil, fmt.Errorf("spec.applyTo[%d]: groups, versions and kinds must all be named", i)
		}
		if bindings += len(a.Groups) * len(a.Versions) * len(a.Kinds); bindings > mostBindings {
			return nil, fmt.Errorf("spec.applyTo: there are more than %d kinds", mostBindings)
		}
		for j, o := range a.Operations {
			switch {
			case o != "CREATE" && o != "UPDATE" && o != "*":
				return nil, fmt.Errorf("spec.applyTo[%d].operations: %q is none of CREATE, UPDATE and *", i, o)
			case slices.Index(a.Operations, o) != j:
				return nil, fmt.Errorf("spec.applyTo[%d].operations: %q is there twice", i, o)
			case o == "*" && len(a.Operations) > 1:
				return nil, fmt.Errorf("spec.applyTo[%d].operations: * stands alone", i)
			}
		}
	}
	return list, nil
}

// checkTests compiles pathTests against the location.
func (m *mutator) checkTests(tests []pathTest) error {
	compiled := make([]location.Test, len(tests))
	for i, t := range tests {
		at, err := location.Parse(t.SubPath)
		if err != nil {
			return fmt.Errorf("spec.parameters.pathTests[%d].subPath: %w", i, err)
		}
		if t.Condition != location.MustExist && t.Condition != location.MustNotExist && t.Condition != "" {
			return fmt.Errorf("spec.parameters.pathTests[%d].condition: %q is none of MustExist and MustNotExist", i, t.Condition)
		}
		compiled[i] = location.Test{SubPath: at, Condition: t.Condition}
	}
	var err error
	if m.tests, err = location.NewTests(m.location, compiled); err != nil {
		return fmt.Errorf("spec.parameters.pathTests: %w", err)
	}
	return nil
}

func (m *mutator) inMetadata() bool {
	return len(m.location) > 0 && m.location[0] == location.Node{Name: "metadata"}
}

func (m *mutator) endsInList() bool {
	return len(m.location) > 0 && m.location[len(m.location)-1].List
}

// checkKey refuses to change the key by which an item of a list is found.
func (m *mutator) checkKey() error {
	n := len(m.location)
	if n == 0 {
		return errors.New("spec.location: name a field")
	}
	if n > 1 && m.location[n-2].List && m.location[n-2].Name == m.location[n-1].Name {
		return fmt.Errorf("spec.location: %s is the key of the list's items, and must not change", m.location[n-1].Name)
	}
	return nil
}

// selectors say what it can match at all: the kinds of applyTo that are among those of
// match, and resources alone, as Gatekeeper's webhook is registered for.
func (m *mutator) selectors() []policy.Selector {
	kinds := m.match.Kinds
	if len(kinds) == 0 {
		kinds = []Kinds{{}}
	}
	var all []policy.Selector
	if m.applyTo == nil {
		for _, k := range kinds {
			all = append(all, selectorOf(mutatedOperations, k.APIGroups, k.Kinds))
		}
		return all
	}
	for i := range m.applyTo {
		a := &m.applyTo[i]
		for _, k := range kinds {
			groups, names := among(a.Groups, k.APIGroups), among(a.Kinds, k.Kinds)
			if len(groups) > 0 && len(names) > 0 {
				all = append(all, selectorOf(a.operations(), groups, names))
			}
		}
	}
	return all
}

// among are those of a list that another one, in which "*" and nothing are everything,
// allows.
func among(list, allowed []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(one string) bool { return !anyOf(allowed, one) })
}

// selectorOf is for requests about objects of some kinds, but not about parts of them.
func selectorOf(operations []admission.Operation, groups, kinds []string) policy.Selector {
	s := policy.Selector{Operations: operations, Resources: []string{"*"}}
	if len(groups) > 0 && !slices.Contains(groups, "*") {
		s.Groups = groups
	}
	if len(kinds) > 0 && !slices.Contains(kinds, "*") {
		s.Kinds = kinds
	}
	return s
}

// Source implements policy.Policy.
func (m *mutator) Source() gate.Source { return m.source }

// Selectors implements policy.Policy.
func (m *mutator) Selectors() []policy.Selector { return m.on }

// Mutation implements policy.Mutator.
func (m *mutator) Mutation() policy.Mutation { return m.how }

// binding is the kind and operation for which mutators must agree about the shape of
// objects.
type binding struct {
	kind      schema.GroupVersionKind
	operation admission.Operation
}

func (m *mutator) bindings() map[binding]bool {
	all := map[binding]bool{}
	for i := range m.applyTo {
		for _, kind := range m.applyTo[i].kinds() {
			for _, o := range m.applyTo[i].operations() {
				all[binding{kind, o}] = true
			}
		}
	}
	return all
}

// id is a mutator's, as Gatekeeper writes it.
func (m *mutator) id() string { return m.source.Kind + "." + mutationsGroup + " /" + m.source.Name }

// disagreeing are, for each mutator that takes objects of some kind for something else
// than another one does, those that contradict each other there, itself included. None
// of them is in force: Gatekeeper does not choose either.
func disagreeing(all []*mutator) map[*mutator][]string {
	schemas := map[binding]*location.Schema[string]{}
	for _, m := range all {
		for b := range m.bindings() {
			if schemas[b] == nil {
				schemas[b] = &location.Schema[string]{}
			}
			schemas[b].Add(m.id(), m.location, m.last, m.terminates)
		}
	}
	found := map[*mutator][]string{}
	for _, m := range all {
		var with []string
		for b := range m.bindings() {
			with = append(with, schemas[b].Conflicts(m.location, m.last)...)
		}
		if slices.Contains(with, m.id()) {
			slices.Sort(with)
			found[m] = slices.Compact(with)
		}
	}
	return found
}

// keptMutator is one as it was last compiled.
type keptMutator struct {
	content map[string]any
	*mutator
}

// mutator is the compiled one; with an error the last good one, or nil.
func (e *Engine) mutator(o policy.Object) (*keptMutator, error) {
	last := e.mutators[o.GetKind()+"/"+o.GetName()]
	content := map[string]any{"spec": o.Object["spec"], "apiVersion": o.GetAPIVersion(), "order": o.GetAnnotations()[policy.OrderAnnotation]}
	if last != nil && last.source == o.Source && reflect.DeepEqual(last.content, content) {
		next := *last.mutator // the others may have changed
		return &keptMutator{content, &next}, nil
	}
	m, err := readMutator(o)
	if err != nil {
		if last != nil {
			next := *last.mutator
			return &keptMutator{last.content, &next}, err
		}
		return nil, err
	}
	return &keptMutator{content, m}, nil
}

// mutatorsInForce are those that do not contradict another one, made into a group.
func (e *Engine) mutatorsInForce(excluded *exclusions, problem func(source gate.Source, err error, hint string, inForce bool)) (policies []policy.Policy) {
	all := make([]*mutator, 0, len(e.mutators))
	for _, key := range slices.Sorted(maps.Keys(e.mutators)) {
		all = append(all, e.mutators[key].mutator)
	}
	e.group = &mutatorGroup{engine: e, passes: len(all) + 1, excluded: excluded}
	conflicting := disagreeing(all)
	for _, m := range all {
		m.group = e.group
		if with := conflicting[m]; with != nil {
			problem(m.source, fmt.Errorf("the following mutators have conflicting schemas: %v; none of them is in force", with), "have them agree about which fields are lists, and by which key", false)
			continue
		}
		policies = append(policies, m)
		e.group.inForce = append(e.group.inForce, m)
	}
	slices.SortStableFunc(e.group.inForce, func(a, b *mutator) int { return cmp.Compare(a.how.Order, b.how.Order) })
	return policies
}
