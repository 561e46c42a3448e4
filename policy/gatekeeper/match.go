package gatekeeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Match is spec.match of constraints, mutators and Configs (Gatekeeper,
// pkg/mutation/match): what is not set matches everything, and all that is must match.
type Match struct {
	Kinds              []Kinds               `json:"kinds,omitempty"`
	Scope              string                `json:"scope,omitempty"` // Cluster, Namespaced; anything else matches both
	Namespaces         []Wildcard            `json:"namespaces,omitempty"`
	ExcludedNamespaces []Wildcard            `json:"excludedNamespaces,omitempty"`
	LabelSelector      *metav1.LabelSelector `json:"labelSelector,omitempty"`
	NamespaceSelector  *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	Name               Wildcard              `json:"name,omitempty"`
	Source             string                `json:"source,omitempty"` // All, Generated or Original

	labels, namespaces labels.Selector
}

// Kinds are kinds of some groups; an empty list, and "*", is every one.
type Kinds struct {
	APIGroups []string `json:"apiGroups,omitempty"`
	Kinds     []string `json:"kinds,omitempty"`
}

// Wildcard is a name, with a star before or behind it for any characters there. A star
// elsewhere is a star.
type Wildcard string

// Matches reports whether a name matches in full.
func (w Wildcard) Matches(name string) bool {
	text := string(w)
	before, after := strings.HasPrefix(text, "*"), strings.HasSuffix(text, "*")
	switch {
	case before && after:
		return strings.Contains(name, strings.TrimSuffix(strings.TrimPrefix(text, "*"), "*"))
	case before:
		return strings.HasSuffix(name, text[1:])
	case after:
		return strings.HasPrefix(name, text[:len(text)-1])
	}
	return text == name
}

// matchesBeginning is Matches for the beginning of a name that is yet to be made.
func (w Wildcard) matchesBeginning(name string) bool {
	return strings.HasSuffix(string(w), "*") && w.Matches(name)
}

// Sources of an object.
const (
	sourceAll       = "All"
	sourceOriginal  = "Original"
	sourceGenerated = "Generated"
)

// readMatch reads spec.match; the zero Match where there is none.
func readMatch(o *unstructured.Unstructured) (*Match, error) {
	spec, _ := o.Object["spec"].(map[string]any)
	given, ok := spec["match"]
	m := &Match{}
	if !ok || given == nil {
		return m, nil
	}
	data, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	strict := json.NewDecoder(strings.NewReader(string(data)))
	strict.DisallowUnknownFields()
	if err := strict.Decode(m); err != nil {
		return nil, fmt.Errorf("spec.match: %w", err)
	}
	if m.LabelSelector != nil {
		if m.labels, err = metav1.LabelSelectorAsSelector(m.LabelSelector); err != nil {
			return nil, fmt.Errorf("spec.match.labelSelector: %w", err)
		}
	}
	if m.NamespaceSelector != nil {
		if m.namespaces, err = metav1.LabelSelectorAsSelector(m.NamespaceSelector); err != nil {
			return nil, fmt.Errorf("spec.match.namespaceSelector: %w", err)
		}
	}
	if m.Source != "" && !slices.Contains([]string{sourceAll, sourceGenerated, sourceOriginal}, m.Source) {
		return nil, fmt.Errorf("spec.match.source: %q is none of All, Generated and Original", m.Source)
	}
	return m, nil
}

// errNoNamespace is what a namespaceSelector says of an object whose namespace is not
// known.
var errNoNamespace = errors.New("namespace selector for namespace-scoped object but missing Namespace")

// matches reports whether an object matches. ns is its namespace; nil for what is in
// none, and where it is not known.
func (m *Match) matches(o *unstructured.Unstructured, ns *corev1.Namespace, source string) (bool, error) {
	kind := o.GroupVersionKind()
	isNamespace := kind.Group == "" && kind.Kind == "Namespace"
	if len(m.Kinds) > 0 && !slices.ContainsFunc(m.Kinds, func(k Kinds) bool {
		return anyOf(k.Kinds, kind.Kind) && anyOf(k.APIGroups, kind.Group)
	}) {
		return false, nil
	}
	hasNamespace := o.GetNamespace() != "" || ns != nil
	switch m.Scope {
	case "Cluster":
		if !isNamespace && hasNamespace {
			return false, nil
		}
	case "Namespaced":
		if isNamespace || !hasNamespace {
			return false, nil
		}
	}
	name := ""
	switch {
	case isNamespace:
		name = o.GetName()
	case ns != nil:
		name = ns.Name
	default:
		name = o.GetNamespace()
	}
	if name != "" || isNamespace {
		if len(m.Namespaces) > 0 && !slices.ContainsFunc(m.Namespaces, func(w Wildcard) bool { return w.Matches(name) }) {
			return false, nil
		}
		if slices.ContainsFunc(m.ExcludedNamespaces, func(w Wildcard) bool { return w.Matches(name) }) {
			return false, nil
		}
	}
	if m.labels != nil && !m.labels.Matches(labels.Set(o.GetLabels())) {
		return false, nil
	}
	if m.namespaces != nil {
		switch {
		case isNamespace:
			if !m.namespaces.Matches(labels.Set(o.GetLabels())) {
				return false, nil
			}
		case ns == nil && o.GetNamespace() == "": // what is in no namespace matches
		case ns == nil:
			return false, errNoNamespace
		case !m.namespaces.Matches(labels.Set(ns.Labels)):
			return false, nil
		}
	}
	if m.Name != "" && !m.Name.Matches(o.GetName()) && !m.Name.matchesBeginning(o.GetGenerateName()) {
		return false, nil
	}
	return m.Source == "" || m.Source == sourceAll || m.Source == source, nil
}

func anyOf(list []string, one string) bool {
	return len(list) == 0 || slices.Contains(list, "*") || slices.Contains(list, one)
}
