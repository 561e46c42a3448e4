package format

import (
	"bytes"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// value reads one value of a document that begins at a place: an event, an entry of a
// cloud's log, or a list of them. raw is the whole document.
func (r *reader) value(doc *jsondoc.Document, n jsondoc.Node, at place, raw []byte) {
	if r.done {
		return
	}
	if n != doc.Root() {
		before := raw[:doc.Offset(n)]
		at.line += bytes.Count(before, []byte("\n"))
		at.offset += int64(len(before))
	}
	switch doc.Kind(n) {
	case jsondoc.Array:
		for i := doc.Child(n); i != 0; i = doc.Next(i) {
			r.value(doc, i, place{at.line - bytes.Count(raw[:doc.Offset(n)], []byte("\n")), at.offset - int64(doc.Offset(n))}, raw)
		}
		return
	case jsondoc.Object:
	default:
		r.problem(at, doc.Raw(n), NoEvent, "it is no object")
		return
	}
	entry := doc.Raw(n)
	list := func(i jsondoc.Node) {
		r.value(doc, i, place{at.line - bytes.Count(raw[:doc.Offset(n)], []byte("\n")), at.offset - int64(doc.Offset(n))}, raw)
	}
	stream := ""
	for i := doc.Child(n); i != 0; i = doc.Next(i) {
		switch string(doc.Key(i)) {
		case "kind":
			switch string(doc.Text(i)) {
			case "Event":
				r.raw(at, entry)
			case "EventList":
				r.list(doc, n, at, list)
			default:
				r.problem(at, entry, NoEvent, "it is of another kind than Event and EventList")
			}
			return
		case "protoPayload":
			if r.accepts(at, entry, GKE) {
				r.gke(doc, n, at)
			}
			return
		case "properties":
			if log := doc.Get(i, "log"); log != 0 {
				if r.accepts(at, entry, AKS) {
					r.aks(doc, n, log, at)
				}
				return
			}
		case "log_s", "AuditId":
			if r.accepts(at, entry, AKS) {
				r.azure(doc, n, at)
			}
			return
		case "tables":
			if r.accepts(at, entry, AKS) {
				r.tables(doc, i, at)
			}
			return
		case "logStream", "logStreamName":
			stream = string(doc.Text(i))
		case "logEvents", "events":
			if doc.Kind(i) == jsondoc.Array {
				if r.accepts(at, entry, EKS) {
					if stream == "" {
						stream = string(doc.Text(doc.Get(n, "logStream")))
					}
					r.logEvents(doc, i, at, stream)
				}
				return
			}
		case "results":
			if doc.Kind(i) == jsondoc.Array {
				if r.accepts(at, entry, EKS) {
					r.insights(doc, i, at)
				}
				return
			}
		case "message", "@message":
			if doc.Get(n, "auditID") == 0 && doc.Kind(i) == jsondoc.String {
				if r.accepts(at, entry, EKS) {
					if name := doc.Get(n, "logStreamName"); stream == "" && name != 0 {
						stream = string(doc.Text(name))
					}
					r.message(at, stream, bytes.Clone(doc.Text(i)))
				}
				return
			}
		case "records", "items", "value":
			if doc.Kind(i) == jsondoc.Array && doc.Get(n, "kind") == 0 {
				list(i)
				return
			}
		case "log":
			if doc.Kind(i) == jsondoc.String && doc.Get(n, "kind") == 0 {
				r.nested(at, bytes.Clone(doc.Text(i)), Raw)
				return
			}
		case "messageType":
			if string(doc.Text(i)) == "CONTROL_MESSAGE" {
				r.problem(at, entry, Foreign, "it is a message of CloudWatch about itself")
				return
			}
		case "nextToken", "searchedLogStreams", "nextForwardToken", "nextBackwardToken", "statistics", "status":
			if doc.Get(n, "events") == 0 && doc.Get(n, "results") == 0 && doc.Get(n, "auditID") == 0 {
				r.problem(at, entry, Foreign, "it is what a command says of its answer")
				return
			}
		case "auditID":
			if doc.Get(n, "kind") == 0 {
				r.raw(at, entry)
				return
			}
		}
	}
	if doc.Get(n, "category") != 0 || doc.Get(n, "searchedCompletely") != 0 {
		r.problem(at, entry, Foreign, "it is an entry of another log")
		return
	}
	r.problem(at, entry, NoEvent, "it is no audit event, and no entry of a log that is known")
}

// raw reads an Event of audit.k8s.io.
func (r *reader) raw(at place, entry []byte) {
	r.eventOf(at, entry, Raw)
}

// eventOf reads an Event of audit.k8s.io that came in the envelope of a format.
func (r *reader) eventOf(at place, entry []byte, format string) {
	if !r.accepts(at, entry, format) {
		return
	}
	r.decoder.Source = format
	e, err := r.decoder.Event(entry)
	if err != nil {
		r.fault(at, entry, err)
		return
	}
	switch format {
	case Raw:
		r.rawEvent(e)
		return
	case AKS:
		skipped(e)
	}
	r.event(e)
}

// rawEvent is an event in no envelope, which may be of an OpenShift server.
func (r *reader) rawEvent(e *audit.Event) {
	if e.Source == Raw {
		if r.openshift = r.openshift || r.o.Format == OpenShift || isOpenShift(e); r.openshift {
			e.Source = OpenShift
		}
	}
	r.event(e)
}

// isOpenShift reports whether an event shows that an OpenShift server wrote it.
func isOpenShift(e *audit.Event) bool {
	if strings.HasSuffix(e.APIGroup, ".openshift.io") {
		return true
	}
	for key := range e.Extra {
		if strings.HasSuffix(key, ".openshift.io") {
			return true
		}
	}
	for key := range e.Annotations {
		if prefix, _, _ := strings.Cut(key, "/"); strings.HasSuffix(prefix, ".openshift.io") {
			return true
		}
	}
	return false
}

// list reads an EventList. Its items need no kind.
func (r *reader) list(doc *jsondoc.Document, n jsondoc.Node, at place, items func(jsondoc.Node)) {
	if i := doc.Get(n, "items"); i != 0 && doc.Kind(i) == jsondoc.Array {
		items(i)
		return
	}
	r.problem(at, doc.Raw(n), Broken, "an EventList without a list of items")
}

// nested reads a text that holds a document.
func (r *reader) nested(at place, text []byte, format string) {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		r.problem(at, text, Foreign, "it is a line of another log")
		return
	}
	if r.deep >= mostDeep {
		r.problem(at, text, Broken, "texts within texts, too many of them")
		return
	}
	doc := r.document()
	defer r.release()
	if err := doc.Parse(trimmed); err != nil {
		r.fault(at, text, err)
		return
	}
	if id := doc.Get(doc.Root(), "auditID"); id != 0 {
		r.eventOf(at, trimmed, format)
		return
	}
	r.problem(at, text, Foreign, "it is a line of another log")
}
