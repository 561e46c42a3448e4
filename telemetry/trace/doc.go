// Package trace makes one OpenTelemetry trace of a request, with a span for each gate
// that it passed, what the gate said and who said so.
//
//	tracing, err := trace.Open(ctx, trace.Options{Settings: cfg.Tracing, Mount: "serve"})
//	defer tracing.Close()
//	handler = tracing.Handler(handler)                  // outermost
//	authenticator = tracing.Authenticator(authenticator)
//	authorizer = tracing.Authorizer(authorizer)
//	config.TracerProvider = tracing.Chain()             // of upstream's handler chain
//
// Under serve upstream's tracing makes the rest: the request itself, the handlers, etcd,
// and calls to webhooks, whose traceparent leads a Gatehouse at the other end to the
// same trace. Upstream alone makes two traces of a request, since it decides after
// authentication whether a client's traceparent counts, and has begun a span by then;
// here that span waits until it is known where it belongs. Of a request that is
// refused there, upstream's trace says nothing; here it has the refusal.
//
// Under attach Review begins the span of a review, below the traceparent that came
// with it.
//
//	GET /api/v1/namespaces/{:namespace}/pods        url.path, http.response.status_code
//	  authentication                                client certificate
//	  authorization                                 RBAC, RoleBinding shop/devs
//	  Create                                        upstream's handler
//	    admission mutate GatehousePolicy
//	    admission validate PodSecurity
//	    Create etcd3
//	      encryption                                secretbox
//	  audit
//
// Attributes are in attributes.go. A span of a gate carries the audit ID of the request.
//
// # Invariants
//
//   - A nil *Tracing traces nothing: its methods return what they are given, so that
//     a server without the setting is built as if this package were not there.
//   - Of a request that is not sampled no gate records anything.
//   - No request waits for a collector. Spans that do not fit into the queue are lost.
//   - Tracing changes no verdict.
//   - No attribute holds a query, a token or a private key; what admission says of
//     Secrets and of tokens is left out.
//
// # What it does not do
//
// It counts nothing (package telemetry/meter), and keeps no spans: what was done is in
// the audit store.
package trace
