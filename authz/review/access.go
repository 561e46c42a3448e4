package review

import (
	"slices"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/rbac"
)

// Access says what a subject can do.
func Access(index *rbac.Index, spec *v1alpha1.AccessListSpec, opts Options) v1alpha1.AccessListStatus {
	status := v1alpha1.AccessListStatus{Errors: opts.notAsked()}
	for _, scope := range index.Access(Subject(spec)) {
		if scope.Namespace != "" && spec.Namespace != "" && scope.Namespace != spec.Namespace {
			continue
		}
		var rules []v1alpha1.AccessRule
		for _, r := range scope.Rules {
			rules = append(rules, v1alpha1.AccessRule{
				PolicyRule: r.Rule, Sources: []v1alpha1.TraceSource{Source(r.Binding), Source(r.Role)}, ExpiresAt: r.ExpiresAt,
			})
		}
		for _, err := range scope.Errors {
			status.Errors = append(status.Errors, err.Error())
		}
		switch {
		case scope.Namespace == "":
			status.Cluster = rules
		case len(rules) > 0:
			status.Namespaces = append(status.Namespaces, v1alpha1.NamespaceAccess{Namespace: scope.Namespace, Rules: rules})
		}
	}
	slices.Sort(status.Errors)
	status.Errors = slices.Compact(status.Errors)
	status.Incomplete = len(status.Errors) > 0
	return status
}

// Subject is whom a specification means, with the groups that everybody of the
// kind is in.
func Subject(spec *v1alpha1.AccessListSpec) user.Info {
	if a := spec.ServiceAccount; a != nil {
		return &user.DefaultInfo{
			Name:   serviceaccount.MakeUsername(a.Namespace, a.Name),
			Groups: append(serviceaccount.MakeGroupNames(a.Namespace), user.AllAuthenticated),
		}
	}
	return &user.DefaultInfo{Name: spec.User, Groups: spec.Groups}
}
