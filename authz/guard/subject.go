package guard

import (
	"errors"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// subjects is a set of people and service accounts. The zero value is nobody.
type subjects struct {
	// all is everybody; the rest is then of no account.
	all bool

	// users and groups by name, sorted. Service accounts are among the users.
	users, groups []string

	// accounts are the namespaces all of whose service accounts are in the set, sorted.
	accounts []string
}

// newSubjects is as strict as the CRD's schema, for objects that never went
// through it.
func newSubjects(s *v1alpha1.GuardSubjects) (subjects, error) {
	set := subjects{all: s.All}
	for _, user := range s.Users {
		if user == "" || user == "*" {
			return set, errors.New("users: a name is empty or *; everybody is all: true")
		}
		set.users = append(set.users, strings.Clone(user))
	}
	for _, group := range s.Groups {
		if group == "" || group == "*" {
			return set, errors.New("groups: a name is empty or *; everybody is all: true")
		}
		set.groups = append(set.groups, strings.Clone(group))
	}
	for _, sa := range s.ServiceAccounts {
		switch {
		case sa.Namespace == "" || sa.Name == "":
			return set, errors.New("serviceAccounts: namespace and name must be set")
		case strings.Contains(sa.Namespace, "*") || strings.Contains(sa.Name, "*") && sa.Name != "*":
			return set, errors.New("serviceAccounts: * is for a whole name alone; the accounts of every namespace are the group system:serviceaccounts")
		case sa.Name == "*":
			set.accounts = append(set.accounts, strings.Clone(sa.Namespace))
		default:
			set.users = append(set.users, serviceaccount.MakeUsername(sa.Namespace, sa.Name))
		}
	}
	for _, list := range []*[]string{&set.users, &set.groups, &set.accounts} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return set, nil
}

func (s *subjects) empty() bool {
	return !s.all && len(s.users)+len(s.groups)+len(s.accounts) == 0
}

// has reports that whose request it is is in the set.
func (s *subjects) has(r *request) bool {
	if s.all {
		return true
	}
	if contains(s.users, r.user) || r.account != "" && contains(s.accounts, r.account) {
		return true
	}
	if len(s.groups) == 0 {
		return false
	}
	for _, group := range r.groups {
		if contains(s.groups, group) {
			return true
		}
	}
	return false
}

// contains is for lists that are mostly empty or short, and now and then huge.
func contains(sorted []string, name string) bool {
	_, found := slices.BinarySearch(sorted, name)
	return found
}

// accountNamespace is the namespace of a service account by its user name, or
// empty for other users.
func accountNamespace(user string) string {
	rest, ok := strings.CutPrefix(user, serviceaccount.ServiceAccountUsernamePrefix)
	if !ok {
		return ""
	}
	namespace, name, ok := strings.Cut(rest, ":")
	if !ok || namespace == "" || name == "" {
		return ""
	}
	return namespace
}
