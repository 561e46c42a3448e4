package rbac

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/btree"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// roleKey names a role as a binding refers to it. A kind that is none is kept, so
// that the error names it.
type roleKey struct{ kind, namespace, name string }

func (k roleKey) compare(l roleKey) int {
	if c := strings.Compare(k.kind, l.kind); c != 0 {
		return c
	}
	if c := strings.Compare(k.namespace, l.namespace); c != 0 {
		return c
	}
	return strings.Compare(k.name, l.name)
}

const (
	kindRole        = "Role"
	kindClusterRole = "ClusterRole"
)

// role is a role that is there, or that some binding refers to. Bindings of every
// snapshot point to it.
type role struct {
	key roleKey
	// rules is nil while there is no such role. Written under Index.mu.
	rules atomic.Pointer[compiled]
	// source is where the role was read from; nil for one of a live cluster.
	source *gate.Source
	// bindings refer to this role, by namespace and name. Guarded by Index.mu.
	bindings *btree.BTreeG[*binding]
}

func (r *role) describe(rule int) gate.Source {
	s := gate.Source{Kind: r.key.kind, Namespace: r.key.namespace, Name: r.key.name}
	if r.source != nil {
		s.File, s.Line = r.source.File, r.source.Line
	}
	if rule >= 0 {
		s.Part = fmt.Sprintf("rules[%d]", rule)
	}
	return s
}

// missing is upstream's error for a binding whose role is not there: a lister's,
// which names the resource in the singular.
func (r *role) missing() error {
	switch r.key.kind {
	case kindRole:
		return apierrors.NewNotFound(rbacv1.Resource("role"), r.key.name)
	case kindClusterRole:
		return apierrors.NewNotFound(rbacv1.Resource("clusterrole"), r.key.name)
	}
	return fmt.Errorf("unsupported role reference kind: %q", r.key.kind)
}

// binding is a RoleBinding, or with an empty namespace a ClusterRoleBinding. It
// does not change, but for what it remembers of reasons.
type binding struct {
	namespace, name string
	role            *role
	subjects        []rbacv1.Subject
	expires         int64 // Unix seconds; never or always
	source          *gate.Source

	// reasons are the texts of allowing decisions, one a subject, each made when
	// it is first given.
	reasons atomic.Pointer[[]atomic.Pointer[string]]
}

const (
	never  = 0  // the binding has no end
	always = -1 // what should say its end cannot be read
)

func newBinding(meta *metav1.ObjectMeta, subjects []rbacv1.Subject, r *role, source *gate.Source) *binding {
	b := &binding{namespace: meta.Namespace, name: meta.Name, role: r, subjects: subjects, source: source}
	if text, ok := meta.Annotations[v1alpha1.AnnotationExpiresAt]; ok {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.Unix() > 0 {
			b.expires = at.Unix()
		} else {
			b.expires = always
		}
	}
	return b
}

// counts reports whether the binding has not ended at an instant in Unix seconds.
func (b *binding) counts(now int64) bool { return b.expires == never || now < b.expires }

// end is when the binding ends, or nil.
func (b *binding) end() *metav1.Time {
	if b.expires <= 0 {
		return nil
	}
	t := metav1.NewTime(time.Unix(b.expires, 0).UTC())
	return &t
}

func (b *binding) kind() string {
	if b.namespace == "" {
		return "ClusterRoleBinding"
	}
	return "RoleBinding"
}

func (b *binding) describe() gate.Source {
	s := gate.Source{Kind: b.kind(), Namespace: b.namespace, Name: b.name}
	if b.source != nil {
		s.File, s.Line = b.source.File, b.source.Line
	}
	return s
}

// reason is upstream's text for what this binding allows its subject of a number.
func (b *binding) reason(subject int) string {
	all := b.reasons.Load()
	if all == nil {
		fresh := make([]atomic.Pointer[string], len(b.subjects))
		b.reasons.CompareAndSwap(nil, &fresh)
		all = b.reasons.Load()
	}
	if text := (*all)[subject].Load(); text != nil {
		return *text
	}
	s := &b.subjects[subject]
	name := b.name
	if b.namespace != "" {
		name += "/" + b.namespace // upstream's order
	}
	of := s.Name
	if s.Kind == rbacv1.ServiceAccountKind {
		of += "/" + accountNamespace(s, b.namespace)
	}
	text := fmt.Sprintf("RBAC: allowed by %s %q of %s %q to %s %q", b.kind(), name, b.role.key.kind, b.role.key.name, s.Kind, of)
	(*all)[subject].Store(&text)
	return text
}

func accountNamespace(s *rbacv1.Subject, namespace string) string {
	if s.Namespace != "" {
		return s.Namespace
	}
	return namespace
}

// accountPrefix begins the user name of every service account.
const accountPrefix = "system:serviceaccount:"

// member is whom a subject means: the user of a name or the group of one.
type member struct {
	group bool
	name  string
}

// memberOf is false for a subject that means nobody.
func memberOf(s *rbacv1.Subject, namespace string) (member, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return member{name: s.Name}, true
	case rbacv1.GroupKind:
		return member{group: true, name: s.Name}, true
	case rbacv1.ServiceAccountKind:
		if namespace = accountNamespace(s, namespace); namespace != "" {
			return member{name: accountPrefix + namespace + ":" + s.Name}, true
		}
	}
	return member{}, false
}

// before is the order in which bindings are listed.
func (b *binding) before(c *binding) bool {
	if b.namespace != c.namespace {
		return b.namespace < c.namespace
	}
	return b.name < c.name
}

// equivalent says that replacing b by c changes no decision and no text.
func (b *binding) equivalent(c *binding) bool {
	return b.role == c.role && b.expires == c.expires && slices.Equal(b.subjects, c.subjects) && b.source == c.source
}
