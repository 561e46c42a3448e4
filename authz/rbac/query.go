package rbac

import "k8s.io/apiserver/pkg/authorization/authorizer"

// query is a request as rules see it. It lies on the stack of a decision.
type query struct {
	verb, group, resource, subresource, name, path string

	namespace  string
	bit        uint64 // of verb
	isResource bool
	// combined is RESOURCE/SUBRESOURCE, or RESOURCE, as rules name it.
	combined []byte
	buffer   [96]byte
}

func (q *query) fill(a authorizer.Attributes) {
	q.verb, q.namespace = a.GetVerb(), a.GetNamespace()
	q.bit = verbBit(q.verb)
	if q.isResource = a.IsResourceRequest(); !q.isResource {
		q.path = a.GetPath()
		return
	}
	q.group, q.resource, q.subresource, q.name = a.GetAPIGroup(), a.GetResource(), a.GetSubresource(), a.GetName()
	q.combined = append(q.buffer[:0], q.resource...)
	if q.subresource != "" {
		q.combined = append(append(q.combined, '/'), q.subresource...)
	}
}
