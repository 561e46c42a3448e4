package rbac

import (
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// query is a request as rules see it. It lies on the stack of a decision, and so
// must not point into itself.
type query struct {
	verb, group, resource, subresource, name, path string

	namespace  string
	bit        uint64 // of verb
	isResource bool
}

func (q *query) fill(a authorizer.Attributes) {
	q.verb, q.namespace = a.GetVerb(), a.GetNamespace()
	q.bit = verbBit(q.verb)
	if q.isResource = a.IsResourceRequest(); q.isResource {
		q.group, q.resource, q.subresource, q.name = a.GetAPIGroup(), a.GetResource(), a.GetSubresource(), a.GetName()
	} else {
		q.path = a.GetPath()
	}
}

// combined is RESOURCE/SUBRESOURCE, or RESOURCE, as rules name it.
func (q *query) combined() string {
	if q.subresource == "" {
		return q.resource
	}
	return q.resource + "/" + q.subresource
}

// is reports whether a rule's resource is the combined one, without making it.
func (q *query) is(resource string) bool {
	if q.subresource == "" {
		return resource == q.resource
	}
	n := len(q.resource)
	return len(resource) == n+1+len(q.subresource) && resource[n] == '/' &&
		strings.HasPrefix(resource, q.resource) && strings.HasSuffix(resource, q.subresource)
}

// isIn reports whether a resource as a rule writes it means that of the request.
func (q *query) isIn(resource string) bool {
	return resource == rbacv1.ResourceAll || q.is(resource) || q.subresource != "" && resource == "*/"+q.subresource
}

// isUnder reports whether a path as a rule writes it means that of the request.
func (q *query) isUnder(url string) bool {
	return url == q.path || strings.HasSuffix(url, "*") && strings.HasPrefix(q.path, strings.TrimRight(url, "*"))
}

// in looks the combined resource up, without making it either.
func (q *query) in(rules map[string][]*rule) []*rule {
	if q.subresource == "" {
		return rules[q.resource]
	}
	var buffer [96]byte
	key := append(append(append(buffer[:0], q.resource...), '/'), q.subresource...)
	return rules[string(key)]
}
