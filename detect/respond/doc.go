// Package respond stops who a Finding is about, for a while, until a person has looked.
//
//	r, err := respond.New(respond.Options{Settings: cfg.Detection.Response, Objects: client})
//	go r.Run(ctx)
//	r.Respond(&finding)                                // never waits
//	said, known := r.Of(ctx, finding.Fingerprint)      // for the alert
//
// For the rules that the settings name, it makes a Revocation (the credentials of the
// subject are refused) or a Guard (the subject may do nothing) that ends by itself, a
// quarter of an hour later. In mode DryRun it makes nothing, and says what it would have
// made. Off, which is the default, it does nothing at all.
//
// The object is named detect- and the fingerprint of the Finding, so that one Finding
// makes one object, whichever replica is first. Its labels and annotations say which rule
// it was, why, and until when. What has ended is deleted, while the mode is Enforce.
//
// Invariants:
//   - Members of system:masters and gatehouse:admins, nodes, the control plane and its
//     controllers are left alone, unless the settings say otherwise. The server itself
//     always is, and so is who has no name.
//   - There are never more than a hundred objects at a time: rules that fire at everybody
//     shut out nobody else.
//   - A Finding that is older than what would be made lasts is left alone.
//   - Only objects that it made, which their labels say, are changed or deleted.
package respond
