package format

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// partial is the beginning of a message that CloudWatch has split.
type partial struct {
	at   place
	text []byte
}

// mostPartial is how many streams may have one at a time.
const mostPartial = 64

// logEvents reads the events of a stream, as subscriptions and commands give them.
func (r *reader) logEvents(doc *jsondoc.Document, list jsondoc.Node, at place, stream string) {
	for i := doc.Child(list); i != 0; i = doc.Next(i) {
		message := doc.Get(i, "message")
		if message == 0 || doc.Kind(message) != jsondoc.String {
			r.problem(at, doc.Raw(i), NoEvent, "an entry without a message")
			continue
		}
		text := bytes.Clone(doc.Text(message))
		own := stream
		if name := doc.Get(i, "logStreamName"); name != 0 {
			own = string(doc.Text(name))
		}
		r.message(at, own, text)
	}
}

// insights reads the rows of a query: lists of fields and values.
func (r *reader) insights(doc *jsondoc.Document, rows jsondoc.Node, at place) {
	for row := doc.Child(rows); row != 0; row = doc.Next(row) {
		var text []byte
		stream := ""
		for cell := doc.Child(row); cell != 0; cell = doc.Next(cell) {
			field, value := doc.Get(cell, "field"), doc.Get(cell, "value")
			if field == 0 || value == 0 {
				continue
			}
			switch string(doc.Text(field)) {
			case "@message":
				text = bytes.Clone(doc.Text(value))
			case "@logStream":
				stream = string(doc.Text(value))
			}
		}
		if text == nil {
			r.problem(at, doc.Raw(row), NoEvent, "a row without a @message")
			continue
		}
		r.message(at, stream, text)
	}
}

// message reads one message of a stream of CloudWatch. text is the reader's own.
func (r *reader) message(at place, stream string, text []byte) {
	begun := r.partial[stream]
	begins := bytes.HasPrefix(bytes.TrimSpace(text), []byte(`{"kind":"Event"`))
	if begun != nil {
		delete(r.partial, stream)
		joined := append(begun.text, text...)
		switch {
		case begins || len(joined) > r.o.MaxLine:
			r.cut(begun)
		case r.complete(joined):
			r.nested(begun.at, joined, EKS)
			return
		case r.mayGoOn(joined):
			r.partial[stream] = &partial{begun.at, joined}
			return
		default:
			r.cut(begun)
		}
	}
	if begins && r.mayGoOn(text) && len(r.partial) < mostPartial {
		r.partial[stream] = &partial{at, text}
		return
	}
	r.nested(at, text, EKS)
}

// cut is the problem of a message whose end has not come.
func (r *reader) cut(p *partial) {
	r.problem(p.at, p.text, Truncated, "CloudWatch has cut or split it, and the rest is not there")
}

// leftovers are the beginnings whose ends have not come with the file's.
func (r *reader) leftovers() {
	for _, p := range slices.SortedFunc(maps.Values(r.partial), func(a, b *partial) int { return a.at.line - b.at.line }) {
		r.cut(p)
	}
	clear(r.partial)
}

func (r *reader) complete(text []byte) bool {
	doc := r.document()
	defer r.release()
	return doc.Parse(text) == nil
}

// mayGoOn reports whether a text is the beginning of a document.
func (r *reader) mayGoOn(text []byte) bool {
	if bytes.HasSuffix(bytes.TrimSpace(text), []byte("[Truncated...]")) {
		return false
	}
	doc := r.document()
	defer r.release()
	err, ok := doc.Parse(text).(*jsondoc.SyntaxError)
	return ok && err.Short
}

// text reads a line that is no JSON: an export to S3 has a time before each message, and
// aws logs tail a time and a stream.
func (r *reader) text(at place, text []byte) {
	first, rest, found := bytes.Cut(text, []byte(" "))
	if _, err := time.Parse(time.RFC3339Nano, string(first)); err != nil || !found {
		r.problem(at, text, Broken, "it is no JSON, and no time stands at its beginning")
		return
	}
	if !r.accepts(at, text, EKS) {
		return
	}
	rest = bytes.TrimSpace(rest)
	stream := ""
	if len(rest) > 0 && rest[0] != '{' {
		name, message, _ := bytes.Cut(rest, []byte(" "))
		if bytes.HasPrefix(name, []byte("kube-apiserver")) || bytes.HasPrefix(bytes.TrimSpace(message), []byte("{")) {
			stream, rest = string(name), bytes.TrimSpace(message)
		}
	}
	r.message(at, stream, bytes.Clone(rest))
}
