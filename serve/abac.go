package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/kubernetes/pkg/auth/authorizer/abac"
)

// abacPolicies is upstream's ABAC evaluator over a file that is read again when
// it changes. A file that does not parse leaves the last good policies in force.
type abacPolicies struct {
	path    string                          // as the operator named it, for errors
	current atomic.Pointer[abac.PolicyList] // never nil; written by load alone
}

func newABACPolicies(ctx context.Context, path string) (*abacPolicies, error) {
	p := &abacPolicies{path: path}
	return p, loadAndWatch(ctx, "ABAC policy file", path,
		"each line is one JSON object of kind Policy, apiVersion abac.authorization.kubernetes.io/v1beta1", p.load)
}

// load parses exactly the bytes that were read, through a private copy, since
// upstream's parser takes a path and the file may change in between.
func (p *abacPolicies) load(data []byte) error {
	dir, err := os.MkdirTemp("", "gatehouse-abac-")
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "policy.jsonl")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	list, err := abac.NewFromFile(copied)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), copied, p.path))
	}
	p.current.Store(&list)
	return nil
}

func (p *abacPolicies) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return p.current.Load().Authorize(ctx, a)
}

func (p *abacPolicies) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return p.current.Load().ConditionsAwareAuthorize(ctx, a)
}

func (p *abacPolicies) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return p.current.Load().EvaluateConditions(ctx, d, data)
}

func (p *abacPolicies) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return p.current.Load().RulesFor(ctx, u, namespace)
}
