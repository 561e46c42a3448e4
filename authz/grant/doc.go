// Package grant takes away bindings that have come to their end.
//
// A RoleBinding or ClusterRoleBinding with the annotation gatehouse.io/expires-at
// is a grant. Where the index of package rbac decides, a grant counts until that
// instant whatever happens to the object; this controller deletes the object
// afterwards, so that what is listed is what is in force, and writes an Event that
// says so. In a cluster whose own RBAC authorizer decides, the deletion is what
// ends the access: it comes within about a second of the end while the controller
// runs, and when it runs again where it did not.
//
//	c := grant.New(client, factory.Rbac().V1(), grant.Options{})
//	factory.Start(ctx.Done())
//	c.Run(ctx)
//
// Invariants:
//   - A binding is deleted in the version that was judged: one that was given more
//     time in between stays.
//   - Several controllers may run at once; the Event is written by the one that
//     deleted.
//   - An end that cannot be read deletes nothing: who wrote it may mend it. It is
//     reported by an Event of type Warning, since such a binding counts for nothing
//     where package rbac decides, and for good elsewhere.
package grant
