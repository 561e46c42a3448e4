package trace

import (
	"context"
	"time"

	upstream "go.opentelemetry.io/otel/trace"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// Audit keeps events as next does, with a span for each event of a sampled request: how
// long the request waited until its event was kept.
func (t *Tracing) Audit(next audit.Backend) audit.Backend {
	if t == nil || next == nil {
		return next
	}
	return tracedBackend{next, t}
}

type tracedBackend struct {
	audit.Backend
	tracing *Tracing
}

// ProcessEvents implements audit.Sink.
func (b tracedBackend) ProcessEvents(events ...*auditinternal.Event) bool {
	if b.tracing.live.some.Load() == 0 {
		return b.Backend.ProcessEvents(events...)
	}
	began := time.Now()
	kept := b.Backend.ProcessEvents(events...)
	ended := time.Now()
	for _, e := range events {
		if q := b.tracing.live.find(auditid.Clean(string(e.AuditID))); q != nil {
			q.audited(e, kept, began, ended)
		}
	}
	return kept
}

func (q *request) audited(e *auditinternal.Event, kept bool, began, ended time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	verdict := gate.Step{Opinion: gate.Allow, Reason: "the event is kept"}
	if !kept {
		verdict = gate.Step{Opinion: gate.Deny, Reason: "the event is not kept"}
	}
	emit(upstream.ContextWithSpan(context.Background(), q.root), q.tracing.tracer, "audit", q.id, began, ended,
		append(attributes(&verdict, false), Stage.String(string(e.Stage)), Level.String(string(e.Level)))...)
}
