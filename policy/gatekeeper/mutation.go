package gatekeeper

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/location"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
)

// mutatorGroup are all mutators in force. What they make of an object is what all of
// them come to: Gatekeeper goes through them again and again until one whole pass has
// left the object as it was, and only then asks providers for what was left open. So
// two that set the same field are not in each other's way: the later one has it.
type mutatorGroup struct {
	engine *Engine
	// passes is how many are made at most: one more than there are mutators, those
	// included that are in conflict.
	passes   int
	excluded *exclusions
	// inForce are all of them, in the order of kind and name: what an ExpansionTemplate
	// makes goes through these.
	inForce []*mutator
}

// Group implements policy.Grouper.
func (m *mutator) Group() string { return "Gatekeeper" }

// Mutate implements policy.Mutator: of this one alone.
func (m *mutator) Mutate(ctx context.Context, r *policy.Request) (*unstructured.Unstructured, error) {
	changes, err := m.MutateAll(ctx, r, []policy.Mutator{m}, false)
	if err != nil {
		return nil, err
	}
	return changes.Object, nil
}

// MutateAll implements policy.Grouper.
func (m *mutator) MutateAll(ctx context.Context, r *policy.Request, members []policy.Mutator, trace bool) (*policy.Changes, error) {
	a := askedOf(ctx, r)
	if a.err != nil {
		return nil, a.err
	}
	if a.object == nil || m.group.excluded.coversMutation(a, r) {
		return &policy.Changes{}, nil
	}
	all := make([]*mutator, len(members))
	for i := range members {
		all[i] = members[i].(*mutator)
	}
	w := &mutating{ns: a.ns, operation: r.GetOperation(), source: sourceOriginal, trace: trace, providers: m.group.engine.sessionOf(r)}
	if u := r.GetUserInfo(); u != nil {
		w.username = u.GetName()
	}
	namespace := r.GetNamespace()
	if kind := r.GetKind(); kind.Group == "" && kind.Kind == "Namespace" {
		namespace = ""
		w.ns = &corev1.Namespace{}
		w.ns.Name, w.ns.Labels = a.object.GetName(), a.object.GetLabels()
	}
	before := a.object.GetNamespace()
	after, err := m.group.mutate(ctx, w, all, a.object, namespace)
	if err != nil || after == nil {
		return &policy.Changes{}, err
	}
	for _, o := range append(w.snapshots(), after) {
		if o.GetNamespace() != before {
			o.SetNamespace(before) // it was there for the match alone
		}
	}
	return &policy.Changes{Object: after, By: w.by}, nil
}

// mutate returns what mutators make of an object, or nil where they leave it as it is.
func (g *mutatorGroup) mutate(ctx context.Context, w *mutating, all []*mutator, o *unstructured.Unstructured, namespace string) (*unstructured.Unstructured, error) {
	// Nothing is copied for an object that none matches.
	w.object = inNamespace(o, namespace)
	matching := false
	for _, m := range all {
		ok, err := m.matches(w)
		if err != nil {
			return nil, m.failed(err)
		}
		matching = matching || ok
	}
	if !matching {
		return nil, nil
	}
	w.object = w.object.DeepCopy()
	for pass := 1; ; pass++ {
		if pass > g.passes {
			e := &policy.MutationError{Err: fmt.Errorf("the mutators of Gatekeeper still change the object after %d passes: they contradict each other", g.passes)}
			for _, m := range w.lastPass() {
				e.By = append(e.By, m)
			}
			return nil, e
		}
		w.begin()
		for _, m := range all {
			if err := ctx.Err(); err != nil {
				return nil, m.failed(err)
			}
			ok, err := m.matches(w)
			if err == nil && ok {
				err = w.apply(m)
			}
			if err != nil {
				return nil, m.failed(err)
			}
		}
		if !w.changed || w.settled() {
			break
		}
	}
	w.drop()
	if len(w.by) == 0 {
		return nil, nil
	}
	if err := w.resolve(ctx); err != nil {
		return nil, err
	}
	asJSON(w.object.Object)
	for _, s := range w.snapshots() {
		asJSON(s.Object)
	}
	return w.object, nil
}

func (m *mutator) failed(err error) error {
	return &policy.MutationError{By: []policy.Mutator{m}, Err: err}
}

func (m *mutator) matches(w *mutating) (bool, error) {
	if m.applyTo != nil {
		kind, covered := w.object.GroupVersionKind(), false
		for i := range m.applyTo {
			covered = covered || m.applyTo[i].covers(kind, w.operation)
		}
		if !covered {
			return false, nil
		}
	}
	return m.match.matches(w.object, w.ns, w.source)
}

// mutating is one object while it is being mutated.
type mutating struct {
	object    *unstructured.Unstructured
	ns        *corev1.Namespace
	username  string
	operation admission.Operation
	source    string
	trace     bool
	providers *provider.Session

	// by are the mutators that changed the object, in the order they did, and the
	// object before and after where that is wanted.
	by []policy.Change
	// pass is where the changes of the pass began in by.
	pass int
	// changed says that the pass has changed something, and before is the object
	// before it did.
	changed bool
	before  map[string]any
	// now is the mutator that is being applied; counted says that it is in by.
	now     *mutator
	counted bool
}

func (w *mutating) begin() {
	w.changed, w.before, w.pass = false, nil, len(w.by)
}

// change is called before the object is changed.
func (w *mutating) change() {
	if !w.changed {
		w.changed = true
		w.before = copyOf(w.object.Object).(map[string]any)
	}
	if !w.counted {
		w.counted = true
		w.by = append(w.by, policy.Change{By: w.now})
	}
}

// settled reports whether the pass came back to the object that it began with.
func (w *mutating) settled() bool { return reflect.DeepEqual(w.before, w.object.Object) }

// drop forgets the changes of the last pass: they came to nothing.
func (w *mutating) drop() { w.by = w.by[:w.pass] }

func (w *mutating) lastPass() (all []*mutator) {
	for _, c := range w.by[w.pass:] {
		all = append(all, c.By.(*mutator))
	}
	return all
}

func (w *mutating) apply(m *mutator) error {
	w.now, w.counted = m, false
	var before *unstructured.Unstructured
	if w.trace {
		before = &unstructured.Unstructured{Object: copyOf(w.object.Object).(map[string]any)}
	}
	if _, err := location.Apply(w.object.Object, m.location, m.tests, m.value(w)); err != nil {
		return err
	}
	if w.counted && w.trace {
		c := &w.by[len(w.by)-1]
		c.Before, c.After = before, &unstructured.Unstructured{Object: copyOf(w.object.Object).(map[string]any)}
	}
	return nil
}

func (w *mutating) snapshots() (all []*unstructured.Unstructured) {
	for _, c := range w.by {
		if c.Before != nil {
			all = append(all, c.Before, c.After)
		}
	}
	return all
}

// inNamespace is an object with the namespace of the request: a view, where it has
// another one.
func inNamespace(o *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
	if o.GetNamespace() == namespace {
		return o
	}
	view := &unstructured.Unstructured{Object: make(map[string]any, len(o.Object))}
	for key, value := range o.Object {
		view.Object[key] = value
	}
	metadata := map[string]any{}
	if of, ok := o.Object["metadata"].(map[string]any); ok {
		for key, value := range of {
			metadata[key] = value
		}
	}
	view.Object["metadata"] = metadata
	view.SetNamespace(namespace)
	return view
}

// asJSON makes content what it is once it has been written as JSON and read again:
// an assigned 5 is a float while Gatekeeper mutates, and an integer for the server.
func asJSON(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if v == nil {
			return nil
		}
		for key, one := range v {
			v[key] = asJSON(one)
		}
	case []any:
		if v == nil {
			return nil
		}
		for i, one := range v {
			v[i] = asJSON(one)
		}
	case float64:
		// Beyond that JSON writes an exponent, which is read as a float.
		if v == math.Trunc(v) && math.Abs(v) < 1e18 {
			return int64(v)
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
	}
	return value
}
