// Package location is the language in which mutators of Gatekeeper name a field of an
// object, and what can be done with it.
//
//	l, err := location.Parse(`spec.containers[name: *].image`)
//	tests, err := location.NewTests(l, []location.Test{{SubPath: `spec.containers[name: *]`, Condition: location.MustExist}})
//	applied, err := location.Apply(object, l, tests, setter)
//
// A location is field names with dots between them; a list is entered by the key of
// its items, "[name: web]", or by all of them, "[name: *]". Names that hold anything
// but letters, digits, "-" and "_" are quoted.
//
// # Invariants
//
//   - What a location means, what is refused, and what becomes of an object are what
//     Gatekeeper 3.23.1 makes of it, oddities included; test/oracle/gatekeeper holds
//     them against each other.
//   - Parsing never panics, takes time linear in the text, and every Location's String
//     parses to the same Location.
//   - Conflicts of a Schema do not depend on the order in which mutators were added.
//
// It knows nothing of kinds, requests or clusters.
package location
