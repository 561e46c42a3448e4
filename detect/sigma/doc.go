// Package sigma translates Sigma rules for Kubernetes audit logs (logsource product:
// kubernetes, service: audit) into DetectionRules.
//
//	imported, err := sigma.Import("rule.yml", text)
//	for _, left := range imported.Left { fmt.Println(left.Rule, left.Why) }
//
// It reads selections as maps, lists of maps and keywords, the modifiers contains,
// startswith, endswith, re, all, cased, cidr, exists, lt, lte, gt and gte, wildcards in values, and
// conditions of and, or, not, parentheses, 1 of, any of and all of, as
// https://sigmahq.io/docs tells them. Comparisons ignore case, as there.
//
// Invariants:
//   - A field that no event of audit.k8s.io/v1 has makes a rule that can never fire. It is
//     left, with the field and the one that was probably meant; where only the way to it is
//     wrong, as apiGroup for objectRef.apiGroup, it is mended, and that is noted.
//   - A verb that no audit event has is noted.
//   - A DetectionRule that comes out compiles.
package sigma
