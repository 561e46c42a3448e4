// Package meter is the instruments that a mount puts around gates.
//
//	decided := meter.NewDecisions("authz", meter.AuthorizationVerdicts...)
//	begun := decided.Begin()
//	decision, reason, err := next.Authorize(ctx, attributes)
//	decided.End(begun, meter.Authorized(decision, err))
//
// Decisions count verdicts, each by itself, and time one in 64: an authorizer that
// answers in 150 ns would spend as much again on two looks at the clock. Families are
// numbers that somebody else has, read when Prometheus asks. Served compares the
// certificate that clients are shown with the one on disk, by connecting as a client does.
// Reloads say which settings file is not in force any more.
//
// Invariants:
//   - Counting a decision takes a few nanoseconds and no allocation.
//   - Nothing here decides: a gate answers with an instrument as it does without.
//   - Instruments are registered by the mount, with a registry of its choice.
package meter
