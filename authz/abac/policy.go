package abac

import (
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// spec is what a policy says, in the form that upstream evaluates: every version
// of the file format is brought to it. An empty field matches what is empty.
type spec struct {
	User            string
	Group           string
	Readonly        bool
	APIGroup        string
	Resource        string
	Namespace       string
	NonResourcePath string
}

// everything stands in any field but Readonly for whatever a request has there.
const everything = "*"

// policy is one line of a file.
type policy struct {
	spec
	line int // from 1; no two policies share one
}

// request is what policies look at in a request.
type request struct {
	resource, namespace, apiGroup string
	path                          string
	isResource, readOnly          bool
}

func (r *request) fill(a authorizer.Attributes) {
	r.readOnly = a.IsReadOnly()
	if r.isResource = a.IsResourceRequest(); r.isResource {
		r.resource, r.namespace, r.apiGroup = a.GetResource(), a.GetNamespace(), a.GetAPIGroup()
	} else {
		r.path = a.GetPath()
	}
}

// allows reports whether a policy that is the requester's allows the request.
func (s *spec) allows(r *request) bool {
	switch {
	case s.Readonly && !r.readOnly:
		return false
	case r.isResource:
		return fits(s.Namespace, r.namespace) && fits(s.Resource, r.resource) && fits(s.APIGroup, r.apiGroup)
	}
	return s.coversPath(r.path)
}

func fits(want, has string) bool { return want == has || want == everything }

// coversPath matches a path as it is, or all that begins with what stands before
// asterisks at the end.
func (s *spec) coversPath(path string) bool {
	if s.NonResourcePath == path {
		return true
	}
	return strings.HasSuffix(s.NonResourcePath, "*") &&
		strings.HasPrefix(path, strings.TrimRight(s.NonResourcePath, "*"))
}

// isOf reports whether one of groups is the one that a policy asks for, where
// it asks for any.
func (s *spec) isOf(groups []string) bool {
	return s.Group == "" || s.Group == everything || slices.Contains(groups, s.Group)
}
