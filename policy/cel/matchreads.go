package cel

import (
	"slices"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gatehouse-io/gatehouse/policy"
)

// reads are what decides whether a request matches, beyond its resource and its
// operation: what upstream's matcher may look at.
func (c *criteria) reads() []policy.Read {
	var parts []policy.Read
	if c.objects != nil && !c.objects.Empty() {
		// Either will do.
		parts = append(selected(policy.OfObject, c.objects), selected(policy.OfOldObject, c.objects)...)
	}
	if c.namespaces != nil && !c.namespaces.Empty() {
		parts = append(parts, selected(policy.OfNamespace, c.namespaces)...)
		if c.reachesNamespaces() {
			// One that is created or updated goes by its own labels, as it is now.
			parts = append(parts, selected(policy.OfObject, c.namespaces)...)
		}
	}
	for _, rules := range [][]v1.NamedRuleWithOperations{c.resources.ResourceRules, c.resources.ExcludeResourceRules} {
		if slices.ContainsFunc(rules, func(r v1.NamedRuleWithOperations) bool { return len(r.ResourceNames) > 0 }) {
			parts = append(parts, policy.Read{Of: policy.OfRequest, Fields: []string{"name"}})
			break
		}
	}
	return parts
}

// selected are what a selector asks of labels. Where one is no text, an object that is not
// of Go's types has none at all: so it counts of which type each is.
func selected(of policy.Of, by labels.Selector) []policy.Read {
	all := policy.Read{Of: of, Fields: []string{"metadata", "labels"}}
	each := below(all, policy.Each)
	each.Shape = true
	parts := []policy.Read{each}
	requirements, _ := by.Requirements()
	for i := range requirements {
		parts = append(parts, below(all, requirements[i].Key()))
	}
	return parts
}

// reachesNamespaces reports whether a Namespace can match by the rules.
func (c *criteria) reachesNamespaces() bool {
	if len(c.resources.ResourceRules) == 0 {
		return true
	}
	for i := range c.resources.ResourceRules {
		for _, resource := range c.resources.ResourceRules[i].Resources {
			if name, _, _ := strings.Cut(resource, "/"); name == "*" || name == "namespaces" {
				return true
			}
		}
	}
	return false
}
