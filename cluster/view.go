package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// View is what is known of a cluster, at one instant. It does not change.
type View struct {
	Roles               []Held[*rbacv1.Role]
	RoleBindings        []Held[*rbacv1.RoleBinding]
	ClusterRoles        []Held[*rbacv1.ClusterRole]
	ClusterRoleBindings []Held[*rbacv1.ClusterRoleBinding]
	Guards              []Held[*v1alpha1.Guard]
	// Namespaces have their metadata alone.
	Namespaces []Held[*corev1.Namespace]

	// Aside counts the objects of kinds that a View does not hold.
	Aside int
	// Notes are sentences about what was assumed where a file leaves it open.
	Notes []string
}

// Held is an object, and where it was read from. For an object of a live cluster
// Source has no file.
type Held[T any] struct {
	Object T
	Source gate.Source
	// Rules are the lines on which the rules of a role begin; nil where rules are not
	// those of the file.
	Rules []int
}

// Kind is a kind that a View holds.
type Kind string

const (
	Roles               Kind = "Role"
	RoleBindings        Kind = "RoleBinding"
	ClusterRoles        Kind = "ClusterRole"
	ClusterRoleBindings Kind = "ClusterRoleBinding"
	Guards              Kind = "Guard"
	Namespaces          Kind = "Namespace"
)

// AllKinds are the kinds that a View holds.
var AllKinds = []Kind{Roles, RoleBindings, ClusterRoles, ClusterRoleBindings, Guards, Namespaces}

// Labels of a namespace; known is false where the View has no such namespace.
func (v *View) Labels(namespace string) (labels map[string]string, known bool) {
	at, ok := slices.BinarySearchFunc(v.Namespaces, namespace, func(h Held[*corev1.Namespace], name string) int {
		return cmp.Compare(h.Object.Name, name)
	})
	if !ok {
		return nil, false
	}
	return v.Namespaces[at].Object.Labels, true
}

// Source is where an object of a kind was read from.
func (v *View) Source(kind Kind, namespace, name string) (gate.Source, bool) {
	switch kind {
	case Roles:
		return find(v.Roles, namespace, name)
	case RoleBindings:
		return find(v.RoleBindings, namespace, name)
	case ClusterRoles:
		return find(v.ClusterRoles, "", name)
	case ClusterRoleBindings:
		return find(v.ClusterRoleBindings, "", name)
	case Guards:
		return find(v.Guards, "", name)
	case Namespaces:
		return find(v.Namespaces, "", name)
	}
	return gate.Source{}, false
}

func find[T metav1.Object](all []Held[T], namespace, name string) (gate.Source, bool) {
	source, _, ok := findRules(all, namespace, name)
	return source, ok
}

func findRules[T metav1.Object](all []Held[T], namespace, name string) (gate.Source, []int, bool) {
	at, ok := slices.BinarySearchFunc(all, [2]string{namespace, name}, func(h Held[T], want [2]string) int {
		return cmp.Or(cmp.Compare(h.Source.Namespace, want[0]), cmp.Compare(h.Source.Name, want[1]))
	})
	if !ok {
		return gate.Source{}, nil, false
	}
	return all[at].Source, all[at].Rules, true
}

// Rule is where a rule of a role was read from, by its place among them: the line
// of the role where that of the rule is not known.
func (v *View) Rule(kind Kind, namespace, name string, rule int) (gate.Source, bool) {
	source, lines, ok := gate.Source{}, []int(nil), false
	switch kind {
	case Roles:
		source, lines, ok = findRules(v.Roles, namespace, name)
	case ClusterRoles:
		source, lines, ok = findRules(v.ClusterRoles, "", name)
	}
	if ok && rule < len(lines) {
		source.Line = lines[rule]
	}
	return source, ok
}

// add puts an object into the View. The caller is the only one to write it.
func (v *View) add(object metav1.Object, source gate.Source, rules []int) {
	switch o := object.(type) {
	case *rbacv1.Role:
		v.Roles = append(v.Roles, Held[*rbacv1.Role]{o, source, rules})
	case *rbacv1.RoleBinding:
		v.RoleBindings = append(v.RoleBindings, Held[*rbacv1.RoleBinding]{o, source, rules})
	case *rbacv1.ClusterRole:
		v.ClusterRoles = append(v.ClusterRoles, Held[*rbacv1.ClusterRole]{o, source, rules})
	case *rbacv1.ClusterRoleBinding:
		v.ClusterRoleBindings = append(v.ClusterRoleBindings, Held[*rbacv1.ClusterRoleBinding]{o, source, rules})
	case *v1alpha1.Guard:
		v.Guards = append(v.Guards, Held[*v1alpha1.Guard]{o, source, rules})
	case *corev1.Namespace:
		v.Namespaces = append(v.Namespaces, Held[*corev1.Namespace]{o, source, rules})
	}
}

// sort orders the objects, and returns those that are there twice and differ.
func (v *View) sort() (differing [][2]gate.Source) {
	sortHeld(&v.Roles, &differing)
	sortHeld(&v.RoleBindings, &differing)
	sortHeld(&v.ClusterRoles, &differing)
	sortHeld(&v.ClusterRoleBindings, &differing)
	sortHeld(&v.Guards, &differing)
	sortHeld(&v.Namespaces, &differing)
	return differing
}

func sortHeld[T metav1.Object](all *[]Held[T], differing *[][2]gate.Source) {
	slices.SortFunc(*all, func(a, b Held[T]) int {
		return cmp.Or(cmp.Compare(a.Source.Namespace, b.Source.Namespace), cmp.Compare(a.Source.Name, b.Source.Name),
			comparePlaces(a.Source, b.Source))
	})
	*all = slices.CompactFunc(*all, func(a, b Held[T]) bool {
		if a.Source.Namespace != b.Source.Namespace || a.Source.Name != b.Source.Name {
			return false
		}
		if !sameMeaning(a.Object, b.Object) {
			pair := [2]gate.Source{a.Source, b.Source}
			slices.SortFunc(pair[:], comparePlaces)
			*differing = append(*differing, pair)
		}
		return true
	})
}

func comparePlaces(a, b gate.Source) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}
