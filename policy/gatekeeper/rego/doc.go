// Package rego compiles the Rego of a ConstraintTemplate, and says which violations it
// finds in a review.
//
//	c, err := rego.NewCompiler(rego.Options{Without: []string{"http.send"}})
//	p, err := c.Compile(&template.Spec.Targets[0])      // once for a template
//	parameters, err := rego.Parameters(spec.parameters) // once for a constraint
//	q := rego.Question{Review: review, Data: data}      // once for a request
//	defer q.Begin(ctx)()
//	found, err := p.Violations(ctx, &q, parameters)
//
// It stands in for the driver of open-policy-agent/frameworks, which parses and compiles
// its query, turns the review into terms and reads the parameters out of a store for each
// template that is asked. Here a template has its query compiled, a constraint its
// parameters as terms, and a request its review: what is left of a question is OPA's
// evaluation. Rego's checks and rewriting are the framework's own (regorewriter).
//
// # Invariants
//
//   - What is found, and what it says, is what Gatekeeper's driver would find and say;
//     tests hold the two against each other.
//   - A Program, parameters and Data do not change, and are safe for concurrent use: who
//     still has them is still answered by them.
//   - An evaluation ends when the context does that its Question was begun with.
//
// # What it does not do
//
// It does not evaluate a template partially with a constraint's parameters beforehand. Four
// common templates were 0.9 to 1.6 times as fast by it, at about a millisecond more for each
// constraint at the start, and it would be a second program to hold against Gatekeeper.
package rego
