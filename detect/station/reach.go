package station

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// reach is what the identity of a Finding can do now: that of who began it, where a
// controller acted.
func (s *Station) reach(f *detect.Finding) *alert.Reach {
	if s.o.Access == nil {
		return nil
	}
	name, groups, known := f.Subject.User, f.Subject.Groups, true
	switch {
	case f.Began != nil && f.Began.User != "":
		name, groups, known = f.Began.User, nil, false
		if _, as, ok := strings.Cut(name, " as "); ok {
			name = as
		}
	case f.Subject.As != "":
		name, groups, known = f.Subject.As, nil, false
	}
	if name == "" {
		return nil
	}
	spec := &v1alpha1.AccessListSpec{User: name, Groups: groups}
	if namespace, account, err := serviceaccount.SplitUsername(name); err == nil {
		spec, known = &v1alpha1.AccessListSpec{ServiceAccount: &v1alpha1.AccessServiceAccount{Namespace: namespace, Name: account}}, true
	} else if !known {
		spec.Groups = []string{user.AllAuthenticated}
	}
	r := reachOf(s.o.Access(spec))
	r.Identity = name
	// Groups of an event are bounded, and those of somebody else are not known.
	r.Incomplete = r.Incomplete || !known
	if s.o.MastersBypass && slices.Contains(groups, user.SystemPrivilegedGroup) {
		r.Can = append([]string{"everything, as a member of " + user.SystemPrivilegedGroup}, r.Can...)
	}
	return r
}

// can is one rule that an identity holds, in words.
type can struct {
	grave    int
	sentence string
}

// reachOf puts an access list into sentences, the gravest first.
func reachOf(list v1alpha1.AccessListStatus) *alert.Reach {
	var all []can
	add := func(namespace string, rules []v1alpha1.AccessRule) {
		where := "in every namespace"
		if namespace != "" {
			where = "in namespace " + namespace
		}
		for i := range rules {
			all = append(all, canOf(&rules[i], where))
		}
	}
	add("", list.Cluster)
	for i := range list.Namespaces {
		add(list.Namespaces[i].Namespace, list.Namespaces[i].Rules)
	}
	slices.SortStableFunc(all, func(a, b can) int { return cmp.Or(cmp.Compare(b.grave, a.grave), cmp.Compare(a.sentence, b.sentence)) })
	all = slices.Compact(all)
	r := &alert.Reach{Incomplete: list.Incomplete}
	if len(all) > alert.MaxReach {
		r.More = len(all) - alert.MaxReach
		all = all[:alert.MaxReach]
	}
	for _, c := range all {
		r.Can = append(r.Can, c.sentence)
	}
	return r
}

// mostNamed is how many verbs, resources and names a sentence has.
const mostNamed = 8

func canOf(r *v1alpha1.AccessRule, where string) can {
	names := func(all []string) string {
		more := ""
		if len(all) > mostNamed {
			more = fmt.Sprintf(" and %d more", len(all)-mostNamed)
			all = all[:mostNamed]
		}
		return strings.Join(all, ", ") + more
	}
	what := names(r.NonResourceURLs)
	if len(r.Resources) > 0 {
		what = names(r.Resources)
		if groups := slices.DeleteFunc(slices.Clone(r.APIGroups), func(g string) bool { return g == "" }); len(groups) > 0 && !slices.Contains(groups, "*") {
			what += " of " + names(groups)
		}
		if len(r.ResourceNames) > 0 {
			what += " named " + names(r.ResourceNames)
		}
		what += " " + where
	}
	sentence := names(r.Verbs) + " " + what
	if len(r.Sources) > 0 {
		sentence += ", by " + r.Sources[0].Kind + " " + strings.TrimPrefix(r.Sources[0].Namespace+"/"+r.Sources[0].Name, "/")
	}
	if r.ExpiresAt != nil {
		sentence += ", until " + r.ExpiresAt.UTC().Format("2006-01-02T15:04Z")
	}
	return can{gravity(&r.PolicyRule), sentence}
}

// gravity is how much a rule is worth to somebody who should not have it.
func gravity(r *rbacv1.PolicyRule) int {
	verb := func(any ...string) bool {
		return slices.Contains(r.Verbs, "*") || slices.ContainsFunc(any, func(v string) bool { return slices.Contains(r.Verbs, v) })
	}
	resource := func(any ...string) bool {
		return slices.Contains(r.Resources, "*") || slices.ContainsFunc(any, func(v string) bool { return slices.Contains(r.Resources, v) })
	}
	writes := verb("create", "update", "patch", "delete", "deletecollection")
	switch {
	case len(r.Resources) == 0:
		return 0
	case slices.Contains(r.Verbs, "*") && slices.Contains(r.Resources, "*"):
		return 7
	case verb("escalate", "bind", "impersonate"),
		writes && resource("roles", "rolebindings", "clusterroles", "clusterrolebindings", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"):
		return 6
	case verb("get", "list", "watch") && resource("secrets"), resource("pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes/proxy", "serviceaccounts/token"):
		return 5
	case writes && resource("pods", "deployments", "daemonsets", "statefulsets", "replicasets", "jobs", "cronjobs", "replicationcontrollers", "secrets", "nodes"):
		return 4
	case slices.Equal(r.APIGroups, []string{"authorization.k8s.io"}), slices.Equal(r.APIGroups, []string{"authentication.k8s.io"}):
		return 1 // what everybody may ask about themselves
	case writes:
		return 3
	}
	return 2
}
