package format

import (
	"bytes"
	"slices"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// aks reads an entry of diagnostic settings, whose properties.log is an event as an
// object or as a text.
func (r *reader) aks(doc *jsondoc.Document, n, log jsondoc.Node, at place) {
	category := doc.Get(n, "category")
	if category == 0 {
		category = doc.Get(n, "Category")
	}
	if name := string(doc.Text(category)); category != 0 && name != "kube-audit" && name != "kube-audit-admin" {
		r.problem(at, doc.Raw(n), Foreign, "it is a line of another log")
		return
	}
	switch doc.Kind(log) {
	case jsondoc.Object:
		r.eventOf(at, doc.Raw(log), AKS)
	case jsondoc.String:
		r.nested(at, bytes.Clone(doc.Text(log)), AKS)
	default:
		r.problem(at, doc.Raw(n), NoEvent, "its properties.log is neither an object nor a text")
	}
}

// columns are those of AKSAudit and AKSAuditAdmin, and the members of an Event they are.
var columns = map[string]string{
	"Annotations": "annotations", "AuditId": "auditID", "Level": "level", "ObjectRef": "objectRef", "RequestObject": "requestObject",
	"RequestReceivedTime": "requestReceivedTimestamp", "RequestUri": "requestURI", "ResponseObject": "responseObject",
	"ResponseStatus": "responseStatus", "SourceIps": "sourceIPs", "Stage": "stage", "StageReceivedTime": "stageTimestamp",
	"User": "user", "UserAgent": "userAgent", "Verb": "verb", "ImpersonatedUser": "impersonatedUser",
}

// dynamic are the columns that hold JSON, which some exports print as a text.
var dynamic = map[string]bool{
	"Annotations": true, "ObjectRef": true, "RequestObject": true, "ResponseObject": true, "ResponseStatus": true, "SourceIps": true, "User": true, "ImpersonatedUser": true,
}

// azure reads a row of a table: AKSAudit by its columns, AzureDiagnostics by its log_s.
func (r *reader) azure(doc *jsondoc.Document, n jsondoc.Node, at place) {
	row := rowReader{line: []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1"`)}
	for i := doc.Child(n); i != 0; i = doc.Next(i) {
		key := string(doc.Key(i))
		if key == "log_s" && doc.Kind(i) == jsondoc.String {
			r.nested(at, bytes.Clone(doc.Text(i)), AKS)
			return
		}
		row.add(key, doc, i)
	}
	r.eventOf(at, append(row.line, '}'), AKS)
}

// tables reads the answer of a query: tables of columns and rows.
func (r *reader) tables(doc *jsondoc.Document, tables jsondoc.Node, at place) {
	for table := doc.Child(tables); table != 0; table = doc.Next(table) {
		var names []string
		for c := doc.Child(doc.Get(table, "columns")); c != 0; c = doc.Next(c) {
			names = append(names, string(doc.Text(doc.Get(c, "name"))))
		}
		rows := doc.Get(table, "rows")
		if rows == 0 || !slices.Contains(names, "AuditId") && !slices.Contains(names, "log_s") {
			r.problem(at, doc.Raw(table), NoEvent, "a table without the columns of AKSAudit")
			continue
		}
		for values := doc.Child(rows); values != 0; values = doc.Next(values) {
			row := rowReader{line: []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/v1"`)}
			var log []byte
			column := 0
			for i := doc.Child(values); i != 0 && column < len(names); i = doc.Next(i) {
				if names[column] == "log_s" {
					log = bytes.Clone(doc.Text(i))
				}
				row.add(names[column], doc, i)
				column++
			}
			if log != nil {
				r.nested(at, log, AKS)
			} else {
				r.eventOf(at, append(row.line, '}'), AKS)
			}
		}
	}
}

// rowReader writes an Event of columns.
type rowReader struct{ line []byte }

func (w *rowReader) add(column string, doc *jsondoc.Document, n jsondoc.Node) {
	member, known := columns[column]
	if !known || doc.Kind(n) == jsondoc.Null {
		return
	}
	value := doc.Raw(n)
	if dynamic[column] && doc.Kind(n) == jsondoc.String {
		text := bytes.Clone(doc.Text(n))
		var inner jsondoc.Document
		switch {
		case len(text) == 0:
			return
		case inner.Parse(text) == nil:
			value = text
		}
	}
	w.line = append(append(jsondoc.AppendString(append(w.line, ','), member), ':'), value...)
}

// tooBig is what AKS puts in the place of a body.
const tooBig = `"skipped-too-big-size-object"`

// skipped says of an event what AKS has left out of it.
func skipped(e *audit.Event) {
	unknown := false
	for _, body := range []*[]byte{&e.Request, &e.Response} {
		if string(*body) == tooBig {
			*body, unknown = nil, true
		}
	}
	if unknown {
		e.Truncated = true
		e.Unknown = append(e.Unknown, audit.UnknownBody)
	}
}
