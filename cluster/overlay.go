package cluster

import (
	"cmp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// With is the View as it would be after a change: with the objects of another View in
// place of those of the same kind, namespace and name, or beside them, and without the
// objects that are gone. Aggregated ClusterRoles get the rules of what they select then.
//
// missing are those of gone that are not there. The View itself does not change.
func (v *View) With(change *View, gone []Identity) (next *View, missing []Identity) {
	next = &View{Aside: v.Aside, Notes: slices.Clone(v.Notes)}
	found := make([]bool, len(gone))
	next.Roles = overlay(v.Roles, change.Roles, Roles, gone, found)
	next.RoleBindings = overlay(v.RoleBindings, change.RoleBindings, RoleBindings, gone, found)
	next.ClusterRoles = overlay(v.ClusterRoles, change.ClusterRoles, ClusterRoles, gone, found)
	next.ClusterRoleBindings = overlay(v.ClusterRoleBindings, change.ClusterRoleBindings, ClusterRoleBindings, gone, found)
	next.Guards = overlay(v.Guards, change.Guards, Guards, gone, found)
	next.Namespaces = overlay(v.Namespaces, change.Namespaces, Namespaces, gone, found)
	for i := range gone {
		if !found[i] {
			missing = append(missing, gone[i])
		}
	}
	for i := range next.ClusterRoles {
		h := &next.ClusterRoles[i]
		if h.Object.AggregationRule == nil {
			continue
		}
		from := v
		if _, ok := change.Source(ClusterRoles, "", h.Object.Name); ok {
			from = change
		}
		role := h.Object.DeepCopy()
		role.Rules = from.ownRules(h.Object)
		h.Object = role
	}
	next.aggregate()
	return next, missing
}

// ownRules are the rules of an aggregated ClusterRole that none of the roles it selects
// in this View has: those of roles that a dump left out.
func (v *View) ownRules(role *rbacv1.ClusterRole) (own []rbacv1.PolicyRule) {
	selected := map[string]bool{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			selector = labels.Nothing() // reported when the role was read
		}
		for _, from := range v.selected(selector, role) {
			for n := range from.Rules {
				selected[ruleKey(&from.Rules[n])] = true
			}
		}
	}
	for i := range role.Rules {
		if !selected[ruleKey(&role.Rules[i])] {
			own = append(own, role.Rules[i])
		}
	}
	return own
}

// overlay is base with the objects of change over it, without those that are gone; it
// marks in found which of those were there.
func overlay[T metav1.Object](base, change []Held[T], kind Kind, gone []Identity, found []bool) []Held[T] {
	all := make([]Held[T], 0, len(base)+len(change))
	add := func(h Held[T]) {
		for i := range gone {
			if g := &gone[i]; strings.EqualFold(g.Kind, string(kind)) && g.Namespace == h.Source.Namespace && g.Name == h.Source.Name {
				found[i] = true
				return
			}
		}
		all = append(all, h)
	}
	for len(base) > 0 || len(change) > 0 {
		order := 0
		switch {
		case len(base) == 0:
			order = 1
		case len(change) == 0:
			order = -1
		default:
			order = cmp.Or(cmp.Compare(base[0].Source.Namespace, change[0].Source.Namespace), cmp.Compare(base[0].Source.Name, change[0].Source.Name))
		}
		if order < 0 {
			add(base[0])
		} else {
			add(change[0])
			change = change[1:]
		}
		if order <= 0 {
			base = base[1:]
		}
	}
	return all
}
