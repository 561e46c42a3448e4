package builtin

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

// pod is what all policies about pods look at: the pod that an object is or makes,
// its containers read once.
type pod struct {
	object *unstructured.Unstructured
	spec   map[string]any
	// at is the path of the spec in the object: spec.template.spec.
	at string
	// metadata is that of the pod, and metadataAt its path.
	metadata   map[string]any
	metadataAt string

	security   map[string]any // spec.securityContext
	containers []container
	// before is how many ephemeral containers were there before the request.
	before int
}

// container is one of a pod.
type container struct {
	list     string // containers, initContainers, ephemeralContainers
	index    int
	content  map[string]any
	security map[string]any
	image    string
}

type podKey struct{}

// podOf is the pod of a request; nil where the object makes none, and where an
// update changes nothing of the one that it makes.
func podOf(r *policy.Request) (*pod, error) {
	o, err := r.Object()
	if o == nil || err != nil {
		return nil, err
	}
	kept, _ := r.Kept(podKey{}, func() any { return readPod(r, o) }).(*pod)
	if kept == nil || kept.spec == nil {
		return nil, nil
	}
	return kept, nil
}

// nothing to judge is a pod without spec.
func readPod(r *policy.Request, o *unstructured.Unstructured) *pod {
	p := &pod{object: o}
	spec, at := policy.PodSpec(o)
	if spec == nil {
		return p
	}
	p.at, p.metadataAt = at, strings.TrimSuffix(at, "spec")+"metadata"
	p.metadata, _ = field(o.Object, p.metadataAt).(map[string]any)
	if r.GetOperation() == admission.Update && !r.Background {
		if old, err := r.OldObject(); err == nil && old != nil {
			before, _ := policy.PodSpec(old)
			was, _ := field(old.Object, p.metadataAt).(map[string]any)
			if before != nil && same(spec, before) && same(p.metadata["annotations"], was["annotations"]) {
				return p
			}
			p.before = len(list(before, "ephemeralContainers"))
		}
	}
	n := 0
	for _, name := range policy.ContainerLists {
		n += len(list(spec, name))
	}
	p.spec, p.security, p.containers = spec, object(spec, "securityContext"), make([]container, 0, n)
	for _, name := range policy.ContainerLists {
		for i, c := range list(spec, name) {
			if content, ok := c.(map[string]any); ok {
				p.containers = append(p.containers, container{name, i, content, object(content, "securityContext"), text(content, "image")})
			}
		}
	}
	return p
}

// windows reports whether the pod says that it is for Windows, where what the Linux
// kernel knows means nothing.
func (p *pod) windows() bool { return text(object(p.spec, "os"), "name") == "windows" }

func (p *pod) annotation(key string) (string, bool) {
	value, ok := object(p.metadata, "annotations")[key].(string)
	return value, ok
}

// path of a field of the pod's spec.
func (p *pod) path(field string) string { return p.at + "." + field }

// annotationPath is written as upstream writes the keys of maps.
func (p *pod) annotationPath(key string) string { return p.metadataAt + ".annotations[" + key + "]" }

// path of a field of a container; that of the container where field is empty.
func (c *container) path(p *pod, field string) string {
	path := fmt.Sprintf("%s.%s[%d]", p.at, c.list, c.index)
	if field != "" {
		path += "." + field
	}
	return path
}

// named is `container "app"`, short enough and printable.
func (c *container) named() string {
	word := map[string]string{"initContainers": "init container ", "ephemeralContainers": "ephemeral container "}[c.list]
	if word == "" {
		word = "container "
	}
	return word + quoted(text(c.content, "name"))
}

// quoted is text that somebody else wrote, short enough for a sentence.
func quoted(text string) string {
	const most = 128
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strconv.Quote(text)
}

// pointer is a path into the pod's spec in pieces: names, and indices.
func (p *pod) pointer(pieces ...any) []any { return append(split(p.at), pieces...) }

func (c *container) pointer(p *pod, pieces ...any) []any {
	return append(p.pointer(c.list, c.index), pieces...)
}

// along adds a value below the pod's spec or metadata, with what is missing on the way.
func (p *pod) along(value any, path []any) []operation { return along(p.object.Object, value, path...) }

func split(path string) (pieces []any) {
	for name := range strings.SplitSeq(path, ".") {
		pieces = append(pieces, name)
	}
	return pieces
}

// written is a path in pieces as results have it.
func (p *pod) written(pieces []any) string {
	var b strings.Builder
	key := false // the next piece is the key of an annotation
	for _, piece := range pieces {
		switch piece := piece.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", piece)
		case string:
			switch {
			case key:
				b.WriteString("[" + piece + "]")
			case b.Len() > 0:
				b.WriteString("." + piece)
			default:
				b.WriteString(piece)
			}
			key = piece == "annotations"
		}
	}
	return b.String()
}
