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
// # What a template reads
//
// Reads says, without a review, by which parts of one a template finds a violation or fails:
//
//	reads, ok := p.Reads() // spec.containers[].image, and how many containers there are
//
// It follows the parts of the review through the rules, as OPA's compiler has rewritten
// them: from variable to variable, into functions and what they return, into sets and out
// of them. The order of expressions does not count, nor which definition of a rule holds.
// What is looked at in a way that is not known in detail is read as a whole, and so are
// values of which two could contradict each other, and the elements of a set where their
// order or their number counts. What goes only into the message of a violation has to be
// there, and that is all. Where a template looks at anything but the request, at the clock
// or the inventory, or at the review as a whole, ok is false.
//
// # Invariants
//
//   - What is found, and what it says, is what Gatekeeper's driver would find and say;
//     tests hold the two against each other.
//   - A Program, parameters and Data do not change, and are safe for concurrent use: who
//     still has them is still answered by them.
//   - Reviews that are equal in all that a template reads are the same to it: it has
//     something to say of all of them or of none, whatever the parameters are. Tests change
//     what is not read, of templates that were published and of ones that are made up.
//   - An evaluation ends when the context does that its Question was begun with.
//
// # What it does not do
//
// It does not evaluate a template partially with a constraint's parameters beforehand. Four
// common templates were 0.9 to 1.6 times as fast by it, at about a millisecond more for each
// constraint at the start, and it would be a second program to hold against Gatekeeper.
package rego
