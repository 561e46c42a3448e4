package gatekeeper

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// Options shape an Engine.
type Options struct {
	// Compiler is that of package cel, for templates in CEL. Needed.
	Compiler *cel.Compiler
	// Point is the enforcement point whose scoped actions count. Default:
	// PointAdmission.
	Point string
	// AllOperations asks constraints about every operation, as gator does. Default:
	// creations and updates, and what an annotation names.
	AllOperations bool
	// Providers asks external data providers. Default: none is allowed.
	Providers *provider.Client
}

func (o *Options) point() string { return orElse(o.Point, PointAdmission) }

// The groups of Gatekeeper's kinds.
const (
	templatesGroup   = "templates.gatekeeper.sh"
	constraintsGroup = "constraints.gatekeeper.sh"
	configGroup      = "config.gatekeeper.sh"
	mutationsGroup   = "mutations.gatekeeper.sh"
	expansionGroup   = "expansion.gatekeeper.sh"
	providersGroup   = "externaldata.gatekeeper.sh"
	syncGroup        = "syncset.gatekeeper.sh"
)

// Engine compiles Gatekeeper's policies.
type Engine struct {
	opts Options
	rego *rego.Compiler

	templates   map[string]*keptTemplate
	constraints map[string]*keptConstraint
	mutators    map[string]*keptMutator
	expansions  map[string]*keptExpansion
	group       *mutatorGroup

	providers  *provider.Client
	inventory  inventory
	namespaces namespaces
}

type keptTemplate struct {
	spec map[string]any
	*template
}

type keptConstraint struct {
	content  map[string]any
	template *template
	*constraint
}

var _ policy.Engine = &Engine{}

// forbidden are the functions of Rego that reach outside of the request, or read the
// host's environment.
var forbidden = []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "rego.parse_module", "trace"}

// New builds an Engine.
func New(opts Options) (*Engine, error) {
	registerExternal()
	compiler, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		return nil, fmt.Errorf("build the compiler of Rego: %w", err)
	}
	if opts.Providers == nil {
		if opts.Providers, err = provider.New(provider.Options{}); err != nil {
			return nil, err
		}
	}
	return &Engine{opts: opts, rego: compiler, providers: opts.Providers}, nil
}

// Name implements policy.Engine.
func (e *Engine) Name() string { return "gatekeeper" }

// Reads implements policy.Engine.
func (e *Engine) Reads(kind schema.GroupKind) bool {
	switch kind.Group {
	case templatesGroup:
		return kind.Kind == "ConstraintTemplate"
	case configGroup:
		return kind.Kind == "Config"
	case constraintsGroup, mutationsGroup, expansionGroup, providersGroup, syncGroup:
		return true
	}
	return false
}

// Compile implements policy.Engine.
func (e *Engine) Compile(objects []policy.Object) (loaded policy.Loaded) {
	problemAt := func(source gate.Source, err error, hint string, inForce bool) {
		loaded.Problems = append(loaded.Problems, policy.Problem{Source: source, Message: err.Error(), Hint: hint, InForce: inForce})
	}
	problem := func(o policy.Object, err error, hint string, inForce bool) { problemAt(o.Source, err, hint, inForce) }
	nextTemplates := map[string]*keptTemplate{}
	nextMutators := map[string]*keptMutator{}
	nextExpansions := map[string]*keptExpansion{}
	var offered []*provider.Provider
	var excluded exclusions
	var synced []schema.GroupVersionKind
	for _, o := range objects {
		switch o.GroupVersionKind().Group {
		case templatesGroup:
			kept, err := e.template(o)
			if err != nil {
				problem(o, err, "correct the template", kept != nil)
			}
			if kept != nil {
				nextTemplates[o.GetName()] = kept
			}
		case configGroup:
			more, err := excluded.add(o)
			if err != nil {
				problem(o, err, "correct the Config", false)
			}
			synced = append(synced, more...)
		case syncGroup:
			more, err := syncSet(o)
			if err != nil {
				problem(o, err, "correct the SyncSet", false)
			}
			synced = append(synced, more...)
		case mutationsGroup:
			kept, err := e.mutator(o)
			if err != nil {
				problem(o, err, "correct the mutator", kept != nil)
			}
			if kept != nil {
				nextMutators[o.GetKind()+"/"+o.GetName()] = kept
			}
		case providersGroup:
			p, err := provider.Read(o.Unstructured)
			if err != nil {
				problem(o, err, "correct the Provider", false)
				continue
			}
			offered = append(offered, p)
			if err := e.providers.Allows(p); err != nil {
				problem(o, err, "only providers that are named there are asked", false)
			}
		case expansionGroup:
			kept, err := e.expansion(o)
			if err != nil {
				problem(o, err, "correct the ExpansionTemplate", kept != nil)
			}
			if kept != nil {
				nextExpansions[o.GetName()] = kept
			}
		}
	}
	e.templates = nextTemplates
	byKind := map[string]*template{}
	for _, kept := range nextTemplates {
		byKind[kept.kind] = kept.template
		for _, kind := range kept.needs {
			if !slices.Contains(loaded.Needs, kind) {
				loaded.Needs = append(loaded.Needs, kind)
			}
		}
		if kept.inventory { // its Rego may look up what it does not name
			for _, kind := range synced {
				if !slices.Contains(loaded.Needs, kind) {
					loaded.Needs = append(loaded.Needs, kind)
				}
			}
		}
	}
	slices.SortFunc(loaded.Needs, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	e.inventory.wants(loaded.Needs)

	nextConstraints := map[string]*keptConstraint{}
	for _, o := range objects {
		if o.GroupVersionKind().Group != constraintsGroup {
			continue
		}
		key := o.GetKind() + "/" + o.GetName()
		last := e.constraints[key]
		t := byKind[o.GetKind()]
		if t == nil {
			problem(o, fmt.Errorf("there is no ConstraintTemplate for the kind %s: the constraint does nothing", o.GetKind()), "add the template", false)
			continue
		}
		kept, err := e.constraint(o, t, last, &excluded)
		if err != nil {
			problem(o, err, "correct the constraint", kept != nil)
		}
		if kept == nil {
			continue
		}
		nextConstraints[key] = kept
		if kept.cel != nil {
			loaded.Policies = append(loaded.Policies, kept.constraint)
		} else {
			loaded.Policies = append(loaded.Policies, asRego{kept.constraint})
		}
	}
	e.constraints = nextConstraints
	e.mutators, e.expansions = nextMutators, nextExpansions
	e.providers.Serve(offered)
	loaded.Policies = append(loaded.Policies, e.mutatorsInForce(&excluded, problemAt)...)
	loaded.Policies = append(loaded.Policies, e.expansionsInForce(&excluded, problemAt)...)
	return loaded
}

// template is the compiled one; with an error the last good one, or nil.
func (e *Engine) template(o policy.Object) (*keptTemplate, error) {
	last := e.templates[o.GetName()]
	spec := map[string]any{"spec": o.Object["spec"], "annotations": annotationsOf(o.Unstructured), "apiVersion": o.GetAPIVersion()}
	if last != nil && reflect.DeepEqual(last.spec, spec) && last.source == o.Source {
		return last, nil
	}
	t, err := readTemplate(o)
	if err != nil {
		return last, err
	}
	if source := t.celSource(); source != nil {
		var faults []cel.Fault
		if t.cel, faults = e.opts.Compiler.CompileTemplate(o.GetName(), source); len(faults) > 0 {
			err := fmt.Errorf("spec.targets[0].code: %w", faults[0])
			if last != nil || t.cel == nil {
				return last, err
			}
			return &keptTemplate{spec, t}, err
		}
		return &keptTemplate{spec, t}, nil
	}
	if err := t.lookups(o.GetAnnotations()[syncAnnotation]); err != nil {
		return last, err
	}
	if t.rego, err = e.rego.Compile(&t.typed.Spec.Targets[0]); err != nil {
		return last, err
	}
	return &keptTemplate{spec, t}, nil
}

func annotationsOf(o *unstructured.Unstructured) map[string]any {
	return map[string]any{syncAnnotation: o.GetAnnotations()[syncAnnotation], operationsAnnotation: o.GetAnnotations()[operationsAnnotation]}
}

func (e *Engine) constraint(o policy.Object, t *template, last *keptConstraint, excluded *exclusions) (*keptConstraint, error) {
	content := map[string]any{"spec": o.Object["spec"], "annotations": annotationsOf(o.Unstructured), "apiVersion": o.GetAPIVersion()}
	if last != nil && last.template == t && last.sources[0] == o.Source && reflect.DeepEqual(last.content, content) {
		next := *last.constraint // a Config may have changed
		next.excluded = excluded
		return &keptConstraint{content, t, &next}, nil
	}
	keep := func(err error) (*keptConstraint, error) {
		if last == nil || last.template != t {
			return nil, err
		}
		return last, err
	}
	c, err := e.newConstraint(o, t, excluded)
	if err != nil {
		return keep(err)
	}
	return &keptConstraint{content, t, c}, nil
}
