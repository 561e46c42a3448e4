package builtin

import (
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Kind is that of the objects which switch policies on.
const Kind = "BuiltinPolicies"

// Options shape an Engine. The zero value is ready.
type Options struct {
	// Cluster is the name of the cluster, which exemptions may ask for. Default: it
	// has none, and exemptions for clusters do not match.
	Cluster string
}

// Engine makes policies of BuiltinPolicies objects.
type Engine struct {
	opts    Options
	catalog []*entry
	last    map[string]*switched // the last good ones, by name
}

// switched is what an object came to.
type switched struct {
	spec     v1alpha1.BuiltinPoliciesSpec
	order    string
	policies []policy.Policy
	needs    []schema.GroupVersionKind
}

var _ policy.Engine = &Engine{}

// New builds an Engine.
func New(opts Options) *Engine { return &Engine{opts: opts, catalog: catalog()} }

// Name implements policy.Engine.
func (e *Engine) Name() string { return "builtin" }

// Reads implements policy.Engine.
func (e *Engine) Reads(kind schema.GroupKind) bool {
	return kind == schema.GroupKind{Group: v1alpha1.GroupName, Kind: Kind}
}

// Compile implements policy.Engine.
func (e *Engine) Compile(objects []policy.Object) (loaded policy.Loaded) {
	next := make(map[string]*switched, len(objects))
	for _, o := range objects {
		last := e.last[o.GetName()]
		made, err := e.compile(o, last)
		if err != nil {
			loaded.Problems = append(loaded.Problems, policy.Problem{Source: o.Source, Message: err.Error(), Hint: "kubectl explain builtinpolicies.spec tells the fields", InForce: last != nil})
			made = last
		}
		if made == nil {
			continue
		}
		next[o.GetName()] = made
		loaded.Policies = append(loaded.Policies, made.policies...)
		for _, kind := range made.needs {
			if !slices.Contains(loaded.Needs, kind) {
				loaded.Needs = append(loaded.Needs, kind)
			}
		}
	}
	e.last = next
	return loaded
}

func (e *Engine) compile(o policy.Object, last *switched) (*switched, error) {
	object := &v1alpha1.BuiltinPolicies{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, object, true); err != nil {
		return nil, err
	}
	order := o.GetAnnotations()[policy.OrderAnnotation]
	if last != nil && last.order == order && equality.Semantic.DeepEqual(last.spec, object.Spec) {
		return last, nil
	}
	made := &switched{spec: object.Spec, order: order}
	at := 0
	if order != "" {
		var err error
		if at, err = strconv.Atoi(order); err != nil {
			return nil, fmt.Errorf("metadata.annotations[%s]: %q is no whole number", policy.OrderAnnotation, order)
		}
	}
	if len(object.Spec.Sets)+len(object.Spec.Policies) == 0 {
		return nil, fmt.Errorf("spec: nothing is switched on: name policies or sets")
	}
	on, err := e.switchedOn(&object.Spec)
	if err != nil {
		return nil, err
	}
	for _, entry := range e.catalog {
		given := on[entry.Name]
		if given == nil {
			continue
		}
		delete(on, entry.Name)
		if given.Action == v1alpha1.BuiltinDisabled {
			continue
		}
		if entry.with != nil {
			parametrised, err := entry.with(*entry, given)
			if err != nil {
				return nil, fmt.Errorf("spec.policies[%s].%w", entry.Name, err)
			}
			entry = parametrised
		}
		r := rule{entry: entry, source: o.Source, order: at, exemptions: exemptionsOf(object.Spec.Exemptions, entry.Name, e.opts.Cluster)}
		r.source.Part = entry.Name
		switch given.Action {
		case v1alpha1.BuiltinEnforce, "":
			r.actions = []policy.Action{policy.Deny}
		case v1alpha1.BuiltinWarn:
			r.actions = []policy.Action{policy.Warn}
		case v1alpha1.BuiltinReport:
			r.actions = []policy.Action{policy.Audit}
		default:
			return nil, fmt.Errorf("spec.policies[%s].action: %q is none of Enforce, Warn, Report and Disabled", entry.Name, given.Action)
		}
		enforced := r.actions[0] == policy.Deny
		if entry.change != nil && enforced {
			made.policies = append(made.policies, &mutator{r})
		}
		if entry.pod != nil || entry.object != nil || !enforced {
			made.policies = append(made.policies, &validator{r})
		}
		made.needs = append(made.needs, entry.needs...)
	}
	for name := range on {
		return nil, fmt.Errorf("spec.policies: there is no policy %q: gatehouse policy list --builtin shows them", name)
	}
	return made, nil
}

// switchedOn are the policies that are named, or are in a set that is.
func (e *Engine) switchedOn(spec *v1alpha1.BuiltinPoliciesSpec) (map[string]*v1alpha1.BuiltinPolicy, error) {
	on := map[string]*v1alpha1.BuiltinPolicy{}
	for _, set := range spec.Sets {
		known := false
		for _, entry := range e.catalog {
			if set.Name != setAll && set.Name != entry.Set {
				continue
			}
			known = true
			if !entry.NeedsParameters {
				on[entry.Name] = &v1alpha1.BuiltinPolicy{Name: entry.Name, Action: set.Action}
			}
		}
		if !known {
			return nil, fmt.Errorf("spec.sets: there is no set %q: there are All, Pods, Network, Access and Secrets", set.Name)
		}
	}
	named := map[string]bool{}
	for i := range spec.Policies {
		p := &spec.Policies[i]
		if named[p.Name] {
			return nil, fmt.Errorf("spec.policies: %s is named twice", p.Name)
		}
		named[p.Name] = true
		on[p.Name] = p
	}
	return on, nil
}
