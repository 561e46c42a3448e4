package cel

import (
	"encoding/json"
	"errors"
	"fmt"

	v1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
)

// criteria are MatchResources with their selectors parsed: upstream's matcher asks
// for them again for every request.
type criteria struct {
	resources  v1.MatchResources
	namespaces labels.Selector
	objects    labels.Selector
	// namespacesErr and objectsErr are what is wrong with the selectors. Upstream
	// says so when a request matches in all else.
	namespacesErr, objectsErr error
	// text is resources written down, which tells those that are alike; empty where they
	// cannot be written.
	text string
}

var _ matching.MatchCriteria = &criteria{}

func newCriteria(resources *v1.MatchResources) *criteria {
	c := &criteria{resources: *resources}
	c.namespaces, c.namespacesErr = metav1.LabelSelectorAsSelector(resources.NamespaceSelector)
	c.objects, c.objectsErr = metav1.LabelSelectorAsSelector(resources.ObjectSelector)
	if text, err := json.Marshal(resources); err == nil {
		c.text = string(text)
	}
	return c
}

func (c *criteria) GetParsedNamespaceSelector() (labels.Selector, error) {
	return c.namespaces, c.namespacesErr
}
func (c *criteria) GetParsedObjectSelector() (labels.Selector, error) {
	return c.objects, c.objectsErr
}
func (c *criteria) GetMatchResources() v1.MatchResources { return c.resources }

// faults of a MatchResources at a path.
func (c *criteria) faults(path string) []Fault {
	var all []Fault
	if c.namespacesErr != nil {
		all = append(all, Fault{path + ".namespaceSelector", c.namespacesErr})
	}
	if c.objectsErr != nil {
		all = append(all, Fault{path + ".objectSelector", c.objectsErr})
	}
	return all
}

// errNoConstraints is upstream's.
var errNoConstraints = errors.New("policy contained no match constraints, a required field")

// pair is what every policy with a binding is found by.
type pair struct {
	policy, binding *criteria // binding is nil where it matches everything
	server          *server
}

// matched is a request as a policy wants it.
type matched struct {
	resource schema.GroupVersionResource
	kind     schema.GroupVersionKind
}

// matchesPolicy reports whether the policy of the pair is for a request.
func (p *pair) matchesPolicy(v *view) (m matched, ok bool, err error) {
	if exempt(v.attributes.GetResource().GroupResource()) {
		return m, false, nil
	}
	if p.policy == nil {
		return m, false, errNoConstraints
	}
	// Most policies are for the same resources, and come one after the other.
	if l := &v.last; l.criteria != nil && l.server == p.server && l.criteria.text != "" && l.criteria.text == p.policy.text {
		return l.matched, l.ok, l.err
	}
	ok, m.resource, m.kind, err = v.matcher.Matches(&v.attributes, v.interfaces(p.server), p.policy)
	v.last = lastMatch{p.policy, p.server, m, ok, err}
	return m, ok, err
}

// lastMatch is what a view's matcher said last.
type lastMatch struct {
	criteria *criteria
	server   *server
	matched  matched
	ok       bool
	err      error
}

// matchesBinding reports whether the binding is for a request of its policy. As what it
// matches is nothing to the policy.
func (p *pair) matchesBinding(v *view) (m matched, ok bool, err error) {
	if p.binding == nil {
		return m, true, nil
	}
	ok, m.resource, m.kind, err = v.matcher.Matches(&v.attributes, v.interfaces(p.server), p.binding)
	return m, ok, err
}

// exempt are resources that upstream's plugins never judge: the policies themselves,
// so that a bad one can be removed, and what is asked about tokens and access and
// never stored (k8s.io/kubernetes, pkg/kubeapiserver/admission/exclusion).
func exempt(resource schema.GroupResource) bool {
	switch resource.Group {
	case v1.GroupName:
		switch resource.Resource {
		case "validatingadmissionpolicies", "validatingadmissionpolicybindings",
			"mutatingadmissionpolicies", "mutatingadmissionpolicybindings":
			return true
		}
	case "authentication.k8s.io":
		return resource.Resource == "selfsubjectreviews" || resource.Resource == "tokenreviews"
	case "authorization.k8s.io":
		switch resource.Resource {
		case "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews":
			return true
		}
	}
	return false
}

// interfaces are those of the server that asks, or what can be had without one.
func (v *view) interfaces(s *server) admission.ObjectInterfaces {
	if v.request.Objects != nil {
		return v.request.Objects
	}
	return s
}

// as is the request in the version a policy matched it in.
func (v *view) as(kind schema.GroupVersionKind, s *server) (*admission.VersionedAttributes, error) {
	if v.served {
		return v.asServed(kind)
	}
	if kind == v.attributes.GetKind() {
		return v.asRequested(), nil
	}
	if found, ok := v.converted[kind]; ok {
		return found, nil
	}
	versioned := &admission.VersionedAttributes{Attributes: &v.attributes, VersionedKind: kind}
	for _, one := range []struct {
		from any
		to   *admission.LazyObject
	}{{v.attributes.object, &versioned.VersionedObject}, {v.attributes.old, &versioned.VersionedOldObject}} {
		if one.from == nil {
			continue
		}
		converted, err := s.convert(one.from, kind, v.request.Objects)
		if err != nil {
			return nil, fmt.Errorf("failed to convert object version: %w", err)
		}
		one.to.Set(converted)
	}
	v.keep(kind, versioned)
	return versioned, nil
}

func (v *view) keep(kind schema.GroupVersionKind, versioned *admission.VersionedAttributes) {
	if v.converted == nil {
		v.converted = map[schema.GroupVersionKind]*admission.VersionedAttributes{}
	}
	v.converted[kind] = versioned
}
