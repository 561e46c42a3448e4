// Package fix answers: how would these files read if their objects were as policies
// would have them? It changes the text and not the object: every byte that does not
// belong to a changed field stays, comments and order and quotes included.
//
//	want := fix.Want{File: "deploy/web.yaml", Line: 1, Column: 1, Before: written, After: wanted}
//	plan := fix.New(ctx, "deploy/web.yaml", data, []fix.Want{want})
//	fmt.Print(plan.Diff(fix.DiffOptions{}))
//	err := plan.Write()
//
// # Invariants
//
//   - A plan is proved before it is told: the changed text is read again, and every
//     object in it is what it was, or exactly what was wanted. Where that is not so,
//     the want is refused with a reason and the text is left alone.
//   - An edit never guesses. Fields behind anchors, aliases and merge keys, and texts
//     that are written over several lines in a way that is not followed, are refused.
//   - Write is all or nothing: a file beside it is written, synced and renamed, and only
//     when the file still has the bytes the plan was made of.
//   - A comment on a line that is taken away goes with it; no other does.
//
// What stands in templates of charts or is made by kustomizations has no text of its
// own, and is not for this package.
package fix
