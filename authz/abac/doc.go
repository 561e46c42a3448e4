// Package abac answers whether a file of ABAC policies allows a request: one JSON
// object a line, as kube-apiserver's --authorization-policy-file has them.
//
//	file := abac.NewFile("policies.jsonl")
//	if err := file.Load(data); err != nil { ... } // and again whenever the file changes
//	...
//	decision, reason, err := file.Authorize(ctx, attributes)
//
// The format and its meaning are those of Kubernetes v1.37.2
// (pkg/auth/authorizer/abac and pkg/apis/abac): policies of
// abac.authorization.kubernetes.io/v1beta1, the unversioned ones from before it,
// comments and blank lines. Which files are accepted, every verdict, reason and
// list of rules is upstream's; a test compares the two over random files and
// requests. What this package adds:
//
//   - The cost of a decision depends on the policies that name the requester and the
//     namespace of the request, and not on those of others.
//   - Where the context carries a gate.Recorder, a decision says which line of the
//     file allowed it, or which lines came nearest and what they lack.
//   - An error names the line and what is wrong with it, has a hint, and quotes a
//     name at most: a wrong file in the wrong place is not copied into a log.
//   - Findings tells of lines that are accepted and hardly meant: upstream ignores
//     a field it does not know ("readOnly"), and reads a line that says nothing as
//     leave for everyone to do everything.
//
// Invariants:
//   - Policies never change once they are parsed; decisions take no lock and, where
//     nobody records, no memory.
//   - A file counts whole or not at all. A File keeps the policies it has when the
//     next ones cannot be read, and allows nothing before the first.
//   - The answer is allow or no opinion, so the order of lines has no say.
//
// It does not watch files, and it denies nothing: what no policy allows is left to
// the authorizers after it.
package abac
