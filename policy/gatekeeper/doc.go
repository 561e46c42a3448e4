// Package gatekeeper asks the policies of OPA Gatekeeper: ConstraintTemplates in Rego
// and in CEL, the constraints that are made of them, and the exclusions of a Config.
//
//	e, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler})
//	loaded, _ := policy.Load([]policy.Engine{e}, objects)
//
// Rego is compiled and evaluated by package rego, with input.review and data.inventory as
// Gatekeeper makes them; all constraints that match a request are asked at once, and share
// what is made of it. CEL is compiled by package cel, once for a template.
// What a template looks up in data.inventory is read from the cluster view.
//
// Mutators (Assign, AssignMetadata, ModifySet, AssignImage) are one policy.Grouper: what
// an object becomes is for all of them to say together. An ExpansionTemplate is a
// validator of generators: it makes what a Deployment would make, has it mutated, and
// asks the constraints about it. External data is asked by package provider.
//
// # Invariants
//
//   - A constraint matches what Gatekeeper's would, and is asked about creations and
//     updates, as its webhook is by default; the annotation gatehouse.io/operations of
//     a template or a constraint names others.
//   - What mutators make of an object, or that they refuse it, is what Gatekeeper's
//     would; test/oracle/gatekeeper holds them against each other. Mutators in conflict
//     are none of them in force.
//   - A constraint that can say what it reads (policy.Reader) has reads for its match, the
//     exclusions of a Config and its code, as one. An ExpansionTemplate has none: what is
//     made of an object hangs on other objects.
//   - Only providers that the operator has named are asked, and what was not asked
//     refuses.
//   - Rego cannot reach the network by itself, the environment or the clock of the host's zone,
//     and ends when the request's time does. What cannot be evaluated is a violation.
//   - A template or constraint that does not compile is a problem of its own, and its
//     last good version stays in force.
package gatekeeper
