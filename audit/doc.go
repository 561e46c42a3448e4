// Package audit is the vocabulary of the audit gate: what is written down about a
// request, how it is read again, and by which policy it is recorded at all.
//
//	policy, err := audit.NewPolicy(audit.DefaultPolicy)
//	config.AuditPolicyRuleEvaluator = policy // upstream's interface
//
//	for event, err := range reader.Scan(ctx, audit.Scan{Filter: audit.Filter{Users: []string{"jane"}}}) { ... }
//
// Policy is upstream's evaluator (audit.k8s.io/v1, first matching rule wins)
// that can be replaced while requests are judged, so a changed policy file is in
// force without a restart. A file that does not parse changes nothing. The built-in
// policy, DefaultPolicy, never records the body of a Secret, a ConfigMap, a token or a
// TokenReview, and records who changed permissions, webhooks and policies, and what is to
// run, with the bodies.
//
// An Event is one audit event, laid flat. Events come from the server itself, from the
// audit webhook of another, or from files of many forms; they are redacted, kept in a
// Sink, and read through a Reader. A Gap is a time in which events are known to be
// missing: a reader who finds nothing can tell silence from loss.
//
// Invariants:
//   - An event is identified by its Identity; what comes twice is kept once.
//   - What a source cannot tell is named in Event.Unknown, and is not empty instead.
//   - Texts of an event were written by clients, attackers among them. Whoever shows one
//     escapes it for the place it is shown in.
package audit
