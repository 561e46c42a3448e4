package attach

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// kept has the spans that have been exported, also after the end of a Tracing.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// TestReviewsAreTraced asks endpoints as an API server does that traces, and is held to
// the spans: below its own, with the audit ID, and what the gate said.
func TestReviewsAreTraced(t *testing.T) {
	spans := kept{tracetest.NewInMemoryExporter()}
	tracing, err := trace.Open(t.Context(), trace.Options{Mount: "attach", Exporter: spans})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Options{Tracing: tracing, Endpoints: []Endpoint{
		Authorize(deciding(func(ctx context.Context, _ authorizer.Attributes) (authorizer.Decision, string, error) {
			gate.RecorderFrom(ctx).Record(gate.Step{Gate: "authorization", Part: "Guard", Opinion: gate.Deny, Reason: "no", Sources: []gate.Source{{Kind: "Guard", Name: "frozen"}}})
			return authorizer.DecisionDeny, "Guard frozen: no", nil
		})),
		Authenticate(knowing(nil, nil), nil),
	}, Handlers: map[string]http.Handler{"/audit": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })}})
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	for path, body := range map[string]string{"/authorize": anyReview, "/authenticate": tokenReview + `{"token":"hidden-from-traces"}}`, "/audit": "{}"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
		r.Header.Set("Audit-Id", "id-1")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if got := w.Header().Get("Audit-Id"); got != "id-1" {
			t.Errorf("%s: the answer's audit ID is %q", path, got)
		}
		s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))) // asks for no trace
	}
	tracing.Close()
	want := map[string]string{
		"authorization":  `gatehouse.gate.verdict=deny gatehouse.gate.part=Guard gatehouse.gate.reason=Guard frozen: no gatehouse.gate.sources=["Guard frozen"]`,
		"authentication": "gatehouse.gate.verdict=no_opinion gatehouse.gate.part=token gatehouse.gate.reason=no token that is known",
		"audit":          "gatehouse.gate.verdict=deny",
		"POST /audit":    "http.response.status_code=503", "POST /authorize": "http.response.status_code=200", "POST /authenticate": "http.response.status_code=200",
	}
	for _, span := range spans.GetSpans() {
		var said []string
		for _, kv := range span.Attributes {
			said = append(said, string(kv.Key)+"="+kv.Value.String())
		}
		text := strings.Join(said, " ")
		if span.SpanContext.TraceID().String() != traceID || !strings.Contains(text, "gatehouse.audit.id=id-1") || strings.Contains(text, "hidden") {
			t.Errorf("%s in trace %s: %s", span.Name, span.SpanContext.TraceID(), text)
		}
		if part, ok := want[span.Name]; !ok || !strings.Contains(text, part) {
			t.Errorf("%s: %s, want %s", span.Name, text, part)
		}
		delete(want, span.Name)
	}
	if len(want) > 0 {
		t.Errorf("no span of %v", want)
	}
}

// TestLogLinesHaveTheAuditID is about the lines that concern one request.
func TestLogLinesHaveTheAuditID(t *testing.T) {
	s := newServer(t, Options{Endpoints: []Endpoint{
		Authorize(deciding(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) { panic("oh") })),
	}})
	var b bytes.Buffer
	ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&b))))
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/authorize", strings.NewReader(anyReview)))
	id := w.Header().Get("Audit-Id")
	if line, _, _ := strings.Cut(b.String(), "\n"); len(id) != 36 || !strings.Contains(line, `audit-ID="`+id+`"`) || !strings.Contains(line, "A gate panicked") {
		t.Errorf("the answer's audit ID is %q, and logged is %s", id, line)
	}
}

// What tracing and audit IDs cost a review where tracing is off: an ID.
func BenchmarkIdentified(b *testing.B) {
	r, w := httptest.NewRequest(http.MethodPost, "/authorize", nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		_, review := (*trace.Tracing)(nil).Review(identified(w, r), r)
		review.End(http.StatusOK)
	}
}
