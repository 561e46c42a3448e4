// Package rego compiles the Rego of a ConstraintTemplate, and says which violations it
// finds in a review.
//
//	c := rego.NewCompiler(rego.Options{Without: []string{"http.send"}})
//	p, err := c.Compile(code)                           // once for a template
//	parameters, err := rego.Parameters(spec.parameters) // once for a constraint
//	q := rego.Question{Review: review, Data: data}      // once for a request
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
//     the tests of package gatekeeper hold the two against each other.
//   - A Program, parameters and Data do not change, and are safe for concurrent use: who
//     still has them is still answered by them.
//   - An evaluation ends when its Question's cancel or its context says so.
package rego
