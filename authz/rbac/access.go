package rbac

import (
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/gate"
)

// ScopeAccess is what a subject holds in one scope.
type ScopeAccess struct {
	Namespace string // empty for the cluster: every namespace, and what is in none
	Rules     []HeldRule
	// Errors name the bindings whose roles are not there.
	Errors []error
}

// HeldRule is a rule that a subject holds, and through what.
type HeldRule struct {
	Rule    rbacv1.PolicyRule
	Binding gate.Source
	Role    gate.Source // Part is the rule
	// Subject is the one of the binding's that is meant.
	Subject   rbacv1.Subject
	ExpiresAt *metav1.Time // when the binding ends; nil where it does not
}

// Access lists all that u holds, in the cluster first and then in each namespace
// by name. What is held in the cluster is not repeated in the namespaces.
func (x *Index) Access(u user.Info) []ScopeAccess {
	s := x.now.Load()
	now := x.unix()
	var all []ScopeAccess
	add := func(namespace string) {
		access := ScopeAccess{Namespace: namespace}
		var bindings []held
		s.holdings(u, []string{namespace}, now, func(h held) { bindings = append(bindings, h) })
		slices.SortFunc(bindings, func(a, b held) int { return strings.Compare(a.name, b.name) })
		for _, h := range bindings {
			c := h.role.rules.Load()
			if c == nil {
				access.Errors = append(access.Errors, h.role.missing())
				continue
			}
			for i := range c.rules {
				access.Rules = append(access.Rules, HeldRule{
					Rule: c.rules[i], Binding: h.describe(), Role: h.role.describe(i), Subject: h.subjects[h.subject], ExpiresAt: h.end(),
				})
			}
		}
		if len(bindings) > 0 {
			all = append(all, access)
		}
	}
	scopes := map[string]bool{"": true}
	s.subjects(u, func(who *subject) {
		for namespace := range who.scopes {
			scopes[namespace] = true
		}
	})
	for _, namespace := range slices.Sorted(maps.Keys(scopes)) {
		add(namespace)
	}
	return all
}
