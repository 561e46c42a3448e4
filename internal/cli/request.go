package cli

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/cluster"
)

const resourceHelp = `
RESOURCE is a resource by any of its names (pods, po, deployments.apps,
deployments.v1.apps), with a subresource (pods/log) or a name (pods/api-1), or a
path that begins with a slash (/metrics).
`

// requestFlags are the parts of a request that have a flag.
type requestFlags struct {
	subresource   string
	allNamespaces bool
}

// action is a verb and what it is about: a resource, or a path.
type action struct {
	verb, group, version, resource, subresource, name string

	namespace string
	path      string
	// object is what is written; nil where no file says it.
	object *unstructured.Unstructured
}

// action reads VERB RESOURCE [NAME].
func (w *world) action(args []string, flags requestFlags) (action, error) {
	a := action{verb: strings.ToLower(args[0])}
	what := args[1]
	if strings.HasPrefix(what, "/") {
		if len(args) > 2 || flags.subresource != "" || flags.allNamespaces {
			return a, coded(exitUsage, errors.New("a path has no name, subresource or namespace"))
		}
		a.path = what
		return a, nil
	}
	kind, name, _ := strings.Cut(what, "/")
	if kind == "" || strings.Contains(name, "/") && len(args) > 2 {
		return a, coded(exitUsage, fmt.Errorf("%q is no resource", what))
	}
	a.subresource = flags.subresource
	found, known := w.catalog.find(kind)
	switch {
	case kind == "*":
		a.resource = "*"
	case known:
		a.group, a.resource = found.group, found.resource
	default:
		a.resource, a.group = splitResource(kind)
		w.note("the resource %s is not known, and taken as it is written, in a namespace", kind)
	}
	switch isSub := name != "" && isSubresource(found, name, len(args) > 2); {
	case isSub && a.subresource != "":
		return a, coded(exitUsage, errors.New("the subresource is named twice"))
	case isSub:
		a.subresource = name
		if len(args) == 2 {
			w.note("%s is the subresource %s of all %s; for an object of that name write %s %s", what, name, a.resource, kind, name)
		}
	case name != "":
		a.name = name
	}
	if len(args) > 2 {
		a.name = args[2]
	}
	w.place(&a, found, flags.allNamespaces)
	return a, nil
}

// isSubresource reports whether RESOURCE/WORD means a subresource rather than an
// object: where it is known to be one, or the object is named besides.
func isSubresource(r *resource, word string, named bool) bool {
	if r == nil {
		return named || slices.Contains([]string{"status", "scale", "*"}, word)
	}
	return named || word == "*" || slices.Contains(r.subresources, word)
}

// place gives an action the namespace that a request for it has.
func (w *world) place(a *action, r *resource, all bool) {
	switch {
	case r != nil && r.group == "" && r.resource == "namespaces":
		a.namespace = a.name // as the API server has it
	case all, r != nil && !r.namespaced:
	default:
		a.namespace = w.namespace
	}
}

// actionOn is a verb on an object of a file.
func (w *world) actionOn(verb string, o *cluster.Identity, flags requestFlags) action {
	group, version := "", o.APIVersion
	if i := strings.IndexByte(o.APIVersion, '/'); i >= 0 {
		group, version = o.APIVersion[:i], o.APIVersion[i+1:]
	}
	a := action{verb: strings.ToLower(verb), group: group, version: version, subresource: flags.subresource, name: o.Name}
	found, known := w.catalog.ofKind(group, o.Kind)
	if known {
		a.resource = found.resource
	} else {
		a.resource = strings.ToLower(o.Kind) + "s"
		w.note("the kind %s of %s is not known, and its resource taken to be %s, in a namespace", o.Kind, o.APIVersion, a.resource)
	}
	w.place(&a, found, flags.allNamespaces)
	if a.namespace != "" && o.Namespace != "" && a.namespace != a.name {
		a.namespace = o.Namespace
	}
	if a.verb == "create" && a.subresource == "" {
		a.name = "" // it stands in the body, which no authorizer sees
		if a.resource == "namespaces" && group == "" {
			a.namespace = ""
		}
	}
	return a
}

// attributes are the action as an access review has it.
func (a *action) attributes() (*authorizationv1.ResourceAttributes, *authorizationv1.NonResourceAttributes) {
	if a.path != "" {
		return nil, &authorizationv1.NonResourceAttributes{Verb: a.verb, Path: path.Clean(a.path)}
	}
	return &authorizationv1.ResourceAttributes{
		Verb: a.verb, Group: a.group, Version: a.version, Resource: a.resource, Subresource: a.subresource, Name: a.name, Namespace: a.namespace,
	}, nil
}
