package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"
)

// Selector is what a policy can match at all. A field that is not set matches
// everything; "*" in a list does too.
type Selector struct {
	// Operations of the request.
	Operations []admission.Operation
	// Groups are API groups, "" is the core group.
	Groups []string
	// Resources are plural names, as pods, pods/exec, pods/* or */scale. A name
	// without a subresource does not match requests for one; "*" matches resources
	// alone and "*/*" everything. Where only Kinds are set, subresources match too.
	Resources []string
	// Kinds are those of the request: Pod, Deployment.
	Kinds []string
	// Namespaces are exact names. Where they are set, and none is "*", what is in no
	// namespace does not match. A Namespace object counts as being in the namespace it is.
	Namespaces []string
	// NamespaceSelector selects by the labels of the namespace, where there is one.
	NamespaceSelector labels.Selector
}

// place is what the index finds policies by.
type place struct {
	operation                          admission.Operation
	group, resource, subresource, kind string
}

func placeOf(a admission.Attributes) place {
	return place{
		operation: a.GetOperation(), group: a.GetKind().Group, kind: a.GetKind().Kind,
		resource: a.GetResource().Resource, subresource: a.GetSubresource(),
	}
}

// takes reports whether requests of a place can match. resourceGroup is that of the
// resource, which for a subresource may differ from that of the kind.
func (s *Selector) takes(p place, resourceGroup string) bool {
	return anyOf(s.Operations, p.operation, "*") &&
		(anyOf(s.Groups, p.group, "*") || slices.Contains(s.Groups, resourceGroup)) &&
		anyOf(s.Kinds, p.kind, "*") &&
		(s.Resources == nil || slices.ContainsFunc(s.Resources, p.isIn))
}

func (p *place) isIn(resource string) bool {
	name, sub, divided := cut(resource)
	if name != "*" && name != p.resource {
		return false
	}
	if !divided {
		return p.subresource == ""
	}
	return sub == "*" || sub == p.subresource && sub != ""
}

func cut(resource string) (name, sub string, divided bool) {
	for i := range len(resource) {
		if resource[i] == '/' {
			return resource[:i], resource[i+1:], true
		}
	}
	return resource, "", false
}

func anyOf[T comparable](list []T, one, star T) bool {
	return list == nil || slices.Contains(list, one) || slices.Contains(list, star)
}

// covers reports whether a namespace can match. name is empty for what is in none;
// known is false where its labels could not be found, and then every selector of
// labels may match.
func (s *Selector) covers(name string, known bool, of labels.Set) bool {
	if !anyOf(s.Namespaces, name, "*") {
		return false
	}
	return s.NamespaceSelector == nil || name == "" || !known || s.NamespaceSelector.Matches(of)
}
