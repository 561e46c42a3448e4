package guard

import (
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// request is what Guards look at, read from the attributes once. It lives on the
// stack of one call.
type request struct {
	user   string
	groups []string

	// account is the namespace of the service account whose request it is; empty
	// for others.
	account string

	verb string

	// path is set for a request that is for no resource; what follows is not.
	path       string
	isResource bool

	group, resource, sub, namespace, name string

	// wild says that the request asks for "*" of something. Only an access review
	// can.
	wild bool

	// spans says that the request is for objects of every namespace.
	spans bool

	// namespaces are asked for the labels of the namespace when a Guard first
	// wants them.
	namespaces Namespaces
	labels     map[string]string
	labelState labelState
}

type labelState int

const (
	labelsNotAsked labelState = iota
	labelsKnown
	labelsUnknown
)

func newRequest(a authorizer.Attributes, namespaces Namespaces, scopes Scopes) request {
	r := request{verb: a.GetVerb(), isResource: a.IsResourceRequest(), namespaces: namespaces}
	if u := a.GetUser(); u != nil {
		r.user, r.groups = u.GetName(), u.GetGroups()
		r.account = accountNamespace(r.user)
	}
	if !r.isResource {
		r.path = a.GetPath()
		r.wild = r.verb == "*" || strings.IndexByte(r.path, '*') >= 0
		return r
	}
	r.group, r.resource, r.sub = a.GetAPIGroup(), a.GetResource(), a.GetSubresource()
	r.namespace, r.name = a.GetNamespace(), a.GetName()
	r.wild = r.verb == "*" || r.group == "*" || r.resource == "*" || r.sub == "*"
	r.spans = r.namespace == "" && spansNamespaces(scopes, &r)
	return r
}

// namespaceLabels are those of the request's namespace.
func (r *request) namespaceLabels() (map[string]string, bool) {
	if r.labelState == labelsNotAsked {
		r.labelState = labelsUnknown
		if r.namespaces != nil {
			if found, known := r.namespaces.Labels(r.namespace); known {
				r.labels, r.labelState = found, labelsKnown
			}
		}
	}
	return r.labels, r.labelState == labelsKnown
}
