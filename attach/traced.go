package attach

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/util/uuid"
	auditv1 "k8s.io/apiserver/pkg/apis/audit"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/internal/auditid"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// identified is the context of a request with its audit ID, which log lines and spans
// have: what the client says (Audit-ID), or one that is drawn here. The answer says it,
// as an API server's does.
func identified(w http.ResponseWriter, r *http.Request) context.Context {
	id := auditid.Clean(r.Header.Get(auditv1.HeaderAuditID))
	if id == "" {
		id = string(uuid.NewUUID())
	}
	w.Header().Set(auditv1.HeaderAuditID, id)
	return auditid.With(r.Context(), id)
}

// traced answers as next does, which is a gate and no endpoint of reviews.
func traced(tracing *trace.Tracing, name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, review := tracing.Review(identified(w, r), r)
		if review == nil {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		recorder := &codeRecorder{ResponseWriter: w, code: http.StatusOK}
		inner, span := trace.Start(ctx, name, name)
		next.ServeHTTP(recorder, r.WithContext(inner))
		verdict := gate.Step{Opinion: gate.Allow}
		if recorder.code >= http.StatusBadRequest {
			verdict.Opinion = gate.Deny
		}
		span.End(verdict, false)
		review.End(recorder.code)
	})
}
