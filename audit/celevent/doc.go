// Package celevent lets CEL expressions speak of an audit event: the conditions of
// queries and of detection rules.
//
//	env, err := celevent.NewEnv(celevent.Options{})
//	p, err := env.Compile(`event.verb == "delete" && event.user.username.startsWith("system:")`, celevent.Bool)
//	var a celevent.Activation
//	a.Set(event)
//	yes, err := p.Match(ctx, &a)
//
// The variable event has the fields of an Event of audit.k8s.io/v1 under the names people
// know from there: event.user.username, event.objectRef.resource,
// event.responseStatus.code, event.requestObject.spec.replicas. They have types, so that
// a misspelled field is an error at compile time with its place; bodies are dyn. To these
// come decision, latency, source, truncated and unknown, which are Gatehouse's. The
// functions are those Kubernetes gives its own expressions: strings, lists, sets, regular
// expressions, URLs, IPs and CIDRs, quantities, semantic versions, formats, optionals.
//
// Invariants:
//   - A typed field that an event does not have is its zero value, and has() of it is
//     false. What is not in a body is an error, unless has() asks first.
//   - A field is read when an expression comes to it, and a body is decoded at most once
//     an event, and only then. Program.Bodies says whether a body can be asked for at all,
//     so that whoever reads events for it can leave bodies unread.
//   - An evaluation ends: it costs at most Options.CostLimit in CEL's units.
//     Where the compiler can tell that it always costs less, nothing is counted.
//   - There is no state but in the Activation. An Env and its Programs are safe for
//     concurrent use; an Activation is for one goroutine and is used again and again.
package celevent
