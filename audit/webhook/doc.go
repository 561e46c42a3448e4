// Package webhook receives the audit events of another API server: the server's side of
// upstream's audit webhook, audit.k8s.io/v1.
//
//	handler := webhook.New(webhook.Options{Sink: store, Redactor: redactor})
//	mux.Handle("POST /audit", handler)
//
// An API server posts an EventList and takes 200 for an acknowledgement. On anything
// else it posts the same list again, a few times, so what is kept is kept once by the Sink.
//
//	200  every event that can be read is in the Sink, acknowledged
//	400  nothing of it can be read; nothing was kept
//	413  the body is longer than Options.MaxBody; nothing was kept
//	429  as much is being read as may be; come back after Retry-After
//	503  the Sink has not acknowledged in time; come back after Retry-After
//
// Invariants:
//   - Nothing of a list is acknowledged before all of it is: the Sink gets its events in
//     one Append.
//   - An element that is no event does not hold back the others: the API server would
//     post the list again in vain, and lose all of it in the end. It is counted and told to
//     Options.Unreadable, where it becomes a gap.
//   - Events are redacted before the Sink sees them. No answer quotes what was posted.
//   - The memory for bodies is bounded by Options.MaxPending, whatever is posted.
//
// It does not ask who posts: put it behind a TLS that asks for a client certificate.
package webhook
