package guard

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// rule is one Guard, compiled. It never changes.
type rule struct {
	// name of the Guard, and the reason that its author gave.
	name, reason string

	// audit says that the Guard lets pass what it touches.
	audit bool

	// whom it binds, less except.
	subjects, except subjects

	// verbs it refuses, less exceptVerbs. nil verbs are all.
	verbs, exceptVerbs []string

	// onResources says that the Guard is about resources; onPaths, about paths.
	onResources, onPaths bool

	// groups of the API; nil is all.
	groups []string

	// resources, less exceptResources. nil resources are all.
	resources, exceptResources []resource

	// objects and namespaces by name; paths it refuses.
	objects, namespaces, paths names

	// selector limits namespaces by labels; nil: it does not.
	selector labels.Selector

	// windows of which one must be open; none: always.
	windows []window

	// condition that must be true; nil: always.
	condition *condition

	// broad says what of the Guard could not be compiled and counts as matching;
	// empty where the rule is all that is written.
	broad string
}

// inNamespaces reports that the rule is limited to some namespaces.
func (r *rule) inNamespaces() bool { return r.namespaces.limited() || r.selector != nil }

// touches reports that the rule is about a request, its time and condition left
// aside. It allocates nothing.
func (r *rule) touches(q *request) bool {
	if q.isResource {
		if !r.onResources || !r.hasResource(q) || !r.hasVerb(q) || !r.hasNamespace(q) {
			return false
		}
		// No name asks for every name: a list reads guarded objects too, and which
		// name a create will have is in the body, which an authorizer does not see.
		if r.objects.limited() && q.name != "" && !r.objects.has(q.name) {
			return false
		}
	} else if !r.onPaths || !r.hasVerb(q) || !r.hasPath(q) {
		return false
	}
	return r.subjects.has(q) && !r.except.has(q)
}

func (r *rule) hasVerb(q *request) bool {
	if slices.Contains(r.exceptVerbs, q.verb) {
		return false
	}
	return r.verbs == nil || q.verb == "*" || slices.Contains(r.verbs, q.verb)
}

func (r *rule) hasResource(q *request) bool {
	if r.groups != nil && q.group != "*" && !slices.Contains(r.groups, q.group) {
		return false
	}
	for _, p := range r.exceptResources {
		if p.covers(q.resource, q.sub) {
			return false
		}
	}
	if r.resources == nil {
		return true
	}
	for _, p := range r.resources {
		if p.overlaps(q.resource, q.sub) {
			return true
		}
	}
	return false
}

func (r *rule) hasNamespace(q *request) bool {
	if !r.inNamespaces() {
		return true
	}
	if q.namespace == "" {
		return q.spans
	}
	if r.namespaces.limited() && !r.namespaces.has(q.namespace) {
		return false
	}
	if r.selector == nil {
		return true
	}
	found, known := q.namespaceLabels()
	return !known || r.selector.Matches(labels.Set(found))
}

func (r *rule) hasPath(q *request) bool {
	return q.wild && strings.IndexByte(q.path, '*') >= 0 || r.paths.has(q.path)
}

// open reports that the rule holds at an instant.
func (r *rule) open(now time.Time) bool {
	if len(r.windows) == 0 {
		return true
	}
	for i := range r.windows {
		if r.windows[i].open(now) {
			return true
		}
	}
	return false
}

func modeOf(g *v1alpha1.Guard) v1alpha1.GuardMode {
	if g.Spec.Mode == "" {
		return v1alpha1.GuardEnforce
	}
	return g.Spec.Mode
}
