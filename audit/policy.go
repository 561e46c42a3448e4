package audit

import (
	_ "embed"
	"fmt"
	"sync/atomic"

	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// DefaultPolicy is the built-in audit policy, as YAML.
//
//go:embed default-policy.yaml
var DefaultPolicy []byte

// Policy is an audit policy that can be replaced while it is in use. It
// implements audit.PolicyRuleEvaluator. Reads take no lock.
type Policy struct {
	current atomic.Pointer[audit.PolicyRuleEvaluator] // never nil
}

// NewPolicy puts a policy in force, an audit.k8s.io/v1 Policy in YAML or JSON.
func NewPolicy(data []byte) (*Policy, error) {
	p := &Policy{}
	if err := p.Replace(data); err != nil {
		return nil, err
	}
	return p, nil
}

// Replace puts another policy in force, or leaves the one before where data is
// not a valid audit.k8s.io/v1 Policy.
func (p *Policy) Replace(data []byte) error {
	parsed, err := policy.LoadPolicyFromBytes(data)
	if err != nil {
		return fmt.Errorf("parse audit policy: %w", err)
	}
	evaluator := policy.NewPolicyRuleEvaluator(parsed)
	p.current.Store(&evaluator)
	return nil
}

// Current is the policy in force. It does not change; what Replace puts in force is another.
func (p *Policy) Current() audit.PolicyRuleEvaluator { return *p.current.Load() }

// EvaluatePolicyRule implements audit.PolicyRuleEvaluator.
func (p *Policy) EvaluatePolicyRule(a authorizer.Attributes) audit.RequestAuditConfig {
	return (*p.current.Load()).EvaluatePolicyRule(a)
}
