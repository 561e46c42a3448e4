package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/abac"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
	"github.com/gatehouse-io/gatehouse/authz/review"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// World is what decides about requests: the RBAC objects, Guards and Namespaces of a
// View, and a file of ABAC policies.
type World struct {
	View *cluster.View
	// ABAC is nil for none.
	ABAC *abac.Policies
	// Scopes knows which resources are in namespaces. Default: the verb tells.
	Scopes guard.Scopes
}

// engine is a World, compiled. Its clock is set before each request where the answers
// depend on it; then it is one goroutine's.
type engine struct {
	world World
	// at is nil where no answer depends on the time.
	at     *instant
	rbac   *rbac.Index
	guards *guard.Authorizer

	// Of some Guards it cannot be told whether they touch a request: those with a
	// condition over what is not recorded, and where labels of a namespace are not
	// known those that select by them. sure has none of these, and most has them all,
	// without the conditions; both are nil where there is no such Guard.
	sure, most *guard.Authorizer
	// selects says that some Guard selects namespaces by labels, selectors that some
	// Guard has a condition over the selectors of a list, and uids over users' uids.
	selects, selectors, uids bool
	// named says that some Guard is about names.
	named bool
}

// instant is a clock that stands still.
type instant struct{ time time.Time }

var _ clock.PassiveClock = &instant{}

// Now implements clock.PassiveClock.
func (i *instant) Now() time.Time { return i.time }

// Since implements clock.PassiveClock.
func (i *instant) Since(t time.Time) time.Duration { return i.time.Sub(t) }

// timed reports whether answers depend on the time.
func (w *World) timed() bool {
	for _, h := range w.View.RoleBindings {
		if _, ok := h.Object.Annotations[v1alpha1.AnnotationExpiresAt]; ok {
			return true
		}
	}
	for _, h := range w.View.ClusterRoleBindings {
		if _, ok := h.Object.Annotations[v1alpha1.AnnotationExpiresAt]; ok {
			return true
		}
	}
	for _, h := range w.View.Guards {
		if len(h.Object.Spec.Windows) > 0 {
			return true
		}
	}
	return false
}

// compile makes the engine of a World. A Guard that does not compile is an error: what
// it comes to would depend on what was in force before.
func (w World) compile() (*engine, error) {
	if w.View == nil {
		w.View = &cluster.View{}
	}
	e := &engine{world: w}
	var passive clock.PassiveClock
	if w.timed() {
		e.at = &instant{}
		passive = e.at
	}
	index, err := newIndex(w.View, passive)
	if err != nil {
		return nil, err
	}
	e.rbac = index
	var all, sure, most []v1alpha1.Guard
	for _, h := range w.View.Guards {
		g := *h.Object
		all = append(all, g)
		e.named = e.named || len(g.Spec.Names) > 0
		// What a distinct request does not tell; any mention counts.
		selectors, uids := strings.Contains(g.Spec.Condition, "elector"), strings.Contains(g.Spec.Condition, "uid")
		e.selects = e.selects || g.Spec.NamespaceSelector != nil
		e.selectors, e.uids = e.selectors || selectors, e.uids || uids
		if selectors || uids {
			g.Spec.Condition = ""
		} else if g.Spec.NamespaceSelector == nil {
			sure = append(sure, g)
		}
		most = append(most, g)
	}
	opts := guard.Options{Clock: passive, Namespaces: w.View, Scopes: w.Scopes}
	if e.guards, err = newGuards(opts, all); err != nil {
		return nil, err
	}
	if e.selects || e.selectors || e.uids {
		if e.sure, err = newGuards(opts, sure); err == nil {
			e.most, err = newGuards(opts, most)
		}
	}
	return e, err
}

func newGuards(opts guard.Options, guards []v1alpha1.Guard) (*guard.Authorizer, error) {
	a := guard.New(opts)
	if err := a.Replace(guards); err != nil {
		return nil, fmt.Errorf("compile Guards: %w", err)
	}
	return a, nil
}

// newIndex is the index over the RBAC objects of a View.
func newIndex(v *cluster.View, passive clock.PassiveClock) (*rbac.Index, error) {
	index := rbac.New(rbac.Options{Clock: passive})
	changes := make([]rbac.Change, 0, len(v.ClusterRoles)+len(v.Roles)+len(v.ClusterRoleBindings)+len(v.RoleBindings))
	for i := range v.ClusterRoles {
		changes = append(changes, rbac.Change{New: v.ClusterRoles[i].Object, Source: &v.ClusterRoles[i].Source})
	}
	for i := range v.Roles {
		changes = append(changes, rbac.Change{New: v.Roles[i].Object, Source: &v.Roles[i].Source})
	}
	for i := range v.ClusterRoleBindings {
		changes = append(changes, rbac.Change{New: v.ClusterRoleBindings[i].Object, Source: &v.ClusterRoleBindings[i].Source})
	}
	for i := range v.RoleBindings {
		changes = append(changes, rbac.Change{New: v.RoleBindings[i].Object, Source: &v.RoleBindings[i].Source})
	}
	return index, index.Apply(changes...)
}

// verdict is what an engine makes of a request.
type verdict struct {
	// allowed says that RBAC or ABAC allows it; denied that a Guard refuses it.
	allowed, denied bool
	// unknown says that whether a Guard refuses it depends on what is not known.
	unknown bool
	// reason is that of what decides; empty where nothing allows it.
	reason string
	// policy says that it is ABAC that allows it, which gives no reason.
	policy bool
}

func (v verdict) passes() bool { return v.allowed && !v.denied }

// decide asks the authorizers.
func (e *engine) decide(ctx context.Context, a *authorizer.AttributesRecord, at time.Time) (v verdict) {
	if e.at != nil {
		e.at.time = at
	}
	refuses := func(g *guard.Authorizer) (denied bool) {
		d, reason, _ := g.Authorize(ctx, a)
		if denied = d == authorizer.DecisionDeny; denied {
			v.reason = reason
		}
		return denied
	}
	if e.sure != nil && e.unsure(a) {
		v.denied = refuses(e.most)
		v.unknown = v.denied && !refuses(e.sure)
	} else if len(e.world.View.Guards) > 0 {
		v.denied = refuses(e.guards)
	}
	d, reason, _ := e.rbac.Authorize(ctx, a)
	if v.allowed = d == authorizer.DecisionAllow; !v.allowed && e.world.ABAC != nil {
		d, reason, _ = e.world.ABAC.Authorize(ctx, a)
		v.allowed = d == authorizer.DecisionAllow
		v.policy = v.allowed
	}
	if v.passes() {
		v.reason = reason
	}
	return v
}

// unsure reports whether Guards may ask of a request what is not known.
func (e *engine) unsure(a *authorizer.AttributesRecord) bool {
	if e.uids || e.selectors && (a.Verb == "list" || a.Verb == "watch" || a.Verb == "deletecollection") {
		return true
	}
	if !e.selects || !a.ResourceRequest || a.Namespace == "" {
		return false // no labels are asked for, or those of every namespace
	}
	_, known := e.world.View.Labels(a.Namespace)
	return !known
}

// explain is why the engine decides so: the part that decides, with its sources.
func (e *engine) explain(ctx context.Context, a *authorizer.AttributesRecord, at time.Time) *gate.Trace {
	if e.at != nil {
		e.at.time = at
	}
	chain := review.Chain{{Name: "Guard", Authorizer: e.guards}}
	if e.world.ABAC != nil {
		chain = append(chain, review.Part{Name: "ABAC", Authorizer: e.world.ABAC})
	}
	chain = append(chain, review.Part{Name: "RBAC", Authorizer: e.rbac})
	return chain.Explain(ctx, a)
}

// locate adds to a source the place that only the View knows: that of a Guard, or of
// a single rule.
func (w *World) locate(s gate.Source) gate.Source {
	found, ok := w.View.Source(cluster.Kind(s.Kind), s.Namespace, s.Name)
	var rule int
	if n, _ := fmt.Sscanf(s.Part, "rules[%d]", &rule); n == 1 {
		found, ok = w.View.Rule(cluster.Kind(s.Kind), s.Namespace, s.Name, rule)
	}
	if ok {
		s.File, s.Line = found.File, found.Line
	}
	return s
}

// sameGuards reports whether two Views refuse the same.
func sameGuards(a, b *cluster.View) bool {
	if len(a.Guards) > 0 && !slices.EqualFunc(a.Namespaces, b.Namespaces, func(x, y cluster.Held[*corev1.Namespace]) bool {
		return x.Object.Name == y.Object.Name && maps.Equal(x.Object.Labels, y.Object.Labels)
	}) {
		return false
	}
	return slices.EqualFunc(a.Guards, b.Guards, func(x, y cluster.Held[*v1alpha1.Guard]) bool {
		return x.Object.Name == y.Object.Name && equality.Semantic.DeepEqual(x.Object.Spec, y.Object.Spec)
	})
}
