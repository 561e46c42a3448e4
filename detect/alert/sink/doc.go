// Package sink has the places that alerts go, as the settings name them.
//
//	sinks, err := sink.New(sink.Options{Alerts: cfg.Detection.Alerts, Events: client.CoreV1()})
//	d, err := alert.Open(alert.Options{Dir: dir, Sinks: sinks})
//
//	Alertmanager  its API v2: labels that stay the same for a Finding, the rest as
//	              annotations; sent again each minute; endsAt is set when it is over
//	webhook       JSON (Message), signed with HMAC-SHA256 over its time and the body
//	Slack         the JSON of incoming webhooks, which others read too
//	syslog        RFC 5424, over UDP (RFC 5426), TCP (RFC 6587, octet counting) or TLS (RFC 5425)
//	file          a line of JSON for each Alert
//	Events        core/v1 Events in the namespace that the Finding is about
//
// Who receives a signed message verifies it with Verify, or as docs/alerts.md says.
//
// Invariants:
//   - Send returns nil only when the receiver has said that it has all of it; by UDP, which
//     has no such word, when it was handed to the network.
//   - What clients wrote does not steer a terminal, a log line, a chat or a label: it is
//     escaped for each, and bounded.
//   - Tokens, keys and the URLs of Slack are read from their files each time, and are in no
//     error. Redirects are not followed: they would take the secret elsewhere.
//   - An answer that will be the same the next time (400, 413, 422) is a RefusedError; any
//     other failure is tried again.
//
// It keeps nothing: queues and pauses are package alert's.
package sink
