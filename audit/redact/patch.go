package redact

import (
	"strings"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// isPatch reports whether a list is a JSON patch (RFC 6902).
func (w *walk) isPatch(n jsondoc.Node) bool {
	first := w.doc.Child(n)
	return first != 0 && w.doc.Get(first, "op") != 0 && w.doc.Get(first, "path") != 0
}

// patch redacts a JSON patch of an object that is about s.
func (w *walk) patch(n jsondoc.Node, s subject) {
	for op := w.doc.Child(n); op != 0; op = w.doc.Next(op) {
		if w.doc.Kind(op) != jsondoc.Object {
			w.elements(op, s)
			continue
		}
		path, paths, ops := "", 0, 0
		for i := w.doc.Child(op); i != 0; i = w.doc.Next(i) {
			if is(w.doc.Key(i), "path") {
				path = string(w.doc.Text(i))
				paths++
			} else if is(w.doc.Key(i), "op") {
				ops++
			}
		}
		if paths == 0 || ops == 0 {
			w.elements(op, s) // an object among the operations
			continue
		}
		for i := w.doc.Child(op); i != 0; i = w.doc.Next(i) {
			switch key := w.doc.Key(i); {
			case is(key, "op"), is(key, "path"), is(key, "from"):
				if text := string(w.doc.Text(i)); w.doc.Kind(i) == jsondoc.String && short(text) {
					w.replace(i, text, scrub(text))
				} else {
					w.elements(i, s)
				}
			case is(key, "value") && paths == 1:
				w.at(i, path, s)
			case s.sensitive():
				w.gone(i, s.why())
			default:
				w.any(i, key)
			}
		}
	}
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// at redacts a value that is to stand at a path (RFC 6901) of an object that is about s.
func (w *walk) at(n jsondoc.Node, path string, s subject) {
	if path == "" {
		w.elements(n, s)
		return
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range segments {
		segments[i] = unescapePointer.Replace(segments[i])
	}
	last := segments[len(segments)-1]
	for i, segment := range segments {
		rest := segments[i+1:]
		if is([]byte(segment), "metadata") {
			switch {
			case len(rest) == 0:
				w.member(n, []byte(segment), s)
			case !is([]byte(rest[0]), "annotations"):
				w.any(n, []byte(last))
			case len(rest) == 1:
				w.notes(n, s)
			default:
				w.note(n, rest[1], s)
			}
			return
		}
		if i > 0 {
			continue
		}
		switch {
		case s == plain:
		case s == configMap && len(rest) == 1 && (is([]byte(segment), "data") || is([]byte(segment), "binaryData")):
			w.setting(n, last)
			return
		case len(rest) == 0:
			w.member(n, []byte(segment), s)
			return
		case s.sensitive():
			w.gone(n, s.why())
			return
		}
	}
	w.any(n, []byte(last))
}
