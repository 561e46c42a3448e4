// Package query answers the questions of somebody who investigates: which events, how
// many, what changed, who began it, what happened around it, and what happens now.
//
//	q := query.Query{Filter: audit.Filter{Users: []string{"jane"}}, Where: where, Order: audit.NewestFirst, Limit: 50}
//	for event, err := range q.Run(ctx, reader, &unjudged) { ... }
//	actor, err := query.FindActor(ctx, reader, query.Object{Resource: "pods", Namespace: "shop", Name: "web-5d4-x7k2p"}, query.ActorOptions{})
//	for _, hop := range actor.Hops { fmt.Println(hop.Object, hop.Did, hop.By.Name, hop.Certainty) }
//
// Everything stands on an audit.Reader, whatever is behind it. Scoped makes of a Reader
// one that knows a single namespace, so that all questions can be asked by somebody who
// may see no more.
//
// Invariants:
//   - Memory is bounded whatever is in the events: counts keep so many groups and say so
//     where that was too few, searches look at so many events.
//   - An answer says what it stands on. An Actor names the evidence of each step and how
//     sure it is, and where evidence is missing, the audit level that would have shown it.
//     A Change names the event it was compared with.
//   - What a condition could not judge does not match, and is counted.
//   - A Scoped Reader tells nothing of events of other namespaces, nor of those that are in
//     none, not even how many there are.
//   - A Change shows no value of a Secret, even of an event that was not redacted.
//
// It does not decide who may ask: whoever mounts it does.
package query
