package query

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Object is what events are about.
type Object struct {
	APIGroup  string `json:"apiGroup,omitempty"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// UID is empty where it is not known.
	UID string `json:"uid,omitempty"`
}

// String is the object as pods shop/web.
func (o Object) String() string {
	name := o.Name
	if o.Namespace != "" && o.Resource != "namespaces" {
		name = o.Namespace + "/" + name
	}
	return o.Kind() + " " + name
}

// Kind is the resource and its group, as deployments.apps.
func (o Object) Kind() string {
	if o.APIGroup == "" {
		return o.Resource
	}
	return o.Resource + "." + o.APIGroup
}

// pattern is the object's resource as audit.Filter means exactly it.
func (o Object) pattern() string { return o.Resource + "." + o.APIGroup }

// filter means the events of the object itself, without its subresources.
func (o Object) filter() audit.Filter {
	f := audit.Filter{Resources: []string{o.pattern()}, Names: []string{o.Name}}
	if o.Namespace != "" && o.Resource != "namespaces" { // which sources do not agree on
		f.Namespaces = []string{o.Namespace}
	}
	return f
}

// ObjectOf is what an event is about. The name of what was created with generateName
// stands in the answer alone.
func ObjectOf(e *audit.Event) Object {
	o := Object{APIGroup: e.APIGroup, Resource: e.Resource, Namespace: e.Namespace, Name: e.Name, UID: e.ObjectUID}
	if o.Name == "" || o.UID == "" {
		if body := objectBody(e.Response); body != nil && e.Subresource == "" {
			if o.Name == "" && e.Verb == "create" {
				o.Name = body.GetName()
			}
			if o.UID == "" && o.Name == body.GetName() {
				o.UID = string(body.GetUID())
			}
		}
	}
	return o
}

// objectBody is a body that is an object with metadata; nil where there is none, or
// where it is a Status, a list or no JSON.
func objectBody(data []byte) *unstructured.Unstructured {
	if len(data) == 0 || data[0] != '{' {
		return nil
	}
	var content map[string]any
	if err := json.Unmarshal(data, &content); err != nil {
		return nil
	}
	if _, ok := content["metadata"].(map[string]any); !ok {
		return nil
	}
	u := &unstructured.Unstructured{Object: content}
	if kind := u.GetKind(); kind == "Status" || kind == "DeleteOptions" || kind == "Eviction" || kind == "Binding" || u.IsList() {
		return nil
	}
	return u
}

// ownerOf is the object that a reference means, for the owner that acts for it.
func ownerOf(refs []metav1.OwnerReference, namespace string) (Object, bool) {
	if len(refs) == 0 {
		return Object{}, false
	}
	ref := refs[0]
	for _, r := range refs {
		if r.Controller != nil && *r.Controller {
			ref = r
		}
	}
	version, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || ref.Kind == "" || ref.Name == "" {
		return Object{}, false
	}
	plural, _ := meta.UnsafeGuessKindToResource(version.WithKind(ref.Kind))
	o := Object{APIGroup: version.Group, Resource: plural.Resource, Namespace: namespace, Name: ref.Name, UID: string(ref.UID)}
	if ref.Kind == "Node" && version.Group == "" {
		o.Namespace = "" // of a static pod
	}
	return o, true
}

// succeeded reports whether an event is of a request that did what it was for; one whose
// code is not known counts, unless it was forbidden.
func succeeded(e *audit.Event) bool {
	if e.Stage == audit.StageReceived || e.Stage == audit.StagePanic || e.Decision() == "forbid" {
		return false
	}
	return (e.Code == 0 || e.Code >= 200 && e.Code < 300) && !dryRun(e)
}

// dryRun reports whether a request was one that changes nothing.
func dryRun(e *audit.Event) bool {
	_, parameters, _ := strings.Cut(e.URI, "?")
	for p := range strings.SplitSeq(parameters, "&") {
		if name, value, _ := strings.Cut(p, "="); name == "dryRun" && value != "" {
			return true
		}
	}
	return false
}

// request tells requests apart. An audit ID alone does not: a client may name it.
type request struct{ id, verb, uri, user string }

func requestOf(e *audit.Event) request { return request{e.ID, e.Verb, e.URI, e.User} }
