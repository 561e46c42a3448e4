package redact

import (
	"bytes"
	"strconv"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// is compares a key without its case.
func is(key []byte, name string) bool {
	return len(key) == len(name) && bytes.EqualFold(key, []byte(name))
}

// object redacts an object that is about s, or about what its own kind says where that
// is stricter. Where the kind stands twice, each counts.
func (w *walk) object(n jsondoc.Node, s subject) {
	outer, kind, said := s, "", 0
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		if key := w.doc.Key(i); is(key, "kind") {
			text := w.doc.Text(i)
			s = max(s, subjectOfKind(text))
			kind = string(text)
			said++
		}
	}
	if s == secret && outer == plain && n != w.doc.Root() {
		s = nested // a reference to a Secret says no more than kind and name
	}
	if said == 1 {
		switch kind {
		case "Status":
			w.status(n, s)
			return
		case "DeleteOptions", "Table", "PartialObjectMetadata", "PartialObjectMetadataList":
			if s != opaque {
				w.envelope(n, s)
				return
			}
		case "PodExecOptions":
			w.command(n)
			return
		}
	}
	setting := s == plain && w.isSetting(n)
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		if setting && is(w.doc.Key(i), "value") && w.doc.Kind(i) == jsondoc.String && len(w.doc.Text(i)) > 0 {
			w.gone(i, whyCredential)
			continue
		}
		w.member(i, w.doc.Key(i), s)
	}
}

// isSetting reports whether an object is a name and a value, such as an environment
// variable, and the name is like a credential's.
func (w *walk) isSetting(n jsondoc.Node) bool {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		if is(w.doc.Key(i), "name") && w.doc.Kind(i) == jsondoc.String && namesSetting(string(w.doc.Text(i))) {
			return true
		}
	}
	return false
}

// member redacts a member of an object that is about s.
func (w *walk) member(i jsondoc.Node, key []byte, s subject) {
	kind := w.doc.Kind(i)
	switch {
	case s == opaque:
		w.gone(i, s.why())
		return
	case is(key, "metadata") && kind == jsondoc.Object:
		w.metadata(i, s)
		return
	case s == plain:
		w.any(i, key)
		return
	}
	switch {
	case is(key, "items") || is(key, "object") || is(key, "raw"):
		w.elements(i, s)
	case s == nested:
		if is(key, "data") || is(key, "stringData") {
			w.gone(i, s.why())
		} else {
			w.any(i, key)
		}
	case s == configMap:
		if (is(key, "data") || is(key, "binaryData")) && kind == jsondoc.Object {
			for entry := w.doc.Child(i); entry != 0; entry = w.doc.Next(entry) {
				w.setting(entry, string(w.doc.Key(entry)))
			}
		} else {
			w.any(i, key)
		}
	case s == secret:
		w.known(i, key, s, "kind", "apiVersion", "type", "immutable")
	case s == token:
		w.tokenMember(i, key)
	}
}

// known keeps a member whose key is one of some names where it is a word, a number or a
// truth. Everything else goes.
func (w *walk) known(i jsondoc.Node, key []byte, s subject, names ...string) {
	for _, name := range names {
		if string(key) != name {
			continue
		}
		switch w.doc.Kind(i) {
		case jsondoc.Object, jsondoc.Array:
		case jsondoc.String:
			if text := string(w.doc.Text(i)); short(text) {
				w.replace(i, text, scrub(text))
				return
			}
		default:
			return
		}
	}
	w.gone(i, s.why())
}

// tokenMember redacts a member of a TokenRequest, a TokenReview or an ExecCredential.
func (w *walk) tokenMember(i jsondoc.Node, key []byte) {
	switch string(key) {
	case "spec", "status":
		if w.doc.Kind(i) != jsondoc.Object {
			break
		}
		for m := w.doc.Child(i); m != 0; m = w.doc.Next(m) {
			w.tokenMember(m, w.doc.Key(m))
		}
		return
	case "user", "boundObjectRef", "audiences":
		w.any(i, key)
		return
	}
	w.known(i, key, token, "kind", "apiVersion", "expirationSeconds", "expirationTimestamp", "authenticated", "interactive")
}

// envelope redacts a kind that wraps objects or says something about a request.
func (w *walk) envelope(n jsondoc.Node, s subject) {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		key := w.doc.Key(i)
		switch {
		case is(key, "metadata") && w.doc.Kind(i) == jsondoc.Object:
			w.metadata(i, s)
		case is(key, "items"):
			w.elements(i, s)
		case is(key, "rows"):
			for row := w.doc.Child(i); row != 0; row = w.doc.Next(row) {
				for m := w.doc.Child(row); m != 0; m = w.doc.Next(m) {
					if is(w.doc.Key(m), "object") {
						w.elements(m, s)
					} else {
						w.any(m, nil)
					}
				}
			}
		case s.sensitive() && string(key) != "columnDefinitions" && string(key) != "preconditions" && string(key) != "dryRun":
			w.known(i, key, s, "kind", "apiVersion", "gracePeriodSeconds", "orphanDependents", "propagationPolicy", "ignoreStoreReadErrorWithClusterBreakingPotential")
		default:
			w.any(i, key)
		}
	}
}

// status redacts a Status: its message may quote what was sent.
func (w *walk) status(n jsondoc.Node, s subject) {
	code, _ := strconv.ParseInt(string(w.doc.Raw(w.doc.Get(n, "code"))), 10, 32)
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		key := w.doc.Key(i)
		switch {
		case is(key, "message") && w.doc.Kind(i) == jsondoc.String:
			text := string(w.doc.Text(i))
			w.replace(i, text, message(text, int32(code), s))
		case is(key, "details") && s.sensitive():
			w.details(i, s)
		case s.sensitive() && !is(key, "metadata"):
			w.known(i, key, s, "kind", "apiVersion", "status", "reason", "code")
		default:
			w.any(i, key)
		}
	}
}

// details redacts what the causes of a Status quote.
func (w *walk) details(n jsondoc.Node, s subject) {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		if is(w.doc.Key(i), "causes") {
			w.gone(i, s.why())
		} else {
			w.any(i, w.doc.Key(i))
		}
	}
}

// command hashes the arguments of an exec.
func (w *walk) command(n jsondoc.Node) {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		key := w.doc.Key(i)
		if !is(key, "command") {
			w.any(i, key)
			continue
		}
		if w.doc.Kind(i) != jsondoc.Array {
			w.gone(i, whyCommand)
			continue
		}
		for arg := w.doc.Child(i); arg != 0; arg = w.doc.Next(arg) {
			if w.doc.Kind(arg) != jsondoc.String {
				w.gone(arg, whyCommand)
				continue
			}
			text := string(w.doc.Text(arg))
			w.replace(arg, text, w.r.hash(text))
		}
	}
}

// elements redacts the elements of a list that are about s, or a single one.
func (w *walk) elements(n jsondoc.Node, s subject) {
	switch w.doc.Kind(n) {
	case jsondoc.Array:
		for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
			w.elements(i, s)
		}
	case jsondoc.Object:
		w.object(n, s)
	default:
		if s.sensitive() {
			w.gone(n, s.why())
		} else {
			w.any(n, nil)
		}
	}
}

// any redacts a value that is about nothing in particular, under a key.
func (w *walk) any(n jsondoc.Node, key []byte) {
	switch w.doc.Kind(n) {
	case jsondoc.Object:
		if namesLabels(key) {
			for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
				w.any(i, nil)
			}
			return
		}
		w.object(n, plain)
	case jsondoc.Array:
		if w.isPatch(n) {
			w.patch(n, w.about)
			return
		}
		for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
			w.any(i, nil)
		}
	case jsondoc.String:
		if namesCredential(key) {
			w.gone(n, whyCredential)
			return
		}
		if text := w.doc.Text(n); suspicious(text) {
			was := string(text)
			w.replace(n, was, scrubKeys(was))
		}
	}
}

// metadata redacts the metadata of an object.
func (w *walk) metadata(n jsondoc.Node, s subject) {
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		key := w.doc.Key(i)
		switch {
		case is(key, "annotations"):
			w.notes(i, s)
		case is(key, "managedFields"): // names of fields alone
		default:
			w.any(i, key)
		}
	}
}

// notes redacts the annotations of an object.
func (w *walk) notes(n jsondoc.Node, s subject) {
	if w.doc.Kind(n) != jsondoc.Object {
		if s != plain {
			w.gone(n, whyEmbedded)
		} else {
			w.any(n, nil)
		}
		return
	}
	for i := w.doc.Child(n); i != 0; i = w.doc.Next(i) {
		w.note(i, string(w.doc.Key(i)), s)
	}
}

// lastApplied is where kubectl keeps a whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// note redacts one annotation of an object. Tools keep whole objects in them.
func (w *walk) note(i jsondoc.Node, key string, s subject) {
	if w.doc.Kind(i) != jsondoc.String {
		if s != plain || is([]byte(key), lastApplied) {
			w.gone(i, whyEmbedded)
		} else {
			w.any(i, []byte(key))
		}
		return
	}
	text := string(w.doc.Text(i))
	switch {
	case is([]byte(key), lastApplied):
		w.replace(i, text, w.applied(text, s))
	case namesCredential([]byte(key)):
		w.gone(i, whyCredential)
	case s != plain && !embedded(text) && !short(text):
		w.gone(i, whyEmbedded)
	case s != plain && embedded(text):
		w.replace(i, text, w.embedded(text, s))
	default:
		w.replace(i, text, w.manifest(text, s))
	}
}

// applied redacts a last-applied-configuration: the object again, of which nothing
// stays that could not be read.
func (w *walk) applied(text string, s subject) string {
	if text == "" || IsMarker(text) {
		return text
	}
	if !embedded(text) {
		return whyEmbedded
	}
	if s == nested {
		s = secret
	}
	return w.embedded(text, s)
}
