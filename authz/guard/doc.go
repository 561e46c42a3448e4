// Package guard answers: does somebody forbid this, whatever roles grant?
//
// Kubernetes' RBAC can only add. A Guard (gatehouse.io) takes away: whom it
// binds, what they may not do, when, and why. Its authorizer stands in front of
// every one that allows, and denies or has no opinion.
//
//	guards := guard.New(guard.Options{Namespaces: namespaces})
//	err := guards.Follow(informer) // Guards, as unstructured or typed objects
//	decision, reason, err := guards.Authorize(ctx, attributes)
//	// DecisionDeny, "Guard no-secrets: ask the platform team"
//
// # What touches a request
//
// Every field that is set must match, and every field that is not set matches.
// Names are compared exactly, but for the stars of names, namespaces and paths.
//
// A request that asks for many things is touched where any of them is guarded,
// since its answer would hold the guarded one too:
//
//   - no name (list, watch, deletecollection, create) is every name. Which name a
//     create will have stands in the body, which no authorizer sees;
//   - no namespace is every namespace where the resource is in namespaces. Where
//     it is in none (nodes), a Guard limited to namespaces does not touch it. Where
//     that is not known, the verb tells: without a namespace an API server serves
//     list and watch (at most deletecollection too) of what is in namespaces, and
//     everything else only of what is not;
//   - "*" as verb, group, resource or subresource, and a path with a star, which
//     only an access review can ask for, is all of them.
//
// A Namespace object counts as being in the namespace it is, so that a Guard on a
// namespace covers its deletion, and a list of Namespaces.
//
// # What is not known
//
//   - Until the Guards have been read, every request is refused.
//   - A namespace whose labels are not known matches every selector.
//   - A condition that fails, or goes over upstream's cost limit, counts as true.
//   - A Guard that does not compile changes nothing: its last good version stays
//     in force. Where there is none (it is new, or the process is), it is in force
//     as far as it can be read: a selector, window or condition that does not
//     compile counts as matching. Where even whom or what it is about cannot be
//     read, it is not in force. The schema and the admission of Guards refuse all
//     of these when they are written. Invalid lists them.
//
// LockOut is the check that somebody can still delete Guards. It judges windows
// and conditions as matching, and so also what such a broken Guard comes to.
//
// # Invariants
//
//   - A Guard more never turns a denied request into an allowed one, and the order
//     in which Guards come in does not matter, neither for the decision nor for the
//     reason: of several that refuse, the first by name speaks.
//   - What the index finds is what asking every Guard would find.
//   - A request that no Guard touches costs no allocation, and no cost grows with
//     the number of Guards that differ from it in any one thing.
//   - Recording changes no verdict.
//
// # What it does not do
//
// It sees what an authorizer sees: no object, no body, no old state. It judges
// requests as they come in; a watch or exec that was let in before runs on. It is
// no RuleResolver: a list of what somebody may do cannot say what they may not, so
// SelfSubjectRulesReview shows rules that a Guard takes away. Who may impersonate
// a user whom a Guard excepts, or may label a namespace out of its selector, gets
// round it; that is for other Guards. Conditions are upstream's match conditions
// (AuthorizationConfiguration, KEP-3221).
package guard
