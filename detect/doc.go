// Package detect notices, in the audit events of a cluster, what somebody should be told.
//
//	set, problems := detect.Compile(rules, detect.Options{})      // pure
//	state := detect.NewState(set, detect.StateOptions{})          // remembers
//	for event := range events {
//		for _, change := range state.Observe(ctx, event) {
//			fmt.Println(change.What, change.Finding.Message)
//		}
//	}
//
// A DetectionRule says which requests it is asked about (match), what must be true of them
// (condition, package detect/condition), and perhaps how many of them, how many different
// ones, in which order and so on (package detect/operator), for each key. What comes out is
// a Finding, whose fingerprint is made of the rule and the key: the same thing again is
// the same Finding, until it has been quiet for a while.
//
// A Set is compiled rules, and has no state. Rules are found by verb and resource, so that
// what an event costs does not grow with rules that have no say; where no rule matches,
// nothing is allocated. A State is a Set with what it has seen. Its clock is that of the
// events: Backtest over what was recorded finds what was found when it happened. It can be
// written to a file and read again, so that a restart forgets nothing.
//
// Rules carry examples, and one whose examples do not come out as they say is refused.
// Cover says of each rule whether an audit policy records what it needs, by putting its
// examples through the policy.
//
// Rules come from files and objects of the same kind; those of Gatehouse itself are package
// detect/rules; those of others are translated by detect/falco and detect/sigma.
//
// Invariants:
//   - A request is judged once by each rule, at the first of its stages with an answer.
//   - A rule that needs a body is not asked about an event without one: what was not
//     recorded is neither good nor bad.
//   - Memory is bounded, and what had to be forgotten is counted (State.Stats).
//   - A condition that fails counts as not met, and is counted.
//   - A muted Finding is made and counted as any other, and names its Mute. A Mute that
//     has expired is a Finding itself.
//   - Messages and the names in Findings are texts of clients, attackers among them.
//     Whoever shows them escapes them.
//
// It tells nobody, and reads no events: package detect/watch does while they come, detect/alert
// tells, detect/respond stops who it is about, and detect/station puts these together for a
// mount.
package detect
