// Package builtin has the policies that Gatehouse brings along: those of K-Rail,
// brought up to today, and one that looks for credentials in plain text.
//
//	e := builtin.New(builtin.Options{Cluster: "prod-eu"})
//	loaded, _ := policy.Load([]policy.Engine{e}, objects) // objects of the kind BuiltinPolicies
//
// A BuiltinPolicies object names the policies that are on, what each does to a
// request that breaks it, its parameters, and what is exempt. Catalog lists them
// all; All is the object that switches them on.
//
// # What is judged
//
// Policies about pods look at everything that makes one: Pods, the controllers of
// apps and batch, PodTemplates, Argo's Rollouts and Knative's Services, and at every
// container in it, init and ephemeral ones included. An update is judged where it
// changes what the policy looks at: a label on a Pod that was there before the
// policy passes. Who breaks a policy is told the field, and what to do.
//
// # Invariants
//
//   - A policy is asked about nothing that it does not look at; of a pod all of them
//     together read each container once.
//   - What cannot be looked up is not taken for harmless: the request is refused
//     where the policy is enforced.
//   - An exemption matches what it writes, and no more: there is no star that is not
//     written.
//   - Values of ConfigMaps, environment variables, arguments and annotations are in
//     no message: DisallowPlaintextSecrets says where something is, never what.
//
// It follows https://github.com/cruise-automation/k-rail in what its policies are
// for; docs/builtin-policies.md says what is different.
package builtin
