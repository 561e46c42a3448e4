// Package policy answers: may this object come in, and as what? It runs the
// policies of every language a cluster has, in one pass.
//
//	engines := []policy.Engine{builtin.New(...), gatekeeper.New(...), cel.New(...)}
//	loaded := policy.Load(engines, objects)        // pure: what does not compile is in loaded.Problems
//	set := policy.NewSet(loaded.Policies, policy.Options{Exceptions: loaded.Exceptions})
//	...
//	r := policy.NewRequest(attributes, nil, cluster)
//	mutated := set.Mutate(ctx, r)                  // r has the object as it is now
//	outcome := set.Validate(ctx, r)
//	if len(outcome.Denials) > 0 { ... }
//
// An engine is one language in a folder of its own: it reads objects of its kinds
// and compiles each into policies. A Policy says what it can match at all, so that
// the Set asks it about nothing else, and is a Mutator, a Validator, or both.
//
// # Order
//
// MutatingAdmissionPolicies run last, as an API server asks them behind its other
// built-in mutators. Before that, and among them, mutators run by the number of the
// annotation gatehouse.io/mutation-order (default 0, smaller first), then by kind,
// namespace and name; those of a group (Grouper) stand together, by the word of the
// group in place of their kind, and are asked as one. When a mutator has changed the object, those that were asked
// before it are asked again, as often as they allow; an object that has not settled
// after MaxPasses is refused, and the mutators that still changed it are named.
//
// Then every validator that matches is asked, also after one has refused: all that
// is wrong is said at once.
//
// # What is known already
//
// A Validator may say which parts of a request its answer hangs on (Reader). A Set then
// remembers, by a digest of those parts, that it had nothing to say, and does not ask it
// again about a request that is equal in them: the Pods of one controller differ in their
// names, and few policies read names. What a policy does say is worked out each time, and
// who wants a trace is shown an evaluation.
//
// # Invariants
//
//   - A policy that does not match costs nothing: the set is indexed by group,
//     resource or kind, operation and namespace, and the answer for a namespace is
//     kept while its labels stay.
//   - A validator more never turns a refused request into an allowed one, and the
//     order of policies matters for mutation alone.
//   - A policy that fails to evaluate, takes too long or panics is a Result of its
//     own. What becomes of it is its failure policy's to say; a panic is refused.
//   - An exception is the only thing that takes a refusal back, and it is a step of
//     the trace with its name, its owner and its end.
//   - Engines never change the object they are shown; mutators return another one.
//
// It talks to no cluster: what a policy wants to know is asked of Cluster.
package policy
