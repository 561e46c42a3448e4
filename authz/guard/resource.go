package guard

import "strings"

// resource is a pattern of spec.resources: pods, pods/exec, pods/*, */scale or *.
type resource struct {
	name, sub string

	// any is the pattern *: every resource and every subresource.
	any bool
}

func newResource(pattern string) resource {
	pattern = strings.Clone(pattern)
	name, sub, _ := strings.Cut(pattern, "/")
	return resource{name: name, sub: sub, any: pattern == "*"}
}

// covers reports that all of what a request asks for is in the pattern. A request
// that asks for "*" is covered by a pattern that is as wide.
func (p resource) covers(name, sub string) bool {
	return p.any || (p.name == "*" || p.name == name) && (p.sub == sub || p.sub == "*" && sub != "")
}

// overlaps reports that some of what a request asks for is in the pattern.
func (p resource) overlaps(name, sub string) bool {
	switch {
	case p.any, name == "*" && sub == "":
		return true
	case p.name != "*" && name != "*" && p.name != name:
		return false
	case p.sub == "" || sub == "":
		return p.sub == sub
	}
	return p.sub == "*" || sub == "*" || p.sub == sub
}
