// Package rules holds the detection rules of Gatehouse itself, as the YAML that anybody
// could have written: one file a theme, each rule with examples of what it fires at and
// what it lets be.
//
//	files, err := rules.Read(ctx)
//	set, problems := detect.Compile(files.Rules, detect.Options{})
//
// They are written against the API's audit events and tell what those can show: what a
// container does, or what somebody asks the kubelet itself, is not in them.
//
// Invariants, kept by tests:
//   - Every rule has at least two positive and two negative examples, and they hold.
//   - A rule that the built-in audit policy leaves blind is on a list, with the reason.
//   - Every tactic of ATT&CK that requests can show has a rule, and every rule a tactic, a
//     runbook and a word on false positives.
package rules
