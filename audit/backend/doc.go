// Package backend keeps the events of an API server of this process: an audit.Backend of
// upstream's over an audit.Sink, and one that redacts before another backend.
//
//	redactor := redact.New(redact.Options{Key: key})
//	config.AuditBackend = backend.New(backend.Options{Sink: sink, Redactor: redactor, Source: "serve", Log: jsonLog})
//	config.AuditBackend = backend.Redacting(redactor, jsonLog) // where there is no store
//
// Invariants:
//   - ProcessEvents returns true once the Sink has acknowledged every event, which is
//     before the server answers the request. There is no batching here: a Sink that
//     forces to disk in groups does it for all requests that wait at once.
//   - How many may wait, and what becomes of those that are too many, is the Sink's choice.
//   - An event that was not kept is counted, told to Options.Lost, and counted in upstream's
//     metric apiserver_audit_error_total. What upstream logs of it is redacted too.
//   - The server's events are not changed, and nothing of one is used after ProcessEvents
//     has returned.
//   - Nothing panics: a panic in here would fail the request.
package backend
