package rbac

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/btree"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Options are what an Index may be told. The zero value is ready.
type Options struct {
	// Clock says when bindings end. Default: the system's.
	Clock clock.PassiveClock
}

// Index is the compiled index over RBAC's four kinds. It implements
// authorizer.Authorizer and authorizer.RuleResolver, and is safe for concurrent use.
type Index struct {
	clock clock.PassiveClock

	// now is what decisions read. Never nil.
	now atomic.Pointer[snapshot]

	// mu guards what follows: writers hold it, and so do the questions that are not
	// decisions. A decision never takes it.
	mu    sync.RWMutex
	batch uint64 // the number of the last Apply
	roles map[roleKey]*role
	// ordered are the roles of roles, in the order they are listed.
	ordered  *btree.BTreeG[*role]
	bindings map[bindingKey]*binding
}

type bindingKey struct{ namespace, name string }

// snapshot is what everybody holds, at one instant.
type snapshot struct{ users, groups wide[*subject] }

// degree is how wide the ordered sets branch.
const degree = 16

// New returns an empty Index, which allows nothing.
func New(opts Options) *Index {
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	x := &Index{
		clock:    opts.Clock,
		roles:    map[roleKey]*role{},
		ordered:  btree.NewG(degree, func(a, b *role) bool { return a.key.compare(b.key) < 0 }),
		bindings: map[bindingKey]*binding{},
	}
	x.now.Store(&snapshot{})
	return x
}

// Change is an object that is new or different, or one that is gone.
type Change struct {
	// New is a *rbacv1.Role, ClusterRole, RoleBinding or ClusterRoleBinding that is
	// there from now on, in place of one of the same name. The Index keeps parts of
	// it: it must not be changed afterwards.
	New any
	// Old is an object of such a type that is gone, and counts where New is nil. Its
	// kind, namespace and name alone matter.
	Old any
	// Source is where New was read from; nil for an object of a live cluster.
	Source *gate.Source
}

// Apply makes changes, in their order and all at once: no decision is made on some
// of them. It returns when decisions are made on all of them. An object of any
// other type is an error, and then nothing is changed.
func (x *Index) Apply(changes ...Change) error {
	for i := range changes {
		object := changes[i].New
		if object == nil {
			object = changes[i].Old
		}
		switch object.(type) {
		case *rbacv1.Role, *rbacv1.ClusterRole, *rbacv1.RoleBinding, *rbacv1.ClusterRoleBinding:
		default:
			return fmt.Errorf("apply change to RBAC index: %T is no RBAC object", object)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.batch++
	next := *x.now.Load()
	for i := range changes {
		c := &changes[i]
		if c.New != nil {
			x.put(&next, c.New, c.Source)
		} else {
			x.delete(&next, c.Old)
		}
	}
	x.now.Store(&next)
	return nil
}

// Size is how many roles are there or referred to, and how many bindings.
func (x *Index) Size() (roles, bindings int) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.roles), len(x.bindings)
}

func (x *Index) put(s *snapshot, object any, source *gate.Source) {
	switch o := object.(type) {
	case *rbacv1.Role:
		x.putRole(roleKey{kindRole, o.Namespace, o.Name}, o.Rules, source)
	case *rbacv1.ClusterRole:
		x.putRole(roleKey{kindClusterRole, "", o.Name}, o.Rules, source)
	case *rbacv1.RoleBinding:
		if o.Namespace != "" {
			x.putBinding(s, newBinding(&o.ObjectMeta, o.Subjects, x.refer(o.RoleRef, o.Namespace), source))
		}
	case *rbacv1.ClusterRoleBinding:
		meta := o.ObjectMeta
		meta.Namespace = ""
		x.putBinding(s, newBinding(&meta, o.Subjects, x.refer(o.RoleRef, ""), source))
	}
}

func (x *Index) delete(s *snapshot, object any) {
	switch o := object.(type) {
	case *rbacv1.Role:
		x.deleteRole(roleKey{kindRole, o.Namespace, o.Name})
	case *rbacv1.ClusterRole:
		x.deleteRole(roleKey{kindClusterRole, "", o.Name})
	case *rbacv1.RoleBinding:
		x.deleteBinding(s, bindingKey{o.Namespace, o.Name})
	case *rbacv1.ClusterRoleBinding:
		x.deleteBinding(s, bindingKey{"", o.Name})
	}
}

// role returns the role of a key, which it makes where nobody knows it yet.
func (x *Index) role(key roleKey) *role {
	r := x.roles[key]
	if r == nil {
		r = &role{key: key}
		x.roles[key] = r
		x.ordered.ReplaceOrInsert(r)
	}
	return r
}

func (x *Index) refer(ref rbacv1.RoleRef, namespace string) *role {
	key := roleKey{kind: ref.Kind, name: ref.Name}
	if ref.Kind == kindRole {
		key.namespace = namespace
	}
	return x.role(key)
}

func (x *Index) putRole(key roleKey, rules []rbacv1.PolicyRule, source *gate.Source) {
	r := x.role(key)
	r.source = source
	r.rules.Store(compile(rules))
}

func (x *Index) deleteRole(key roleKey) {
	if r := x.roles[key]; r != nil {
		r.rules.Store(nil)
		x.forget(r)
	}
}

// forget drops a role that is not there and that nothing refers to.
func (x *Index) forget(r *role) {
	if r.rules.Load() == nil && (r.bindings == nil || r.bindings.Len() == 0) {
		delete(x.roles, r.key)
		x.ordered.Delete(r)
	}
}

func (x *Index) putBinding(s *snapshot, b *binding) {
	key := bindingKey{b.namespace, b.name}
	old := x.bindings[key]
	if old != nil && old.equivalent(b) {
		return
	}
	if b.role.bindings == nil {
		b.role.bindings = btree.NewG(degree, (*binding).before)
	}
	if old != nil {
		x.dropBinding(s, old)
	}
	x.bindings[key] = b
	b.role.bindings.ReplaceOrInsert(b)
	x.hold(s, b, true)
	if old != nil {
		x.forget(old.role)
	}
}

func (x *Index) deleteBinding(s *snapshot, key bindingKey) {
	if b := x.bindings[key]; b != nil {
		x.dropBinding(s, b)
		x.forget(b.role)
	}
}

func (x *Index) dropBinding(s *snapshot, b *binding) {
	delete(x.bindings, bindingKey{b.namespace, b.name})
	b.role.bindings.Delete(b)
	x.hold(s, b, false)
}

// hold enters a binding for each of its subjects, or takes it out.
func (x *Index) hold(s *snapshot, b *binding, add bool) {
	for i := range b.subjects {
		if who, ok := memberOf(&b.subjects[i], b.namespace); ok {
			s.change(x.batch, who, held{b, i}, add)
		}
	}
}
