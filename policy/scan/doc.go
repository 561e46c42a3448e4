// Package scan answers: which objects that exist already break a policy? It judges
// them in the background and keeps what the policies say.
//
//	s, err := scan.New(scan.Options{Source: scan.FromClient(client), Policies: []*follow.Follower{f}, Cluster: watched, ...})
//	go s.Run(ctx)
//	...
//	for report := range s.Reports().In("shop") { ... } // what is wrong there, now
//
// An object is judged as if it were created now, by nobody in particular: a policy
// that asks for updates alone says nothing of it, and an Exception for certain people
// does not count. What a server fills in besides, its status, is shown to policies,
// but a change of it is no change.
//
// # What is judged, and when
//
// Of the kinds that a validator in force can match, each in the version its server
// prefers, all objects: once at the start; then one when it has changed; those that a
// changed policy can match, when that has changed; those of a namespace when its
// labels have changed; those about which something is reported when an Exception has
// changed or ended; and those that a policy can match which looks up other objects,
// when these have changed (at most once in a while, for these may be many).
//
// # Invariants
//
//   - Objects are not kept. Each is read, judged and forgotten: kept are its name, a
//     hash of its content, and, where a policy says something of it, what.
//   - An object is judged as the Source gives it, and never changed: it may be one of a
//     server's cache. One of a Go type becomes unstructured when the first policy asks
//     for its fields by their names, or never.
//   - What the watch of a kind tells is noted as it comes, whatever else is done, for a
//     server ends a watch that is not read; what is judged, and lists page by page, are
//     one goroutine's, so that an older version is never judged after a newer one.
//   - What was judged by the policies of before is judged again: a change is noted
//     before a list begins that settles it, and struck out when that list has ended.
//   - Not more than Options.Rate objects are judged in a second, over all kinds, and
//     judging takes a share of one core: requests do not wait for it. An object that
//     has changed may wait for its turn meanwhile, its last version alone.
//   - Of a Source that is Versioned the watch of a kind ends where a burst of changes
//     begins, and goes on from there when it is over, or after ten seconds: while requests
//     make hundreds of objects a second, to be told of each costs more than to judge it.
//   - Not more than a thousand of a kind wait. When more change at once, all of them are
//     forgotten, the kind is not settled, and a list tells what has become of them when
//     the burst is over, or has lasted for half a minute. Nothing is judged until then.
//
// # What becomes of a Result
//
// As the report format has it, fail is what counts and warn what does not: a policy
// that would refuse the object is a fail; one that would only warn, or only write it
// down (Audit, dryrun, report), is a warn; what an Exception lets through is a skip;
// a policy that could not be evaluated is an error, whatever its failure policy.
//
// It writes nothing to the cluster.
package scan
