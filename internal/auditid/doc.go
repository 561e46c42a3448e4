// Package auditid says which request a log line or a span is about: by the audit ID,
// which the audit event of the request and the answer's header Audit-ID have too.
//
//	auditid.Log(ctx).Error(err, "A policy panicked; the request is refused")
//
// Under an API server the ID is in the context already: upstream's outermost filter
// draws it, or takes the client's. A server of another sort puts it there with With.
//
// Invariants:
//   - An ID is at most 64 printable characters of ASCII, whoever chose it.
//   - A context without an ID costs the look into it; nothing is made for a line that
//     nobody writes.
//
// It does not draw IDs, and does not log requests.
package auditid
