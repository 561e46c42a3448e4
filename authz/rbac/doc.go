// Package rbac answers whether RBAC allows a request, by an index that is
// compiled once and kept up to date, instead of going through every binding for
// every request.
//
//	index := rbac.New(rbac.Options{})
//	synced, err := index.Watch(ctx, factory.Rbac().V1()) // or index.Apply with objects from files
//	...
//	decision, reason, err := index.Authorize(ctx, attributes)
//
// The objects and their meaning are upstream's (rbac.authorization.k8s.io/v1), and
// so is every verdict, reason and rule list; a test compares the two over a
// million random requests. What an Index adds:
//
//   - The cost of a decision depends on what the requester holds in the namespace
//     of the request, and not on what others hold or how many bindings there are.
//   - A binding with the annotation gatehouse.io/expires-at counts until that
//     instant and not after.
//   - Where the context carries a gate.Recorder, a decision says which binding and
//     rule made it, or which came nearest and what they lack.
//   - WhoCan and Access answer the questions upstream has no answer to.
//
// How it is laid out: for each subject (a user or a group; a service account is the
// user it appears as) and each scope (the cluster, or a namespace) the index holds
// the roles the subject has there, each with the bindings that give it. A role is
// compiled when it changes and shared by all of its bindings.
//
// Invariants:
//   - Decisions read one immutable snapshot and take no lock.
//   - A snapshot holds a binding for all of its subjects or for none.
//   - A role is one pointer, shared by every snapshot: an edit is seen by the next
//     decision, whatever snapshot it reads.
//   - What cannot be understood (a subject of an unknown kind, an expiry that is no
//     time, a reference to a role that is not there) allows nothing.
//
// It aggregates no ClusterRoles: the rules of an aggregated one are in its object,
// where upstream's controller writes them, or package cluster for files.
package rbac
