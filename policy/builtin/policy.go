package builtin

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// problem is one thing that is wrong with an object.
type problem struct {
	path    string
	message string
	// fix is what the policy would have; nil where it states nothing.
	fix    []operation
	images []string
	// hidden says that what is at path may be a secret.
	hidden bool
}

// checker judges an object that is no pod. old is the one that is there already;
// nil for none, and where nobody changes the object. An error means that it could
// not be found out.
type checker func(ctx context.Context, r *policy.Request, o, old *unstructured.Unstructured) ([]problem, error)

// rule is a policy that is on.
type rule struct {
	entry      *entry
	source     gate.Source
	actions    []policy.Action
	exemptions []*exemption
	order      int
}

func (r *rule) Source() gate.Source          { return r.source }
func (r *rule) Selectors() []policy.Selector { return r.entry.on }

// Sources implements policy.Compound.
func (r *rule) Sources() []gate.Source { return []gate.Source{r.source} }

// Lookups implements policy.Compound.
func (r *rule) Lookups() []schema.GroupVersionKind { return r.entry.needs }

var _ policy.Compound = &rule{}

// validator is a rule that judges.
type validator struct{ rule }

func (v *validator) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	problems, err := v.judge(ctx, r)
	if problems == nil && err == nil {
		return nil
	}
	by, exempt := v.exempts(r)
	if exempt && gate.RecorderFrom(ctx) == nil {
		return nil
	}
	if err != nil {
		result := policy.Result{Actions: v.actions, Err: err}
		if exempt {
			result = policy.Result{Message: fmt.Sprintf("exempt by spec.exemptions[%d]: it could not be evaluated", by)}
		}
		return []policy.Result{result}
	}
	results := make([]policy.Result, len(problems))
	for i, p := range problems {
		results[i] = policy.Result{Actions: v.actions, Message: p.message, Path: p.path, Images: p.images, Hidden: p.hidden}
		if exempt {
			results[i].Actions, results[i].Message = nil, fmt.Sprintf("exempt by spec.exemptions[%d]: %s", by, p.message)
		} else if p.fix != nil {
			results[i].Fix = patch(p.fix)
		}
	}
	return results
}

func (v *validator) judge(ctx context.Context, r *policy.Request) ([]problem, error) {
	if v.entry.object != nil {
		o, err := r.Object()
		if err != nil {
			return nil, err
		}
		old, err := r.OldObject()
		if err != nil {
			return nil, err
		}
		if o != nil && old != nil && !r.Background && v.entry.parts != nil && unchanged(o, old, v.entry.parts) {
			return nil, nil
		}
		problems, err := v.entry.object(ctx, r, o, old)
		if err != nil || v.entry.pod == nil {
			return problems, err
		}
		p, err := podOf(r)
		if p == nil || err != nil {
			return problems, err
		}
		return append(problems, v.entry.pod(p)...), nil
	}
	p, err := podOf(r)
	if p == nil || err != nil {
		return nil, err
	}
	if v.entry.pod != nil {
		return v.entry.pod(p), nil
	}
	// One that would change the object, if it were enforced.
	changes := v.entry.change(p)
	problems := make([]problem, 0, len(changes))
	for i, c := range changes {
		problems = append(problems, problem{path: p.written(c.path), fix: changes[i : i+1],
			message: fmt.Sprintf("%s would be set to %v", p.written(c.path), gate.Plain(fmt.Sprint(c.value)))})
	}
	if len(problems) == 0 {
		return nil, nil
	}
	return problems, nil
}

func unchanged(o, old *unstructured.Unstructured, parts []string) bool {
	for _, part := range parts {
		if !same(field(o.Object, part), field(old.Object, part)) {
			return false
		}
	}
	return true
}

// mutator is a rule that mends objects.
type mutator struct{ rule }

func (m *mutator) Mutation() policy.Mutation { return policy.Mutation{Order: m.order} }

func (m *mutator) Mutate(_ context.Context, r *policy.Request) (*unstructured.Unstructured, error) {
	p, err := podOf(r)
	if p == nil || err != nil {
		return nil, err
	}
	if kind := r.GetKind().Kind; (kind == "Pod" || kind == "Job") && r.GetOperation() == admission.Update && r.GetSubresource() == "" {
		return nil, nil // what a Pod or a Job is made of cannot be changed any more
	}
	changes := m.entry.change(p)
	if len(changes) == 0 {
		return nil, nil
	}
	if _, exempt := m.exempts(r); exempt {
		return nil, nil
	}
	return &unstructured.Unstructured{Object: applied(p.object.Object, changes)}, nil
}
