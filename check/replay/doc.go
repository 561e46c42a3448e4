// Package replay answers, from what was done, what a change would do: which past
// requests a change of RBAC, Guards, ABAC or policies would refuse or allow (Run, Judge),
// what of a grant was ever used (Use), and the least that would have done (Generate).
//
//	report, err := replay.Run(ctx, reader, replay.Options{
//		Current: replay.World{View: view}, Proposed: replay.World{View: changed},
//	})
//	for _, flip := range report.Flips { ... } // who, what, last seen, how often, by what
//
// The past is an audit.Reader: a store, a bucket, a running Gatehouse, or a Reduced of
// files. Requests are put before the authorizers of packages authz/rbac, authz/guard
// and authz/abac, and before check.Judge: the ones that the mounts ask, not a copy. The
// objects of a World come from files or from a cluster that runs, through package
// cluster.
//
// Invariants:
//   - A request is judged as of the time it was last made: a window of a Guard and the
//     end of a binding count as they did then.
//   - What cannot be judged is counted with its cause, and is never counted as unchanged.
//     Where a bound was met (flips, names, distinct requests), the report says so.
//   - The order in which a Reader yields requests changes no report.
//   - What Generate writes allows every request it was made for, and in the mode Keep
//     no other than those and what cannot be told apart from them in RBAC.
//   - Texts of a report come from audit events, which attackers write, and are as they
//     were recorded: who prints one escapes it.
//
// What it does not do: it does not ask Node, webhooks, or whatever else a cluster has in
// its chain. The permissions to impersonate, escalate and bind are asked for inside of
// other requests, are not recorded, and are not replayed.
package replay
