package backend

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	upstream "k8s.io/apiserver/pkg/audit"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// Redacting is a backend that redacts events before another gets them: one that writes
// a file, or sends them on.
func Redacting(r *redact.Redactor, next upstream.Backend) upstream.Backend {
	if r == nil || next == nil {
		panic("backend.Redacting: needs a Redactor and a Backend")
	}
	return &redacting{Backend: next, redactor: r}
}

type redacting struct {
	upstream.Backend
	redactor *redact.Redactor
}

func (b *redacting) ProcessEvents(events ...*auditinternal.Event) bool {
	clean := make([]*auditinternal.Event, 0, len(events))
	for _, e := range events {
		if e != nil {
			clean = append(clean, Redacted(b.redactor, e))
		}
	}
	return b.Backend.ProcessEvents(clean...)
}

func (b *redacting) String() string { return fmt.Sprintf("redacted<%s>", b.Backend) }

// Redacted is an event without what must not be told. The event itself is not changed;
// the copy shares with it what stays.
func Redacted(r *redact.Redactor, e *auditinternal.Event) *auditinternal.Event {
	flat := record.FromInternal(e)
	r.Event(flat)
	return cleaned(e, flat)
}

// cleaned is an event with what a flat one says of it that was redacted. It has annotations
// of its own: upstream's backends add to them.
func cleaned(e *auditinternal.Event, flat *audit.Event) *auditinternal.Event {
	clean := *e
	clean.RequestURI, clean.UserAgent, clean.Annotations = flat.URI, flat.UserAgent, maps.Clone(flat.Annotations)
	clean.RequestObject = unknown(e.RequestObject, flat.Request)
	clean.ResponseObject = unknown(e.ResponseObject, flat.Response)
	if o := e.ObjectRef; o != nil && o.Name != flat.Name {
		named := *o
		named.Name = flat.Name
		clean.ObjectRef = &named
	}
	if s := e.ResponseStatus; s != nil {
		clean.ResponseStatus = status(s, flat.Message)
	}
	return &clean
}

// unknown is a body, redacted: always JSON, since what was no JSON has been converted or
// dropped.
func unknown(body *runtime.Unknown, clean []byte) *runtime.Unknown {
	if body == nil || clean == nil {
		return body
	}
	return &runtime.Unknown{TypeMeta: body.TypeMeta, Raw: clean, ContentType: runtime.ContentTypeJSON}
}

// status is a response's status with its message redacted. Where the message was, so
// are the causes, which say it again.
func status(s *metav1.Status, message string) *metav1.Status {
	if s.Message == message && (s.Details == nil || len(s.Details.Causes) == 0) {
		return s
	}
	clean := *s
	clean.Message = message
	if s.Details != nil {
		details := *s.Details
		details.Causes = nil
		if s.Message == message {
			for _, cause := range s.Details.Causes {
				cause.Message = redact.Text(cause.Message)
				details.Causes = append(details.Causes, cause)
			}
		}
		clean.Details = &details
	}
	return &clean
}
