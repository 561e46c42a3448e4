// Package kyverno answers: what becomes of Kyverno's policies? They are not read yet, and
// each is refused with a sentence that says so, under every mount: a policy of which
// nothing is said would be taken to be in force.
//
//	loaded, _ := policy.Load([]policy.Engine{kyverno.New()}, objects)
//	loaded.Problems[0].Message // policies of Kyverno are not read yet: they come in the next round
//
// Invariants: no object of Kyverno's is written to, its status included, since Kyverno may
// be in charge of it; and what states no policy (reports, requests for updates) is not
// looked at.
package kyverno
