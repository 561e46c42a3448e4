package gatekeeper

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// operationsAnnotation names the operations that a constraint is asked about.
const operationsAnnotation = "gatehouse.io/operations"

// Enforcement points of scopedEnforcementActions.
const (
	PointAdmission = "validation.gatekeeper.sh"
	PointAudit     = "audit.gatekeeper.sh"
	PointGator     = "gator.gatekeeper.sh"
	pointVAP       = "vap.k8s.io"
)

// constraint is one, compiled. Those in Rego are asked together, by asRego.
type constraint struct {
	engine   *Engine
	template *template
	object   *unstructured.Unstructured
	match    *Match
	sources  []gate.Source
	on       []policy.Selector
	// operations that it is asked about; nil for all.
	operations []admission.Operation
	// actions at admission, and of a scan.
	actions, audit []policy.Action
	// cel is set where the template has CEL; else parameters are, as its Rego sees them.
	cel        *cel.Constraint
	parameters *ast.Term
	excluded   *exclusions
}

var _ policy.Validator = &constraint{}

func (c *constraint) Source() gate.Source          { return c.sources[0] }
func (c *constraint) Selectors() []policy.Selector { return c.on }

// subresources that Gatekeeper's webhook is registered for by default.
var subresources = []string{
	"*", "pods/ephemeralcontainers", "pods/exec", "pods/log", "pods/eviction", "pods/portforward", "pods/proxy", "pods/attach", "pods/binding",
	"deployments/scale", "replicasets/scale", "statefulsets/scale", "replicationcontrollers/scale", "services/proxy", "nodes/proxy", "services/status",
}

func (e *Engine) newConstraint(o policy.Object, t *template, excluded *exclusions) (*constraint, error) {
	whole, err := t.check(o.Unstructured)
	if err != nil {
		return nil, err
	}
	c := &constraint{engine: e, template: t, object: whole, sources: []gate.Source{o.Source, t.source}, excluded: excluded}
	if c.match, err = readMatch(whole); err != nil {
		return nil, err
	}
	if c.actions, err = actionsOf(whole, e.opts.point()); err != nil {
		return nil, err
	}
	if c.audit, err = actionsOf(whole, PointAudit); err != nil {
		return nil, err
	}
	operations := []admission.Operation{admission.Create, admission.Update}
	if e.opts.AllOperations {
		operations = nil
	} else if text := orElse(o.GetAnnotations()[operationsAnnotation], t.operations); text != "" {
		operations = nil
		for name := range strings.SplitSeq(text, ",") {
			op := admission.Operation(strings.ToUpper(strings.TrimSpace(name)))
			if !slices.Contains([]admission.Operation{admission.Create, admission.Update, admission.Delete, admission.Connect}, op) {
				return nil, fmt.Errorf("metadata.annotations[%s]: %q is none of CREATE, UPDATE, DELETE and CONNECT", operationsAnnotation, name)
			}
			operations = append(operations, op)
		}
	}
	c.operations = operations
	kinds := c.match.Kinds
	if len(kinds) == 0 {
		kinds = []Kinds{{}}
	}
	for _, k := range kinds {
		s := policy.Selector{Operations: operations, Resources: subresources}
		if len(k.APIGroups) > 0 {
			s.Groups = k.APIGroups
		}
		if len(k.Kinds) > 0 {
			s.Kinds = k.Kinds
		}
		if e.opts.AllOperations {
			s.Resources = nil
		}
		c.on = append(c.on, s)
	}
	if t.cel != nil {
		c.cel = t.cel.For(whole.Object)
		return c, nil
	}
	parameters, _, err := unstructured.NestedFieldNoCopy(whole.Object, "spec", "parameters")
	if err != nil {
		return nil, fmt.Errorf("spec.parameters: %w", err)
	}
	if c.parameters, err = rego.Parameters(parameters); err != nil {
		return nil, fmt.Errorf("spec.parameters: %w", err)
	}
	return c, nil
}

func orElse(one, other string) string {
	if one != "" {
		return one
	}
	return other
}

// actionNames are Gatekeeper's words.
var actionNames = map[string]policy.Action{"deny": policy.Deny, "warn": policy.Warn, "dryrun": policy.Audit}

// actionsOf are what a constraint asks for at an enforcement point.
func actionsOf(o *unstructured.Unstructured, point string) ([]policy.Action, error) {
	spec, _ := o.Object["spec"].(map[string]any)
	stated, _ := spec["enforcementAction"].(string)
	if stated == "" {
		stated = "deny"
	}
	if stated != "scoped" {
		action, ok := actionNames[stated]
		if !ok {
			return nil, fmt.Errorf("spec.enforcementAction: %q is none of deny, warn, dryrun and scoped", stated)
		}
		return []policy.Action{action}, nil
	}
	var scoped []struct {
		Action            string
		EnforcementPoints []struct{ Name string }
	}
	data, err := json.Marshal(spec["scopedEnforcementActions"])
	if err == nil {
		err = json.Unmarshal(data, &scoped)
	}
	if err != nil {
		return nil, fmt.Errorf("spec.scopedEnforcementActions: %w", err)
	}
	if len(scoped) == 0 {
		return nil, fmt.Errorf("spec.scopedEnforcementActions: enforcementAction is scoped, and there are none")
	}
	actions := []policy.Action{}
	for i, s := range scoped {
		action, ok := actionNames[s.Action]
		if !ok {
			return nil, fmt.Errorf("spec.scopedEnforcementActions[%d].action: %q is none of deny, warn and dryrun", i, s.Action)
		}
		for _, p := range s.EnforcementPoints {
			if !slices.Contains([]string{PointAdmission, PointAudit, PointGator, pointVAP, "*"}, p.Name) {
				return nil, fmt.Errorf("spec.scopedEnforcementActions[%d].enforcementPoints: %q is no enforcement point", i, p.Name)
			}
			if (p.Name == point || p.Name == "*") && !slices.Contains(actions, action) {
				actions = append(actions, action)
			}
		}
	}
	return actions, nil
}

// asked is a request as all constraints see it.
type asked struct {
	object, old *unstructured.Unstructured
	ns          *corev1.Namespace
	err         error
	// review is input.review; made when the first constraint in Rego asks.
	review *ast.Term
	// source is Generated for what an ExpansionTemplate made; empty for Original.
	source string
}

type askedKey struct{}

func askedOf(ctx context.Context, r *policy.Request) *asked {
	return r.Kept(askedKey{}, func() any {
		a := &asked{}
		if a.object, a.err = r.Object(); a.err != nil {
			return a
		}
		if a.old, a.err = r.OldObject(); a.err != nil {
			return a
		}
		if r.GetOperation() == admission.Delete {
			a.object = a.old // as Gatekeeper has it
		}
		kind := r.GetKind()
		if r.GetNamespace() != "" && !(kind.Group == "" && kind.Kind == "Namespace") {
			ns, err := r.Namespace(ctx)
			if err != nil && !apierrors.IsNotFound(err) {
				a.err = err
			}
			if err == nil {
				a.ns = ns
			}
		}
		return a
	}).(*asked)
}

// concerns reports whether the constraint is about a request. Where a namespaceSelector
// cannot tell, it is an error, as in Gatekeeper.
func (c *constraint) concerns(a *asked, r *policy.Request) (bool, error) {
	if a.err != nil {
		return false, a.err
	}
	if c.excluded.covers(a, r) {
		return false, nil
	}
	if a.object == nil && a.old == nil {
		return false, nil // a deletion of a collection, for example
	}
	for _, o := range []*unstructured.Unstructured{a.object, a.old} {
		if o == nil {
			continue
		}
		if ok, err := c.match.matches(o, a.ns, orElse(a.source, sourceOriginal)); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (c *constraint) actionsFor(r *policy.Request) []policy.Action {
	if r.Background {
		return c.audit
	}
	return c.actions
}

func (c *constraint) failed(r *policy.Request, err error) []policy.Result {
	return []policy.Result{{Actions: c.actionsFor(r), Err: err, Sources: c.sources}}
}

// Validate implements policy.Validator: of a constraint in CEL.
func (c *constraint) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	a := askedOf(ctx, r)
	ok, err := c.concerns(a, r)
	if err != nil {
		return c.failed(r, err)
	}
	actions := c.actionsFor(r)
	if !ok || len(actions) == 0 {
		return nil
	}
	var results []policy.Result
	for _, d := range c.cel.Evaluate(ctx, r, a.ns) {
		if d.Ignored {
			results = append(results, policy.Result{Err: evaluationError(d.Message), Sources: c.sources})
			continue
		}
		result := policy.Result{Actions: actions, Message: d.Message, Sources: c.sources}
		if d.Failed {
			result.Err = evaluationError(d.Message)
		}
		results = append(results, result)
	}
	return results
}

type evaluationError string

func (e evaluationError) Error() string { return string(e) }
