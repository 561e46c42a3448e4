package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// reconcile is one pass of upstream's controller over one role
// (clusterroleaggregation.syncClusterRole); it reports whether it wrote the role.
func reconcile(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) bool {
	var rules []rbacv1.PolicyRule
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			panic(err)
		}
		for _, other := range all { // in the order of names
			if other.Name == role.Name || !selector.Matches(labels.Set(other.Labels)) {
				continue
			}
			for _, rule := range other.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(have, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	if equality.Semantic.DeepEqual(rules, role.Rules) {
		return false
	}
	role.Rules = rules
	return true
}

// TestAggregationIsTheControllers compares what the View computes with what the
// controller comes to, for random roles that aggregate each other.
func TestAggregationIsTheControllers(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		v := &View{}
		var all []*rbacv1.ClusterRole
		for i := range 2 + rnd.IntN(10) {
			role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("r%02d", i), Labels: map[string]string{}}}
			for range rnd.IntN(3) {
				role.Labels[fmt.Sprint("l", rnd.IntN(4))] = "true"
			}
			if rnd.IntN(2) == 0 {
				role.AggregationRule = &rbacv1.AggregationRule{}
				for range 1 + rnd.IntN(2) {
					role.AggregationRule.ClusterRoleSelectors = append(role.AggregationRule.ClusterRoleSelectors,
						metav1.LabelSelector{MatchLabels: map[string]string{fmt.Sprint("l", rnd.IntN(4)): "true"}})
				}
			}
			for range rnd.IntN(3) {
				role.Rules = append(role.Rules, rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{fmt.Sprint("x", rnd.IntN(6))}})
			}
			v.ClusterRoles = append(v.ClusterRoles, Held[*rbacv1.ClusterRole]{Object: role.DeepCopy()})
			if role.AggregationRule != nil {
				role.Rules = nil // what the controller overwrites
			}
			all = append(all, role)
		}
		v.aggregate()
		settled := false
		for range 1000 {
			wrote := false
			for _, role := range all {
				if role.AggregationRule != nil && reconcile(role, all) {
					wrote = true
				}
			}
			if settled = !wrote; settled {
				break
			}
		}
		for i, h := range v.ClusterRoles {
			if got, want := keys(h.Object.Rules), keys(all[i].Rules); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s has %v, the controller gives it %v (settled: %t)", seed, h.Object.Name, got, want, settled)
			}
		}
	}
}

func keys(rules []rbacv1.PolicyRule) []string {
	var all []string
	for i := range rules {
		all = append(all, ruleKey(&rules[i]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
