// Package trail puts the audit gate together for a mount: what a request was, from the
// server that answered it to the store that can be asked.
//
//	t, err := trail.Open(trail.Options{Store: cfg.Audit.Store, Source: "serve"})
//	config.AuditBackend = t.Backend(config.AuditBackend) // redacts before the log as well
//	go t.Run(ctx)                                        // what is copied elsewhere
//	defer t.Close()
//
// Events are redacted once for each place they go to, and kept in a store of this
// machine before the request that made them is answered (package store). Beside that
// they go where the settings say: finished segments to a bucket (package bucket), and
// each event as a log record to an OpenTelemetry collector (package otlp). The two may
// lag or fail, and take nothing from the store.
//
// Invariants:
//   - Nothing is handed on that has not been redacted.
//   - Without a store there is still redaction: the log of a server holds no secret
//     either way.
//   - Who taps the trail sees what is kept, once it is.
package trail
