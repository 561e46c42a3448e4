package cel

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Options shape an Engine. The zero value is ready.
type Options struct {
	// Compiler is shared with other engines. Default: one of its own.
	Compiler *Compiler
	// Namespaced reports whether the objects of a kind, which a policy names as its
	// paramKind, are in namespaces; known is false where nobody can tell by the
	// kind, and an error that there is no such kind. Default: built-in kinds are
	// known, and of others their objects tell.
	Namespaced func(schema.GroupVersionKind) (namespaced, known bool, err error)
	// Schemas are those of kinds that are not built in, for the merge of an
	// ApplyConfiguration; nil for one that is not known. Default: none is known, and
	// an ApplyConfiguration of such a kind refuses the request; a JSONPatch needs none.
	Schemas func(schema.GroupVersionKind) managedfields.TypeConverter
	// AsStored has a policy that does not compile any more meet its failure policy at
	// once, as in an API server, instead of keeping its last good version in force.
	AsStored bool
}

// Engine compiles ValidatingAdmissionPolicies and MutatingAdmissionPolicies, and
// their bindings.
type Engine struct {
	opts   Options
	server *server
	// validating are the last good ones by name; what has not changed is taken from
	// there.
	validating map[string]*kept[validatingPolicy]
	mutating   map[string]*kept[mutatingPolicy]
	converters *converters
}

// kept is a policy as it was compiled last.
type kept[P any] struct {
	spec   map[string]any // of the object it was compiled from
	policy *P
	faults []Fault
	// good says that it compiled without a fault.
	good bool
}

var _ policy.Engine = &Engine{}

// New builds an Engine.
func New(opts Options) (*Engine, error) {
	if opts.Compiler == nil {
		compiler, err := NewCompiler()
		if err != nil {
			return nil, err
		}
		opts.Compiler = compiler
	}
	s := newServer()
	if opts.Namespaced == nil {
		opts.Namespaced = s.namespaced
	}
	return &Engine{opts: opts, server: s, converters: newConverters(s.types, opts.Schemas)}, nil
}

// namespaced knows built-in kinds.
func (s *server) namespaced(kind schema.GroupVersionKind) (namespaced, known bool, err error) {
	return !clusterScoped(kind.GroupKind()), s.types.Recognizes(kind) || clusterScoped(kind.GroupKind()), nil
}

// Name implements policy.Engine.
func (e *Engine) Name() string { return "cel" }

// The kinds that it reads.
const (
	validatingKind        = "ValidatingAdmissionPolicy"
	validatingBindingKind = "ValidatingAdmissionPolicyBinding"
	mutatingKind          = "MutatingAdmissionPolicy"
	mutatingBindingKind   = "MutatingAdmissionPolicyBinding"
)

// Reads implements policy.Engine.
func (e *Engine) Reads(kind schema.GroupKind) bool {
	if kind.Group != v1.GroupName {
		return false
	}
	switch kind.Kind {
	case validatingKind, validatingBindingKind, mutatingKind, mutatingBindingKind:
		return true
	}
	return false
}

// Compile implements policy.Engine. There is one Policy for each policy and binding.
func (e *Engine) Compile(objects []policy.Object) policy.Loaded {
	l := &loading{Engine: e}
	of := map[string][]policy.Object{}
	for _, o := range objects {
		of[o.GetKind()] = append(of[o.GetKind()], o)
	}
	for kind := range of {
		of[kind] = l.once(of[kind])
	}
	e.validating = compileAll(l, of[validatingKind], e.validating, l.compileValidating)
	l.bindValidating(of[validatingBindingKind])
	e.mutating = compileAll(l, of[mutatingKind], e.mutating, l.compileMutating)
	l.bindMutating(of[mutatingBindingKind])
	slices.SortStableFunc(l.Problems, func(a, b policy.Problem) int {
		return cmp.Or(cmp.Compare(a.Source.Kind, b.Source.Kind), cmp.Compare(a.Source.Name, b.Source.Name))
	})
	return l.Loaded
}

// loading is one call of Compile.
type loading struct {
	*Engine
	policy.Loaded
}

// once sorts objects by name and leaves out those that are there twice.
func (l *loading) once(objects []policy.Object) []policy.Object {
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, func(a, b policy.Object) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return slices.CompactFunc(objects, func(a, b policy.Object) bool {
		if a.GetName() != b.GetName() {
			return false
		}
		l.problem(b, fmt.Errorf("there is another %s of this name", b.GetKind()), "an API server has one of a name: leave one out", false)
		return true
	})
}

func (l *loading) problem(o policy.Object, err error, hint string, inForce bool) {
	l.Problems = append(l.Problems, policy.Problem{Source: sourceOf(o), Message: err.Error(), Hint: hint, InForce: inForce})
}

func sourceOf(o policy.Object) gate.Source {
	s := o.Source
	s.Kind, s.Name = o.GetKind(), o.GetName()
	return s
}

// compileAll compiles what has changed. It returns what is in force by name.
func compileAll[P any](l *loading, objects []policy.Object, before map[string]*kept[P], compile func(policy.Object) (*P, []Fault)) map[string]*kept[P] {
	now := make(map[string]*kept[P], len(objects))
	for _, o := range objects {
		last := before[o.GetName()]
		if last == nil || !reflect.DeepEqual(last.spec, specOf(o)) {
			fresh := &kept[P]{spec: specOf(o)}
			fresh.policy, fresh.faults = compile(o)
			fresh.good = len(fresh.faults) == 0
			if !fresh.good && last != nil && last.good && !l.opts.AsStored {
				fresh.policy, fresh.good = last.policy, true
			}
			last = fresh
		}
		now[o.GetName()] = last
		for _, f := range last.faults {
			hint := "until it is mended, every request that it matches meets its failure policy"
			if last.good {
				hint = "until it is mended, its last version that compiled stays in force"
			}
			l.problem(o, f, hint, last.good)
		}
	}
	return now
}

// specOf is what a policy is compiled from.
func specOf(o policy.Object) map[string]any {
	spec, _ := o.Object["spec"].(map[string]any)
	return spec
}

func (l *loading) compileValidating(o policy.Object) (*validatingPolicy, []Fault) {
	p := &validatingPolicy{object: &v1.ValidatingAdmissionPolicy{}, source: sourceOf(o)}
	faults := read(o, p.object)
	spec := &p.object.Spec
	p.object.Name = o.GetName()
	setFailurePolicy(&spec.FailurePolicy)
	setDefaults(spec.MatchConstraints)
	if spec.MatchConstraints != nil {
		p.criteria = newCriteria(spec.MatchConstraints)
		faults = append(faults, p.criteria.faults("matchConstraints")...)
	} else {
		faults = append(faults, Fault{"spec.matchConstraints", errNoConstraints})
	}
	var more []Fault
	p.program, more = l.opts.Compiler.Compile(Rules{
		Name: o.GetName(), Params: spec.ParamKind != nil, Variables: spec.Variables, MatchConditions: spec.MatchConditions,
		Validations: spec.Validations, AuditAnnotations: spec.AuditAnnotations, FailurePolicy: spec.FailurePolicy,
	})
	for _, f := range more {
		faults = append(faults, Fault{"spec." + f.Path, f.Err})
	}
	return p, faults
}

func (l *loading) bindValidating(bindings []policy.Object) {
	var bound []*validatingBinding
	count := map[*validatingPolicy]int{}
	for _, o := range bindings {
		object := &v1.ValidatingAdmissionPolicyBinding{}
		faults := read(o, object)
		object.Name = o.GetName()
		of := l.validating[object.Spec.PolicyName]
		if of == nil {
			l.unbound(o, validatingKind, object.Spec.PolicyName)
			continue
		}
		b := &validatingBinding{of: of.policy, object: object, pair: pair{policy: of.policy.criteria, server: l.server},
			sources: []gate.Source{sourceOf(o), of.policy.source},
			params:  newParams(of.policy.object.Spec.ParamKind, object.Spec.ParamRef, l.opts.Namespaced)}
		var err error
		if b.actions, err = actionsOf(object.Spec.ValidationActions); err != nil {
			faults = append(faults, Fault{"spec.validationActions", err})
		}
		faults = append(faults, l.bind(&b.pair, object.Spec.MatchResources, &b.params)...)
		l.refused(o, faults)
		b.vouches = len(of.faults) == 0 && len(faults) == 0 && of.policy.vouched()
		b.selectors = b.widest(&b.params).selectors(admission.Connect, admission.Create, admission.Delete, admission.Update)
		count[b.of]++
		bound = append(bound, b)
	}
	for _, b := range bound {
		if count[b.of] > 1 && len(b.of.object.Spec.AuditAnnotations) > 0 {
			l.Policies = append(l.Policies, annotatedBinding{b})
			continue
		}
		l.Policies = append(l.Policies, b)
	}
}

func (l *loading) compileMutating(o policy.Object) (*mutatingPolicy, []Fault) {
	p := &mutatingPolicy{object: &v1.MutatingAdmissionPolicy{}, source: sourceOf(o)}
	faults := read(o, p.object)
	spec := &p.object.Spec
	p.object.Name = o.GetName()
	setFailurePolicy(&spec.FailurePolicy)
	setDefaults(spec.MatchConstraints)
	if spec.MatchConstraints != nil {
		p.criteria = newCriteria(spec.MatchConstraints)
		faults = append(faults, p.criteria.faults("matchConstraints")...)
	} else {
		faults = append(faults, Fault{"spec.matchConstraints", errNoConstraints})
	}
	var more []Fault
	p.evaluator, more = l.opts.Compiler.compileMutations(p.object)
	for _, f := range more {
		faults = append(faults, Fault{"spec." + f.Path, f.Err})
	}
	for _, m := range spec.Mutations {
		if m.PatchType == v1.PatchTypeApplyConfiguration {
			l.converters.load()
			break
		}
	}
	return p, faults
}

func (l *loading) bindMutating(bindings []policy.Object) {
	for _, o := range bindings {
		object := &v1.MutatingAdmissionPolicyBinding{}
		faults := read(o, object)
		object.Name = o.GetName()
		of := l.mutating[object.Spec.PolicyName]
		if of == nil {
			l.unbound(o, mutatingKind, object.Spec.PolicyName)
			continue
		}
		b := &mutatingBinding{of: of.policy, object: object, pair: pair{policy: of.policy.criteria, server: l.server}, converters: l.converters,
			sources: []gate.Source{sourceOf(o), of.policy.source},
			params:  newParams(of.policy.object.Spec.ParamKind, object.Spec.ParamRef, l.opts.Namespaced),
			// The dispatcher knows which failures the policy ignores.
			mutation: policy.Mutation{Last: true, MaxRuns: 1}}
		if of.policy.object.Spec.ReinvocationPolicy == v1.IfNeededReinvocationPolicy {
			b.mutation.MaxRuns = 2
		}
		faults = append(faults, l.bind(&b.pair, object.Spec.MatchResources, &b.params)...)
		l.refused(o, faults)
		b.selectors = b.widest(&b.params).selectors(admission.Connect, admission.Create, admission.Update)
		l.Policies = append(l.Policies, b)
	}
}

func (l *loading) unbound(o policy.Object, kind, name string) {
	l.problem(o, fmt.Errorf("there is no %s %q: the binding does nothing", kind, name), "correct spec.policyName, or add the policy", false)
}

func (l *loading) refused(o policy.Object, faults []Fault) {
	for _, f := range faults {
		l.problem(o, f, "correct the binding: an API server would refuse it", false)
	}
}

// bind sets what a binding of either kind adds to its policy.
func (l *loading) bind(p *pair, resources *v1.MatchResources, given *params) (faults []Fault) {
	if resources != nil {
		setDefaults(resources)
		p.binding = newCriteria(resources)
		faults = p.binding.faults("spec.matchResources")
	}
	if given.err != nil {
		faults = append(faults, Fault{"spec.paramKind", given.err})
	}
	if given.kind != nil && given.err == nil && !slices.Contains(l.Needs, given.gvk) {
		l.Needs = append(l.Needs, given.gvk)
		slices.SortFunc(l.Needs, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	}
	return faults
}
