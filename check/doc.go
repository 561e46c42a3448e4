// Package check mounts the gates over files: a pull request, an incident, a test. No
// server runs, and nothing is stored.
//
//	judge, problems := check.New(check.Options{Engines: engines, Policies: policies, Kinds: kinds})
//	verdict, err := judge.Ask(ctx, spec)   // what a RequestReview asks
//	verdict.Trace.Print(os.Stdout, gate.PrintOptions{})
//
// A Judge asks the same policies in the same order as the mounts serve and attach:
// authorizers where there are any, then mutators, then validators. What an API
// server does before them is done where it can be without one: an object gets its
// namespace and, by Options.Prepare, the defaults of its version. What it cannot have
// is said where it matters: the plugins of an API server that are no policies, such
// as ServiceAccount or ResourceQuota, are not asked, and a Namespace that nobody
// gave is taken to have no labels but its name.
//
// A Judge does not change and is safe for concurrent use.
package check
