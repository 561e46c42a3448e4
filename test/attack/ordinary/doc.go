// Package ordinary makes the audit events of a cluster in which nothing is wrong: what a
// detection rule has to let be.
//
//	for e := range ordinary.Events(ordinary.Options{Seed: 1, From: monday, Days: 8}) {
//		state.Observe(ctx, e)
//	}
//
// It plays a cluster of twenty nodes: the control plane, kubelets, DNS and the network,
// autoscaling, monitoring, certificates, ingress, backups, GitOps, pipelines with Helm and
// Terraform, CronJobs, and some thirty people at work, with what goes wrong every day:
// tokens that have expired, rights that are missing, a node that is drained and one that
// joins, an operator that is upgraded, somebody on call in the night. Requests look as
// real clients make them: verbs, paths, user agents, groups, codes, and bodies of what is
// written. An audit policy decides what of them is an event, as in a server.
//
// Invariants:
//   - A seed gives the same events each time, and another seed other ones.
//   - Events come in the order of their times, one after the other; none is held.
//   - Nobody in it does anything that somebody ought to be told.
//
// It knows nothing of the rules. The account for emergencies is not used in it: whoever
// uses that wants everybody to be told.
package ordinary
