package trace

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	upstream "go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// Review is the span of one request to an endpoint of attach; nil where it is not
// sampled.
type Review struct{ span upstream.Span }

// Review begins the span of a request, below the traceparent that came with it: the API
// server's, whose trace has the audit ID of the request that the review is about.
// Whether it is sampled is then the API server's to say.
func (t *Tracing) Review(ctx context.Context, r *http.Request) (context.Context, *Review) {
	if t == nil {
		return ctx, nil
	}
	ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, r.Method+" "+r.URL.Path, upstream.WithSpanKind(upstream.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	span.SetAttributes(AuditID.String(auditid.From(ctx)),
		attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path),
		attribute.String("network.protocol.version", strings.TrimPrefix(r.Proto, "HTTP/")))
	return ctx, &Review{span}
}

// End ends the span with the status code of the answer.
func (v *Review) End(code int) {
	if v == nil {
		return
	}
	v.span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= http.StatusInternalServerError {
		v.span.SetStatus(codes.Error, "")
	}
	v.span.End()
}
