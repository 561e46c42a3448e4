package abac

import (
	"context"
	"sync/atomic"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

var (
	_ authorizer.Authorizer   = &File{}
	_ authorizer.RuleResolver = &File{}
)

// File decides by the last good policies of a file that may change. It is safe for
// concurrent use.
type File struct {
	path    string                   // as the operator named it
	current atomic.Pointer[Policies] // never nil; written by Load alone
}

// NewFile returns a File that allows nothing until policies are loaded. The path is
// what errors and sources call it; it is not read.
func NewFile(path string) *File {
	f := &File{path: path}
	f.current.Store(newPolicies(path, nil))
	return f
}

// Load puts the policies of data in force, or, on an error, leaves those before.
func (f *File) Load(data []byte) error {
	p, err := Parse(f.path, data)
	if err != nil {
		return err
	}
	f.current.Store(p)
	return nil
}

// Findings are those of the policies in force.
func (f *File) Findings() []gate.Finding { return f.current.Load().Findings() }

// Authorize implements authorizer.Authorizer.
func (f *File) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return f.current.Load().Authorize(ctx, a)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer.
func (f *File) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return f.current.Load().ConditionsAwareAuthorize(ctx, a)
}

// EvaluateConditions implements authorizer.Authorizer.
func (f *File) EvaluateConditions(ctx context.Context, d authorizer.ConditionsAwareDecision, data authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return f.current.Load().EvaluateConditions(ctx, d, data)
}

// RulesFor implements authorizer.RuleResolver.
func (f *File) RulesFor(ctx context.Context, u user.Info, namespace string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	return f.current.Load().RulesFor(ctx, u, namespace)
}
