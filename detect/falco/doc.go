// Package falco translates rules of Falco for Kubernetes audit events (its plugin k8saudit)
// into DetectionRules.
//
//	imported, err := falco.Import("k8s_audit_rules.yaml", text)
//	for _, left := range imported.Left { fmt.Println(left.Rule, left.Why) }
//
// It reads rules, macros and lists, with append and override, exceptions, and conditions of
// and, or, not, the comparisons, in, intersects, pmatch, contains, icontains, startswith,
// endswith, glob, regex and exists, over the fields ka.* and jevt.*, as
// https://falco.org/docs/reference/rules tells them.
//
// Invariants:
//   - A field that an event does not have compares as false, as there.
//   - A rule that can never fire, since its condition is always false, is left, and so is one
//     with a field that no audit event has; why is said.
//   - A DetectionRule that comes out compiles.
//
// What is different: a request is judged once, not once a stage; requests whose bodies are
// not recorded are not judged by rules about bodies.
package falco
