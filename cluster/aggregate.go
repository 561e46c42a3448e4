package cluster

import (
	"encoding/json"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// aggregated is a ClusterRole with an aggregationRule, and the roles it takes
// rules from, in the order upstream's controller does: by selector, then by name.
type aggregated struct {
	role *rbacv1.ClusterRole
	from []*rbacv1.ClusterRole
	has  map[string]bool // the rules it has, by ruleKey
}

// aggregate gives aggregated ClusterRoles the rules of those their selectors pick,
// again and again until nothing changes: they may aggregate each other, in a
// circle too. Rules only ever become more, and are those of the files, so this
// comes to an end.
//
// The controller overwrites what an aggregated role has of its own. A role that an
// API server has stored has been through that, and keeps its rules, since a dump
// need not hold the roles they came from.
func (v *View) aggregate() {
	var all []*aggregated
	dropped := 0
	for _, h := range v.ClusterRoles {
		rule := h.Object.AggregationRule
		if rule == nil {
			continue
		}
		a := &aggregated{role: h.Object, has: map[string]bool{}}
		for i := range rule.ClusterRoleSelectors {
			selector, err := metav1.LabelSelectorAsSelector(&rule.ClusterRoleSelectors[i])
			if err != nil {
				continue // reported when the role was read
			}
			a.from = append(a.from, v.selected(selector, h.Object)...)
		}
		if stored := h.Object.UID != "" || h.Object.ResourceVersion != ""; !stored && len(h.Object.Rules) > 0 {
			h.Object.Rules = nil
			dropped++
		}
		for i := range h.Object.Rules {
			a.has[ruleKey(&h.Object.Rules[i])] = true
		}
		all = append(all, a)
	}
	for changed := true; changed; {
		changed = false
		for _, a := range all {
			for _, from := range a.from {
				for i := range from.Rules {
					if key := ruleKey(&from.Rules[i]); !a.has[key] {
						a.has[key] = true
						a.role.Rules = append(a.role.Rules, from.Rules[i])
						changed = true
					}
				}
			}
		}
	}
	if dropped > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%s own rules, which do not count: a cluster's controller overwrites them",
			count(dropped, "aggregated ClusterRole has", "aggregated ClusterRoles have")))
	}
}

// selected are the ClusterRoles, but for one, whose labels match.
func (v *View) selected(selector labels.Selector, except *rbacv1.ClusterRole) []*rbacv1.ClusterRole {
	var found []*rbacv1.ClusterRole
	for _, h := range v.ClusterRoles {
		if h.Object != except && selector.Matches(labels.Set(h.Object.Labels)) {
			found = append(found, h.Object)
		}
	}
	return found
}

// ruleKey is equal for rules that the controller takes for the same.
func ruleKey(r *rbacv1.PolicyRule) string {
	parts := [][]string{r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs}
	for i := range parts {
		if len(parts[i]) == 0 {
			parts[i] = nil
		}
	}
	key, _ := json.Marshal(parts) // strings
	return string(key)
}
