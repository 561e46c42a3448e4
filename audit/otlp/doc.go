// Package otlp sends audit events to a log platform, as OpenTelemetry logs (OTLP 1,
// over gRPC or HTTP).
//
//	exporter := otlp.New(otlp.Options{Transport: otlp.OverGRPC(conn), Cluster: "prod"})
//	go exporter.Run(ctx)
//	sink := both(store, exporter) // an audit.Sink that takes what the store has acknowledged
//	...
//	exporter.Shutdown(ctx)
//
// An Exporter is an audit.Sink that never waits and never fails: the store is the record,
// and this is a copy. What does not fit into the queue, and what the platform does not
// take, is dropped and counted with its cause.
//
// # Records
//
// The body is the event as JSON (record.AppendJSON). Attributes are those of the semantic
// conventions where there is one (user.name, user.id, user_agent.original,
// client.address, url.path, url.query, http.response.status_code, k8s.namespace.name,
// k8s.pod.name, k8s.node.name), and gatehouse.audit.* for what they have none for. Severity
// is INFO; WARN for what was refused or wrong; ERROR for a failure of the server.
//
// # Invariants
//
//   - Memory is bounded by Options.QueueEvents and Options.QueueBytes.
//   - Batches are sent one after another, in order; one is sent again, later each time,
//     only where OTLP says that it may be, and is given up after Options.GiveUp.
//   - Events come redacted, as to every Sink, and errors say nothing of them.
package otlp
