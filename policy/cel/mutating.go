package cel

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// mutatingPolicy is a MutatingAdmissionPolicy, compiled.
type mutatingPolicy struct {
	object    *v1.MutatingAdmissionPolicy
	source    gate.Source
	evaluator mutating.PolicyEvaluator
	criteria  *criteria
}

// mutatingBinding is a MutatingAdmissionPolicy as one binding has it. Upstream's
// dispatcher runs it, whole: it matches, finds the params, patches.
type mutatingBinding struct {
	pair
	of         *mutatingPolicy
	object     *v1.MutatingAdmissionPolicyBinding
	params     params
	converters patch.TypeConverterManager
	sources    []gate.Source
	selectors  []policy.Selector
	mutation   policy.Mutation
}

var _ policy.Mutator = &mutatingBinding{}

func (b *mutatingBinding) Source() gate.Source { return b.sources[0] }

// Sources are the binding and its policy: an Exception may name either.
func (b *mutatingBinding) Sources() []gate.Source       { return b.sources }
func (b *mutatingBinding) Selectors() []policy.Selector { return b.selectors }
func (b *mutatingBinding) Mutation() policy.Mutation    { return b.mutation }

// compileMutations is upstream's compilation of a policy.
func (c *Compiler) compileMutations(p *v1.MutatingAdmissionPolicy) (mutating.PolicyEvaluator, []Fault) {
	spec := &p.Spec
	s, err := c.scope(spec.Variables, plugincel.OptionalVariableDeclarations{HasParams: spec.ParamKind != nil, HasAuthorizer: true})
	if err != nil {
		return mutating.PolicyEvaluator{Error: err}, s.faults
	}
	evaluator := mutating.PolicyEvaluator{CompositedCompiler: s.CompositedCompiler, Matcher: s.matcher(spec.MatchConditions, spec.FailurePolicy, p.Name)}
	declared := s.declared
	declared.HasPatchTypes = true
	for i := range spec.Mutations {
		m := &spec.Mutations[i]
		var expression plugincel.ExpressionAccessor
		var patcher func(plugincel.MutatingEvaluator) patch.Patcher
		switch {
		case m.PatchType == v1.PatchTypeJSONPatch && m.JSONPatch != nil:
			expression, patcher = &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}, patch.NewJSONPatcher
		case m.PatchType == v1.PatchTypeApplyConfiguration && m.ApplyConfiguration != nil:
			expression, patcher = &patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}, patch.NewApplyConfigurationPatcher
		default:
			s.fault(fmt.Sprintf("mutations[%d]", i), fmt.Errorf("patchType %q has no expression: it is JSONPatch or ApplyConfiguration, and the field of that name is set", m.PatchType))
			continue
		}
		compiled := s.CompileMutatingEvaluator(expression, declared, environment.StoredExpressions)
		for _, err := range compiled.CompilationErrors() {
			s.fault(fmt.Sprintf("mutations[%d].expression", i), err)
		}
		evaluator.Mutators = append(evaluator.Mutators, patcher(compiled))
	}
	return evaluator, s.faults
}

// Mutate implements policy.Mutator. What the failure policy ignores is no error.
func (b *mutatingBinding) Mutate(ctx context.Context, r *policy.Request) (*unstructured.Unstructured, error) {
	v, err := viewOf(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.GetOperation() == admission.Delete || exempt(r.GetResource().GroupResource()) {
		return nil, nil
	}
	hook := mutating.PolicyHook{Policy: b.of.object, Bindings: []*mutating.PolicyBinding{b.object}, Evaluator: b.of.evaluator}
	hook.ParamScope, hook.ConfigurationError = b.params.scope(ctx, r.Cluster)
	if b.params.kind != nil {
		hook.ParamInformer = lookup{ctx: ctx, cluster: r.Cluster, kind: b.params.gvk}
	}
	asks := v.authorizer
	if asks == nil {
		asks = nobody{}
		hook.Evaluator = withoutAuthorizer(hook.Evaluator)
	}
	if failure := b.of.object.Spec.FailurePolicy; failure != nil && *failure == v1.Ignore {
		if recorder := gate.RecorderFrom(ctx); recorder != nil {
			hook.Evaluator = overheard(hook.Evaluator, func(err error) {
				recorder.Record(gate.Step{Gate: policy.Gate, Part: policy.Part, Opinion: gate.NoOpinion, Sources: b.sources,
					Reason: "it could not be evaluated: " + err.Error() + " (its failure policy is Ignore)"})
			})
		}
	}
	given := &mutated{attributes: v.attributes}
	if before, ok := v.attributes.object.(*unstructured.Unstructured); ok {
		// Upstream writes the result into it: the content stays as it is.
		given.object = &unstructured.Unstructured{Object: before.Object}
	}
	err = mutating.NewDispatcher(asks, v.matcher, b.converters).
		Dispatch(ctx, given, bridge{b.server, r.Objects}, []mutating.PolicyHook{hook})
	if err != nil {
		return nil, err
	}
	after, _ := given.object.(*unstructured.Unstructured)
	return after, nil
}

// mutated are attributes whose object upstream's dispatcher writes to.
type mutated struct {
	attributes
	context reinvocation
}

func (m *mutated) GetReinvocationContext() admission.ReinvocationContext { return &m.context }

// reinvocation is of one policy, once: the Set knows who is asked again.
type reinvocation struct{ value any }

func (r *reinvocation) IsReinvoke() bool         { return false }
func (r *reinvocation) SetIsReinvoke()           {}
func (r *reinvocation) ShouldReinvoke() bool     { return false }
func (r *reinvocation) SetShouldReinvoke()       {}
func (r *reinvocation) SetValue(_ string, v any) { r.value = v }
func (r *reinvocation) Value(string) any         { return r.value }

// nobody answers where there is no authorizer; nothing asks it.
type nobody struct{}

func (nobody) Authorize(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", errors.New("there is nobody to ask about permissions")
}

// withoutAuthorizer makes questions about permissions errors.
func withoutAuthorizer(e mutating.PolicyEvaluator) mutating.PolicyEvaluator {
	return wrapped(e, func(m matchconditions.Matcher) matchconditions.Matcher { return unauthorizedMatcher{m} },
		func(p patch.Patcher) patch.Patcher { return unauthorizedPatcher{p} })
}

// overheard tells of errors.
func overheard(e mutating.PolicyEvaluator, tell func(error)) mutating.PolicyEvaluator {
	return wrapped(e, func(m matchconditions.Matcher) matchconditions.Matcher { return overheardMatcher{m, tell} },
		func(p patch.Patcher) patch.Patcher { return overheardPatcher{p, tell} })
}

func wrapped(e mutating.PolicyEvaluator, matcher func(matchconditions.Matcher) matchconditions.Matcher, patcher func(patch.Patcher) patch.Patcher) mutating.PolicyEvaluator {
	if e.Matcher != nil {
		e.Matcher = matcher(e.Matcher)
	}
	all := make([]patch.Patcher, len(e.Mutators))
	for i, one := range e.Mutators {
		all[i] = patcher(one)
	}
	e.Mutators = all
	return e
}

type unauthorizedMatcher struct{ matchconditions.Matcher }

func (m unauthorizedMatcher) Match(ctx context.Context, a *admission.VersionedAttributes, param runtime.Object, _ authorizer.UnconditionalAuthorizer) matchconditions.MatchResult {
	return m.Matcher.Match(ctx, a, param, nil)
}

type unauthorizedPatcher struct{ patch.Patcher }

func (p unauthorizedPatcher) Patch(ctx context.Context, r patch.Request, budget int64) (runtime.Object, error) {
	r.OptionalVariables.Authorizer = nil
	return p.Patcher.Patch(ctx, r, budget)
}

type overheardMatcher struct {
	matchconditions.Matcher
	tell func(error)
}

func (m overheardMatcher) Match(ctx context.Context, a *admission.VersionedAttributes, param runtime.Object, asks authorizer.UnconditionalAuthorizer) matchconditions.MatchResult {
	result := m.Matcher.Match(ctx, a, param, asks)
	if result.Error != nil {
		m.tell(result.Error)
	}
	return result
}

type overheardPatcher struct {
	patch.Patcher
	tell func(error)
}

func (p overheardPatcher) Patch(ctx context.Context, r patch.Request, budget int64) (runtime.Object, error) {
	o, err := p.Patcher.Patch(ctx, r, budget)
	if err != nil {
		p.tell(err)
	}
	return o, err
}
