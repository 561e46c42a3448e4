package trace

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	upstream "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/component-base/tracing"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
)

// request is what the gates of a request share before it is known whether it is
// sampled, and how its trace begins.
type request struct {
	tracing *Tracing
	began   time.Time
	// recorder has what authentication said.
	recorder gate.Recorder

	mu sync.Mutex
	// asked and answered are when authentication began and ended.
	asked, answered time.Time
	// root is the request's span, nil while none is begun and where it is not sampled;
	// refused says that it is ours to end, since no handler was reached.
	root    upstream.Span
	refused bool
	id      string // audit ID; set with root
}

type requestKey struct{}

func requestFrom(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey{}).(*request)
	return q
}

// Handler stands before everything else that serves a request.
func (t *Tracing) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{tracing: t, began: time.Now()}
		defer q.end()
		ctx := context.WithValue(r.Context(), requestKey{}, q)
		next.ServeHTTP(w, r.WithContext(gate.WithRecorder(ctx, &q.recorder)))
	})
}

// start begins the span of the request below what ctx and opts say, at the moment that
// the request came, and tells in it what authentication said.
func (q *request) start(ctx context.Context, name string, opts ...upstream.SpanStartOption) (context.Context, upstream.Span) {
	id := auditid.From(ctx)
	opts = append(opts, upstream.WithSpanKind(upstream.SpanKindServer), upstream.WithTimestamp(q.began), upstream.WithAttributes(AuditID.String(id)))
	ctx, root := q.tracing.tracer.Start(ctx, name, opts...)
	ctx = gate.WithRecorder(ctx, nil)
	if !root.IsRecording() {
		return ctx, root
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.root, q.id = root, id
	q.tracing.live.add(id, q)
	for _, step := range q.recorder.Steps() {
		emit(ctx, q.tracing.tracer, step.Gate, id, q.asked, q.answered, attributes(&step, false)...)
	}
	return ctx, root
}

// end is called when the request has been answered.
func (q *request) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.root == nil {
		return
	}
	q.tracing.live.remove(q.id, q)
	if q.refused {
		q.root.End()
	}
}

// emit makes a span of something that is over.
func emit(ctx context.Context, tracer upstream.Tracer, name, id string, began, ended time.Time, about ...attribute.KeyValue) {
	_, span := tracer.Start(ctx, name, upstream.WithTimestamp(began))
	span.SetAttributes(AuditID.String(id), Gate.String(name))
	span.SetAttributes(about...)
	span.End(upstream.WithTimestamp(ended))
}

// Chain is the provider for upstream's handler chain: in it a request has one span. The
// chain begins others, for each filter, which hold all that comes after, and the first
// of them before it is known whose trace it is: they are left out.
func (t *Tracing) Chain() tracing.TracerProvider {
	if t == nil {
		return tracing.NewNoopTracerProvider()
	}
	return chain{tracing: t}
}

type chain struct {
	embedded.TracerProvider
	tracing *Tracing
}

// filterScope is the name under which upstream's filters begin their spans.
const filterScope = "k8s.op/apiserver/pkg/endpoints/filterlatency"

func (c chain) Tracer(name string, opts ...upstream.TracerOption) upstream.Tracer {
	if name == filterScope {
		return filterTracer{}
	}
	return requestTracer{real: c.tracing.provider.Tracer(name, opts...)}
}

func (chain) Shutdown(context.Context) error { return nil }

type filterTracer struct{ embedded.Tracer }

func (filterTracer) Start(ctx context.Context, _ string, _ ...upstream.SpanStartOption) (context.Context, upstream.Span) {
	return ctx, noop.Span{}
}

type requestTracer struct {
	embedded.Tracer
	real upstream.Tracer
}

func (t requestTracer) Start(ctx context.Context, name string, opts ...upstream.SpanStartOption) (context.Context, upstream.Span) {
	if q := requestFrom(ctx); q != nil {
		return q.start(ctx, name, opts...)
	}
	return t.real.Start(ctx, name, opts...)
}

// live are the sampled requests that are being answered, by their audit IDs: events
// come without a context. A client may choose an ID that another request has; the
// event then counts for the one that came last.
type live struct {
	some atomic.Int64 // how many there are: most requests are not sampled
	mu   sync.Mutex
	byID map[string][]*request
}

func (l *live) add(id string, q *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[string][]*request{}
	}
	l.byID[id] = append(l.byID[id], q)
	l.some.Add(1)
}

func (l *live) remove(id string, q *request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.byID[id]
	at := slices.Index(list, q)
	if at < 0 {
		return
	}
	l.some.Add(-1)
	if list = slices.Delete(list, at, at+1); len(list) == 0 {
		delete(l.byID, id)
		return
	}
	l.byID[id] = list
}

func (l *live) find(id string) *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list := l.byID[id]; len(list) > 0 {
		return list[len(list)-1]
	}
	return nil
}
