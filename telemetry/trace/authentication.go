package trace

import (
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	upstream "go.opentelemetry.io/otel/trace"
	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// Authenticator answers as next does, which is in package authn's Record: what that
// records is the span. A request that is refused here has a trace of its own making,
// since it gets no further.
func (t *Tracing) Authenticator(next authenticator.Request) authenticator.Request {
	if t == nil {
		return next
	}
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		q := requestFrom(r.Context())
		if q == nil {
			return next.AuthenticateRequest(r)
		}
		began := time.Now()
		answer, ok, err := next.AuthenticateRequest(r)
		q.mu.Lock()
		q.asked, q.answered = began, time.Now()
		q.mu.Unlock()
		if !ok || err != nil {
			q.refuse(r)
		}
		return answer, ok, err
	})
}

// refuse begins the trace of a request that is nobody's. Its traceparent does not count:
// anybody could make the server trace as much as they like.
func (q *request) refuse(r *http.Request) {
	path := r.URL.Path
	_, root := q.start(r.Context(), r.Method, upstream.WithNewRoot(), upstream.WithAttributes(
		attribute.String("http.request.method", r.Method), attribute.String("url.path", path),
		attribute.Int("http.response.status_code", http.StatusUnauthorized),
		attribute.String("network.protocol.version", strings.TrimPrefix(r.Proto, "HTTP/")),
	))
	if root.IsRecording() {
		q.mu.Lock()
		q.refused = true
		q.mu.Unlock()
	}
}
