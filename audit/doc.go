// Package audit decides what is written down about each request.
//
//	policy, err := audit.NewPolicy(audit.DefaultPolicy)
//	config.AuditPolicyRuleEvaluator = policy // upstream's interface
//	err = policy.Replace(changed)            // in force for the next request
//
// Policy is upstream's evaluator (audit.k8s.io/v1, first matching rule wins)
// that can be replaced while requests are judged, so a changed policy file is in
// force without a restart. A file that does not parse changes nothing.
//
// The built-in policy, DefaultPolicy, never records the body of a Secret, a
// ConfigMap, a token or a TokenReview, and records who changed permissions,
// webhooks and policies with the bodies.
package audit
