// Package review answers the three questions of a person about authorization: why
// is this request allowed or refused (RequestReview), who can do this
// (SubjectsReview), and what can they do (AccessList). Every mount answers with
// it: the API under serve, and the command line over a live cluster or over files.
//
//	chain := review.Chain{{Name: "Guard", Authorizer: guards}, {Name: "RBAC", Authorizer: index}}
//	trace, err := chain.Request(ctx, spec)       // a gate.Trace
//	status := review.Status(trace)               // as RequestReview has it
//	status, err := review.Subjects(index, spec)
//	status := review.Access(index, spec)
//
// Invariants:
//   - The verdict of Request is the one the chain gives to a request that nobody
//     explains: the first part that allows or denies decides. All parts are asked
//     nevertheless, so that every obstacle is seen.
//   - Subjects and Access speak of what RBAC grants. What a Guard refuses, and what
//     other authorizers allow, is not in them; their answers say so where the
//     caller passes what is not asked.
//
// It evaluates nothing itself, and reads no clock and no cluster.
package review
