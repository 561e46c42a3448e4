package cel

import (
	"slices"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// widest is the pair without its binding where the policy may turn out not to be
// usable, as the kind of its params is not there or a selector cannot be read: then it
// refuses what its binding does not match too.
func (p *pair) widest(given *params) *pair {
	usable := given.kind == nil || given.err == nil && p.server.types.Recognizes(given.gvk)
	if usable && (p.policy == nil || p.policy.namespacesErr == nil && p.policy.objectsErr == nil) {
		return p
	}
	return &pair{policy: p.policy, server: p.server}
}

// selectors say what a pair can match: the policy's rules, with the namespaces of
// policy and binding. handled are the operations its plugin is asked about at all.
func (p *pair) selectors(handled ...admission.Operation) []policy.Selector {
	if p.policy == nil {
		// Upstream refuses everything with such a policy.
		return []policy.Selector{{Operations: handled}}
	}
	namespaces := p.namespaceSelector()
	rules := p.policy.resources.ResourceRules
	if len(rules) == 0 {
		return divided(policy.Selector{Operations: handled}, namespaces)
	}
	equivalent := p.policy.resources.MatchPolicy != nil && *p.policy.resources.MatchPolicy == v1.Equivalent
	var all []policy.Selector
	for i := range rules {
		rule := &rules[i]
		s := policy.Selector{Operations: operationsOf(rule.Operations, handled), Groups: rule.APIGroups, Resources: resourcesOf(rule.Resources)}
		if equivalent && slices.Contains(s.Resources, "events") {
			// The one kind that two groups serve.
			s.Groups = append(slices.Clone(s.Groups), "", "events.k8s.io")
		}
		if len(s.Operations) == 0 || len(s.Groups) == 0 || len(s.Resources) == 0 {
			continue // a rule that names none matches none
		}
		all = append(all, divided(s, namespaces)...)
	}
	return all
}

// namespaceSelector is that of policy and binding together; nil where there is none,
// or one cannot be read: then a request that matches in all else is an error.
func (p *pair) namespaceSelector() labels.Selector {
	var all labels.Selector
	for _, c := range []*criteria{p.policy, p.binding} {
		if c == nil || c.namespacesErr != nil || c.namespaces.Empty() {
			continue
		}
		requirements, selectable := c.namespaces.Requirements()
		switch {
		case !selectable: // it selects nothing at all
			return c.namespaces
		case all == nil:
			all = c.namespaces
		default:
			all = all.Add(requirements...)
		}
	}
	return all
}

// divided sets requests for Namespaces apart where a selector of namespaces is: of
// which labels it is asked, the old or the new ones, differs there by operation and
// subresource, and upstream's matcher alone knows.
func divided(s policy.Selector, namespaces labels.Selector) []policy.Selector {
	if namespaces == nil {
		return []policy.Selector{s}
	}
	of := s
	of.NamespaceSelector = namespaces
	apart := s
	apart.Resources = nil
	for _, resource := range s.Resources {
		name, sub, has := strings.Cut(resource, "/")
		if name != "*" && name != "namespaces" {
			continue
		}
		if has {
			sub = "/" + sub
		}
		apart.Resources = append(apart.Resources, "namespaces"+sub)
	}
	switch {
	case s.Resources == nil:
		apart.Resources = []string{"namespaces", "namespaces/*"}
	case apart.Resources == nil:
		return []policy.Selector{of}
	}
	return []policy.Selector{of, apart}
}

func operationsOf(stated []v1.OperationType, handled []admission.Operation) []admission.Operation {
	if slices.Contains(stated, v1.OperationAll) {
		return handled
	}
	var all []admission.Operation
	for _, one := range handled {
		if slices.Contains(stated, v1.OperationType(one)) {
			all = append(all, one)
		}
	}
	return all
}

// resourcesOf are the names of a rule as a Selector has them: "pods/" is pods.
func resourcesOf(stated []string) []string {
	all := slices.Clone(stated)
	for i := range all {
		if name, sub, has := strings.Cut(all[i], "/"); has && sub == "" {
			all[i] = name
		}
	}
	return all
}
