// Package follow keeps a policy.Set equal to the policies of a cluster that runs.
//
//	f := follow.New(follow.Options{Client: client, Engines: engines, Lookups: watched})
//	go f.Run(ctx)
//	...
//	set := f.Set() // nil until the policies have been read: then nothing may pass
//
// It watches CustomResourceDefinitions, follows each kind that an engine reads from
// when it is established until it is gone, and compiles on every change, in one
// goroutine. What does not compile is in Problems; its last good version, where
// there is one, stays in force, which is the engines' to keep.
//
// A kind that the API serves by itself, with no definition, is named in Options.
//
// It writes nothing: Reporter does, into the status of policies and as Events.
package follow
