// Package lint answers: which of these policies do nothing, or nothing of their own? It
// finds those that can match no request, those that another one shadows, and what CEL
// needs of the API server that is to take it; and it estimates what CEL costs.
//
//	for _, f := range lint.Run(objects, loaded.Policies, lint.Options{Kinds: kinds, Minor: 37}) {
//		fmt.Println(f.Source.Place(), f.Message)
//	}
//
// # Invariants
//
//   - It is pure: objects in, sentences out, in the order of the policies.
//   - It says that a policy cannot match, or is shadowed, only where that follows from
//     what is written. A policy that is not named may do nothing all the same.
//   - Versions are those of upstream's CEL environments: a server of Kubernetes 1.N lets
//     new policies use what 1.N-1 could read, so that it can be rolled back.
//   - Of an Exception it says that nothing uses it only where a cluster tells so.
//   - A cost is of upstream's units, for one evaluation. Where it grows with the object,
//     for sizes of objects are not known, that is said in place of a number.
package lint
