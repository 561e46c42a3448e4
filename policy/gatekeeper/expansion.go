package gatekeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// expansion is an ExpansionTemplate, compiled: what a generator, such as a Deployment,
// will make is made of it here, and judged as if it were there.
type expansion struct {
	source    gate.Source
	applyTo   []applyTo
	path      []string
	generates schema.GroupVersionKind
	// actions replace those of the constraints; nil leaves them.
	actions []policy.Action

	on  []policy.Selector
	all *expansions
}

var _ policy.Validator = &expansion{}

// expansions are all in force, and what is done with what they make.
type expansions struct {
	engine      *Engine
	byKind      map[schema.GroupVersionKind][]*expansion
	constraints []*constraint
	mutators    *mutatorGroup
	excluded    *exclusions
}

// deepest is how often what was made may make something in its turn. No more than a
// few can be meant, and a circle is refused before.
const deepest = 30

// readExpansion compiles an ExpansionTemplate.
func readExpansion(o policy.Object) (*expansion, error) {
	if version := o.GroupVersionKind().Version; !slices.Contains([]string{"v1", "v1beta1", "v1alpha1"}, version) {
		return nil, fmt.Errorf("the version %q is none of v1, v1beta1 and v1alpha1", version)
	}
	var spec struct {
		ApplyTo []struct {
			Groups   []string `json:"groups,omitempty"`
			Versions []string `json:"versions,omitempty"`
			Kinds    []string `json:"kinds,omitempty"`
		} `json:"applyTo,omitempty"`
		TemplateSource string `json:"templateSource,omitempty"`
		GeneratedGVK   struct {
			Group   string `json:"group,omitempty"`
			Version string `json:"version,omitempty"`
			Kind    string `json:"kind,omitempty"`
		} `json:"generatedGVK,omitempty"`
		EnforcementAction string `json:"enforcementAction,omitempty"`
	}
	data, err := json.Marshal(o.Object["spec"])
	if err == nil {
		err = strictly(data, &spec)
	}
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	x := &expansion{source: o.Source, path: strings.Split(spec.TemplateSource, "."), generates: schema.GroupVersionKind(spec.GeneratedGVK)}
	switch {
	case o.GetName() == "" || len(o.GetName()) > mostMutatorName:
		return nil, fmt.Errorf("metadata.name: it must have 1 to %d characters", mostMutatorName)
	case spec.TemplateSource == "":
		return nil, errors.New("spec.templateSource: name the field that holds the template, such as spec.template")
	case x.generates == schema.GroupVersionKind{}:
		return nil, errors.New("spec.generatedGVK: name what is made")
	case len(spec.ApplyTo) == 0 || len(spec.ApplyTo) > mostApplyTo:
		return nil, fmt.Errorf("spec.applyTo: there must be 1 to %d entries", mostApplyTo)
	}
	kinds := 0
	for i, a := range spec.ApplyTo {
		one := applyTo{Groups: a.Groups, Versions: a.Versions, Kinds: a.Kinds}
		if kinds += len(a.Groups) * len(a.Versions) * len(a.Kinds); kinds > mostBindings {
			return nil, fmt.Errorf("spec.applyTo: there are more than %d kinds", mostBindings)
		}
		if slices.Contains(one.kinds(), x.generates) {
			return nil, fmt.Errorf("spec.applyTo[%d]: it applies to what it makes, %s", i, x.generates.Kind)
		}
		x.applyTo = append(x.applyTo, one)
	}
	if spec.EnforcementAction != "" {
		action, ok := actionNames[spec.EnforcementAction]
		if !ok {
			return nil, fmt.Errorf("spec.enforcementAction: %q is none of deny, warn and dryrun", spec.EnforcementAction)
		}
		x.actions = []policy.Action{action}
	}
	return x, nil
}

// keptExpansion is one as it was last compiled.
type keptExpansion struct {
	content map[string]any
	*expansion
}

// expansion is the compiled one; with an error the last good one, or nil.
func (e *Engine) expansion(o policy.Object) (*keptExpansion, error) {
	last := e.expansions[o.GetName()]
	content := map[string]any{"spec": o.Object["spec"], "apiVersion": o.GetAPIVersion()}
	if last == nil || last.source != o.Source || !reflect.DeepEqual(last.content, content) {
		x, err := readExpansion(o)
		if err == nil {
			return &keptExpansion{content, x}, nil
		}
		if last == nil {
			return nil, err
		}
		next := *last.expansion
		return &keptExpansion{last.content, &next}, err
	}
	next := *last.expansion // what it makes may be judged by others now
	return &keptExpansion{content, &next}, nil
}

// expansionsInForce are those that do not make each other in a circle.
func (e *Engine) expansionsInForce(excluded *exclusions, problem func(gate.Source, error, string, bool)) (policies []policy.Policy) {
	all := &expansions{engine: e, byKind: map[schema.GroupVersionKind][]*expansion{}, mutators: e.group, excluded: excluded}
	for _, key := range slices.Sorted(maps.Keys(e.constraints)) {
		all.constraints = append(all.constraints, e.constraints[key].constraint)
	}
	operations := []admission.Operation{admission.Create, admission.Update}
	if slices.ContainsFunc(all.constraints, func(c *constraint) bool { return slices.Contains(c.operations, admission.Delete) }) {
		operations = append(operations, admission.Delete)
	}
	if e.opts.AllOperations {
		operations = nil
	}
	byKind := map[schema.GroupVersionKind][]*expansion{}
	names := slices.Sorted(maps.Keys(e.expansions))
	for _, name := range names {
		x := e.expansions[name].expansion
		for i := range x.applyTo {
			for _, kind := range x.applyTo[i].kinds() {
				byKind[kind] = append(byKind[kind], x)
			}
		}
	}
	for _, name := range names {
		x := e.expansions[name].expansion
		if makesItself(x, byKind) {
			problem(x.source, errors.New("what it makes leads back to what it applies to; none of the templates of the circle is in force"), "let each kind be made of another one in one direction alone", false)
			continue
		}
		x.all, x.on = all, nil
		for i := range x.applyTo {
			a := &x.applyTo[i]
			if len(a.Groups) == 0 || len(a.Versions) == 0 || len(a.Kinds) == 0 {
				continue // it names nothing
			}
			s := selectorOf(operations, a.Groups, a.Kinds)
			s.Groups, s.Kinds = a.Groups, a.Kinds // a star is no wildcard here
			if e.opts.AllOperations {
				s.Resources = nil
			}
			x.on = append(x.on, s)
			for _, kind := range a.kinds() {
				if !slices.Contains(all.byKind[kind], x) {
					all.byKind[kind] = append(all.byKind[kind], x)
				}
			}
		}
		if len(x.on) > 0 {
			policies = append(policies, x)
		}
	}
	return policies
}

// makesItself reports whether what a template makes leads back to it.
func makesItself(x *expansion, byKind map[schema.GroupVersionKind][]*expansion) bool {
	seen := map[*expansion]bool{}
	next := slices.Clone(byKind[x.generates])
	for len(next) > 0 {
		one := next[len(next)-1]
		next = next[:len(next)-1]
		if one == x {
			return true
		}
		if !seen[one] {
			seen[one] = true
			next = append(next, byKind[one.generates]...)
		}
	}
	return false
}

// Source implements policy.Policy.
func (x *expansion) Source() gate.Source { return x.source }

// Selectors implements policy.Policy.
func (x *expansion) Selectors() []policy.Selector { return x.on }

// resultant is what a template made of an object.
type resultant struct {
	object *unstructured.Unstructured
	by     *expansion
}

// Validate implements policy.Validator: the constraints are asked about what the
// template makes, and about what is made of that.
func (x *expansion) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	made, err := x.made(ctx, r)
	if err != nil {
		return x.failed(err)
	}
	var results []policy.Result
	for i := range made {
		results = append(results, x.all.judge(ctx, r, &made[i], x.source)...)
	}
	return results
}

// made is what the template makes of a request's object, and what is made of that.
func (x *expansion) made(ctx context.Context, r *policy.Request) (made []resultant, err error) {
	a := askedOf(ctx, r)
	switch {
	case a.err != nil:
		return nil, a.err
	case a.object == nil || x.all.excluded.covers(a, r) || !slices.Contains(x.all.byKind[r.GetKind()], x):
		return nil, nil
	}
	b := &expanding{x.all, mutating{ns: a.ns, source: sourceGenerated, providers: x.all.engine.sessionOf(r)}}
	if u := r.GetUserInfo(); u != nil {
		b.username = u.GetName()
	}
	if err := b.expand(ctx, inNamespace(a.object, r.GetNamespace()), []*expansion{x}, &made, 0); err != nil {
		return nil, fmt.Errorf("unable to expand the object: %w", err)
	}
	return made, nil
}

func (x *expansion) failed(err error) []policy.Result {
	return []policy.Result{{Actions: []policy.Action{policy.Deny}, Err: err, Sources: []gate.Source{x.source}}}
}

// judge asks the constraints about what was made.
func (all *expansions) judge(ctx context.Context, r *policy.Request, made *resultant, of gate.Source) (results []policy.Result) {
	object, old := runtime.Object(made.object), runtime.Object(nil)
	if r.GetOperation() == admission.Delete {
		object, old = nil, made.object
	}
	// Nobody asks for it, and what it would be served as is not known: Gatekeeper says
	// neither.
	derived := policy.NewRequest(admission.NewAttributesRecord(object, old, made.object.GroupVersionKind(), made.object.GetNamespace(), made.object.GetName(),
		schema.GroupVersionResource{}, "", r.GetOperation(), nil, false, &user.DefaultInfo{}), nil, r.Cluster)
	derived.Authorizer, derived.Objects, derived.Background = r.Authorizer, r.Objects, r.Background
	derived.Lasting(sessionKey{}, func() any { return all.engine.sessionOf(r) })
	askedOf(ctx, derived).source = sourceGenerated
	derived.Unsettle()

	var inRego []policy.Validator
	take := func(c *constraint, found []policy.Result) {
		for _, one := range found {
			if len(one.Actions) > 0 && made.by.actions != nil {
				one.Actions = made.by.actions
			}
			prefix := "[Implied by " + made.by.source.Name + "] "
			if one.Err != nil {
				one.Err = fmt.Errorf("%s%w", prefix, one.Err)
			}
			if one.Message != "" {
				one.Message = prefix + one.Message
			}
			one.Sources = append(slices.Clip(c.sources), made.by.source)
			if of != made.by.source {
				one.Sources = append(one.Sources, of)
			}
			results = append(results, one)
		}
	}
	for _, c := range all.constraints {
		switch {
		case c.operations != nil && !slices.Contains(c.operations, r.GetOperation()):
		case c.cel != nil:
			take(c, c.Validate(ctx, derived))
		default:
			inRego = append(inRego, asRego{c})
		}
	}
	if len(inRego) > 0 {
		for i, found := range inRego[0].(asRego).ValidateAll(ctx, derived, inRego) {
			take(inRego[i].(asRego).constraint, found)
		}
	}
	return results
}

// expanding is one object while what is made of it is being made.
type expanding struct {
	all *expansions
	mutating
}

// expand makes what some templates make of an object, and what is made of that.
func (b *expanding) expand(ctx context.Context, from *unstructured.Unstructured, by []*expansion, made *[]resultant, depth int) error {
	if depth >= deepest {
		return fmt.Errorf("more than %d objects are made of each other", deepest)
	}
	for _, x := range by {
		object, err := x.make(from, b.ns)
		if err != nil {
			return err
		}
		w := b.mutating
		after, err := b.all.mutators.mutate(ctx, &w, b.all.mutators.inForce, object, object.GetNamespace())
		if err != nil {
			return fmt.Errorf("mutate %s: %w", object.GetName(), err)
		}
		if after != nil {
			object = after
		}
		*made = append(*made, resultant{object, x})
		if err := b.expand(ctx, object, b.all.byKind[object.GroupVersionKind()], made, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// make is what a template makes of an object: named after it, in its namespace, and
// owned by it.
func (x *expansion) make(from *unstructured.Unstructured, ns *corev1.Namespace) (*unstructured.Unstructured, error) {
	content, ok, err := unstructured.NestedMap(from.Object, x.path...)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the field %s of %s is no object", strings.Join(x.path, "."), from.GetName())
	case !ok:
		return nil, fmt.Errorf("the field %s of %s is missing", strings.Join(x.path, "."), from.GetName())
	}
	if metadata, ok := content["metadata"]; ok {
		if _, ok := metadata.(map[string]any); !ok {
			content["metadata"] = map[string]any{}
		}
	}
	o := &unstructured.Unstructured{Object: content}
	o.SetGroupVersionKind(x.generates)
	if ns != nil {
		o.SetNamespace(ns.Name)
	} else if name := from.GetNamespace(); name != "" {
		o.SetNamespace(name)
	}
	name := from.GetName()
	if x.generates.Kind != "" {
		name += "-" + x.generates.Kind
	}
	o.SetName(strings.ToLower(name))
	owner := metav1.OwnerReference{APIVersion: from.GetAPIVersion(), Kind: from.GetKind(), Name: from.GetName()}
	if owner.APIVersion == "" || owner.Kind == "" || owner.Name == "" {
		return o, nil
	}
	owners := o.GetOwnerReferences()
	if !slices.ContainsFunc(owners, func(has metav1.OwnerReference) bool {
		return has.APIVersion == owner.APIVersion && has.Kind == owner.Kind && has.Name == owner.Name
	}) {
		o.SetOwnerReferences(append(owners, owner))
	}
	return o, nil
}
