// Package rule is the alerts and recording rules for Prometheus, as code.
//
//	groups, err := rule.Groups(rule.Options{Selector: `job="gatehouse"`})
//	file, err := rule.File(groups)
//
// It answers: when is somebody to be woken for Gatehouse, and what do they do then? An
// Alert has its condition, how bad it is, a sentence, and a page (docs/runbooks/NAME.md)
// that says what it means, how to look, and how to mend it. The pages are written from the
// same text: go test ./telemetry/rule -update.
//
// Objectives have alerts on how fast they use up their budget of errors, each over a long
// and a short window (two windows for each of two speeds), so that they neither wake
// anybody for a second's trouble nor stay silent over a slow leak. What a ratio of errors
// cannot show has alerts of its own: audit events that are lost or do not come,
// certificates on disk that nobody is shown, keys that are too old, rules that see
// nothing, sinks that take nothing.
//
// Invariants:
//   - In a condition, {$} stands for the selector: Options.Selector, and further matchers
//     after a comma.
//   - A condition that counts what may never have happened counts from nothing: the
//     metrics it reads are there from the start, or it asks for those that are new.
//   - Labels that an alert keeps are bounded: job, instance, and few words.
//   - Every alert fires in one scenario of the tests, and keeps silent in another.
//
// What detection finds (somebody reads all Secrets) is told by detect/alert, not here:
// it has a name, and no metric has one.
package rule
