package redact

import (
	"bytes"

	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// dropped stands in the place of a body that nobody could read.
var dropped = []byte(`"` + whyUnreadable + `"`)

// body redacts a request or a response. nil stays nil.
func (r *Redactor) body(raw []byte, s subject, patch bool) []byte {
	if raw == nil {
		return nil
	}
	if s == opaque {
		return drop(raw, s)
	}
	w := r.walk()
	defer r.done(w)
	if err := w.parse(raw); err != nil {
		// A server-side apply may come as YAML, and upstream records a patch as it came.
		if !patch {
			return dropped
		}
		converted, err := yaml.YAMLToJSONStrict(raw)
		if err != nil || w.parse(converted) != nil || w.doc.Kind(w.doc.Root()) != jsondoc.Object {
			return dropped
		}
	}
	w.root(s, patch)
	return w.doc.Output()
}

// drop is the marker for a body that goes as a whole.
func drop(raw []byte, s subject) []byte {
	if bytes.Equal(raw, dropped) {
		return raw
	}
	return []byte(`"` + s.why() + `"`)
}

// root redacts the outermost value.
func (w *walk) root(s subject, patch bool) {
	root := w.doc.Root()
	if suspicious(w.doc.Raw(root)) {
		defer w.keys(root)
	}
	switch w.doc.Kind(root) {
	case jsondoc.Object:
		w.object(root, s)
	case jsondoc.Array:
		switch {
		case patch || w.isPatch(root):
			w.patch(root, s)
		case s.sensitive():
			w.gone(root, s.why())
		default:
			w.elements(root, s)
		}
	case jsondoc.String:
		text := string(w.doc.Text(root))
		if s != plain && !IsMarker(text) {
			w.gone(root, s.why())
			return
		}
		w.replace(root, text, w.manifest(text, s))
	default:
		if s.sensitive() {
			w.gone(root, s.why())
		}
	}
}

// keys takes private keys and tokens out of the keys of objects. Those within what is
// replaced go with it.
func (w *walk) keys(n jsondoc.Node) {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		if key := w.doc.Key(i); suspicious(key) {
			if was := string(key); scrubKeys(was) != was {
				w.doc.ReplaceKey(i, jsondoc.AppendString(nil, scrubKeys(was)))
			}
		}
		w.keys(i)
	}
}

// replace puts a text in the place of a string, where it is another.
func (w *walk) replace(n jsondoc.Node, was, is string) {
	if was != is {
		w.doc.Replace(n, jsondoc.AppendString(nil, is))
	}
}

// gone takes out every text, number and truth within a value. What is empty or marked
// already stays, and so do the keys.
func (w *walk) gone(n jsondoc.Node, why string) {
	switch w.doc.Kind(n) {
	case jsondoc.Null:
		return
	case jsondoc.Object, jsondoc.Array:
		for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
			w.gone(i, why)
		}
		return
	case jsondoc.String:
		if text := w.doc.Text(n); len(text) == 0 || IsMarker(string(text)) {
			return
		}
	}
	w.doc.Replace(n, []byte(`"`+why+`"`))
}

// mostEmbedded is how deep documents within texts of documents are read.
const mostEmbedded = 8

// embedded reports whether a text may be a document of its own.
func embedded(text string) bool {
	for _, c := range []byte(text) {
		switch c {
		case ' ', '\t', '\r', '\n':
		case '{', '[':
			return true
		default:
			return false
		}
	}
	return false
}

// embedded redacts a document that stands in a text. What cannot be read goes.
func (w *walk) embedded(text string, s subject) string {
	if IsMarker(text) {
		return text
	}
	if w.depth >= mostEmbedded {
		return whyEmbedded
	}
	inner := w.r.walk()
	defer w.r.done(inner)
	inner.depth, inner.about = w.depth+1, w.about
	if inner.parse([]byte(text)) != nil {
		return whyEmbedded
	}
	inner.root(s, false)
	if !inner.doc.Edited() {
		return text
	}
	return string(inner.doc.Output())
}

// manifest redacts a text that may be a manifest in JSON or YAML, or anything else.
func (w *walk) manifest(text string, s subject) string {
	switch {
	case IsMarker(text):
		return text
	case embedded(text):
		return w.embedded(text, s)
	case holdsManifest(text):
		return whyEmbedded
	}
	return scrub(text)
}
