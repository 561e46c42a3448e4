package gates

import (
	"context"
	"slices"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func subject(user string) []rbacv1.Subject {
	return []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
}

func clusterRole(name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
}

// bind gives a user a cluster role in one namespace and waits until it counts.
func bind(t *testing.T, admin kubernetes.Interface, ns, user, role string) {
	t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "b-"}, Subjects: subject(user), RoleRef: clusterRole(role),
	}
	_, err := admin.RbacV1().RoleBindings(ns).Create(t.Context(), binding, create)
	passes(t, err)
}

// customRole makes a cluster role of one rule for the length of the test.
func customRole(t *testing.T, admin kubernetes.Interface, labels map[string]string, rule rbacv1.PolicyRule) string {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "t-", Labels: labels}, Rules: []rbacv1.PolicyRule{rule}}
	role, err := admin.RbacV1().ClusterRoles().Create(t.Context(), role, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = admin.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
	})
	return role.Name
}

// awaitAccess waits until the user of the client may do this.
func awaitAccess(t *testing.T, client kubernetes.Interface, ns, verb, group, resource string) {
	t.Helper()
	server.Eventually(t, patience, func(ctx context.Context) error {
		answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: ns, Verb: verb, Group: group, Resource: resource,
			}},
		}, create)
		if err == nil && !answer.Status.Allowed {
			err = notYet("may not %s %s: %s", verb, resource, answer.Status.Reason)
		}
		return err
	})
}

func TestRBAC(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	jane := server.Client(t, s.UserConfig(t, "jane"))

	t.Run("nothing without a binding", func(t *testing.T) {
		_, err := jane.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `User "jane" cannot list resource "configmaps" in API group "" in the namespace "`+ns+`"`)
	})
	bind(t, admin, ns, "jane", "view")
	awaitAccess(t, jane, ns, "list", "", "configmaps")
	t.Run("what the role says", func(t *testing.T) {
		_, err := jane.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
		passes(t, err)
	})
	t.Run("and no more", func(t *testing.T) {
		_, err := jane.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `cannot list resource "secrets"`)
		_, err = jane.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), create)
		refused(t, err, apierrors.IsForbidden, `cannot create resource "configmaps"`)
		_, err = jane.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `in the namespace "default"`)
	})
	t.Run("system:masters has no bypass", func(t *testing.T) {
		master := server.Client(t, s.UserConfig(t, "root", "system:masters"))
		_, err := master.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `User "root" cannot list resource "secrets"`)
	})
}

// TestRBACEscalation shows that nobody hands out what they do not have, unless
// they may escalate or bind.
func TestRBACEscalation(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()

	clerk := server.Client(t, s.UserConfig(t, "clerk"))
	bind(t, admin, ns, "clerk", customRole(t, admin, nil, rbacv1.PolicyRule{
		APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "update", "get"},
	}))
	awaitAccess(t, clerk, ns, "create", rbacv1.GroupName, "rolebindings")

	readSecrets := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "read-secrets"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	}
	viewToSelf := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "self"}, Subjects: subject("clerk"), RoleRef: clusterRole("view")}

	t.Run("a role with more than one has", func(t *testing.T) {
		_, err := clerk.RbacV1().Roles(ns).Create(ctx, readSecrets, create)
		refused(t, err, apierrors.IsForbidden, `user "clerk"`, "is attempting to grant RBAC permissions not currently held", `Resources:["secrets"]`)
	})
	t.Run("a role with what one has", func(t *testing.T) {
		role := readSecrets.DeepCopy()
		role.Name, role.Rules = "same", []rbacv1.PolicyRule{{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"get"}}}
		_, err := clerk.RbacV1().Roles(ns).Create(ctx, role, create)
		passes(t, err)
	})
	t.Run("a binding to more than one has", func(t *testing.T) {
		_, err := clerk.RbacV1().RoleBindings(ns).Create(ctx, viewToSelf, create)
		refused(t, err, apierrors.IsForbidden, "is attempting to grant RBAC permissions not currently held")
	})
	t.Run("a binding with the verb bind", func(t *testing.T) {
		bind(t, admin, ns, "clerk", customRole(t, admin, nil, rbacv1.PolicyRule{
			APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"}, ResourceNames: []string{"view"}, Verbs: []string{"bind"},
		}))
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := clerk.RbacV1().RoleBindings(ns).Create(ctx, viewToSelf, create)
			return err
		})
		other := viewToSelf.DeepCopy()
		other.Name, other.RoleRef = "more", clusterRole("edit")
		_, err := clerk.RbacV1().RoleBindings(ns).Create(ctx, other, create)
		refused(t, err, apierrors.IsForbidden, "is attempting to grant")
	})
	t.Run("a role by a member of system:masters", func(t *testing.T) {
		bind(t, admin, ns, "boss", "admin")
		boss := server.Client(t, s.UserConfig(t, "boss", "system:masters"))
		awaitAccess(t, boss, ns, "create", rbacv1.GroupName, "roles")
		role := readSecrets.DeepCopy()
		role.Name = "too-much"
		role.Rules = []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}
		_, err := boss.RbacV1().Roles(ns).Create(ctx, role, create)
		refused(t, err, apierrors.IsForbidden, "is attempting to grant")
	})
}

// TestImpersonation shows that a permission to take another's name is bound to
// the names it gives, and that the server's own identity is nobody's to take: it
// passes every authorizer, and its UID can be read in the audit log.
func TestImpersonation(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	for _, rule := range []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}},
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"uids"}, Verbs: []string{"impersonate"}},
	} {
		binding, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"}, Subjects: subject("actor"), RoleRef: clusterRole(customRole(t, admin, nil, rule)),
		}, create)
		passes(t, err)
		t.Cleanup(func() {
			_ = admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		})
	}
	bind(t, admin, ns, "role-model", "view")
	as := func(name, uid string, groups ...string) error {
		config := s.UserConfig(t, "actor")
		config.Impersonate = rest.ImpersonationConfig{UserName: name, UID: uid, Groups: groups}
		_, err := server.Client(t, config).CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		return err
	}

	t.Run("a name one may take", func(t *testing.T) {
		server.Eventually(t, patience, func(context.Context) error { return as("role-model", "") })
	})
	t.Run("a group one may not", func(t *testing.T) {
		refused(t, as("role-model", "", "gatehouse:admins"), apierrors.IsForbidden, `cannot impersonate resource "groups"`)
	})
	t.Run("the server's own", func(t *testing.T) {
		uids := map[string]bool{"": true}
		for _, e := range events(t, s, `"username":"system:apiserver"`) {
			uids[e.User.UID] = true
		}
		for uid := range uids {
			refused(t, as("system:apiserver", uid), apierrors.IsForbidden)
		}
	})
}

// TestRBACAggregation shows the controller that fills view, edit and admin.
func TestRBACAggregation(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	for _, name := range []string{"view", "edit", "admin"} {
		server.Eventually(t, patience, func(ctx context.Context) error {
			role, err := admin.RbacV1().ClusterRoles().Get(ctx, name, metav1.GetOptions{})
			if err == nil && len(role.Rules) == 0 {
				err = notYet("role %s has no rules", name)
			}
			return err
		})
	}
	t.Run("a role of one's own in view", func(t *testing.T) {
		rule := rbacv1.PolicyRule{APIGroups: []string{"example.org"}, Resources: []string{"widgets"}, Verbs: []string{"get"}}
		customRole(t, admin, map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}, rule)
		server.Eventually(t, patience, func(ctx context.Context) error {
			role, err := admin.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
			if err == nil && !slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.APIGroups, "example.org") }) {
				err = notYet("role view has not taken it up")
			}
			return err
		})
	})
	t.Run("an aggregated role of one's own", func(t *testing.T) {
		customRole(t, admin, map[string]string{"part-of": "mine"}, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}})
		whole := &rbacv1.ClusterRole{
			ObjectMeta:      metav1.ObjectMeta{GenerateName: "whole-"},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"part-of": "mine"}}}},
		}
		whole, err := admin.RbacV1().ClusterRoles().Create(t.Context(), whole, create)
		passes(t, err)
		t.Cleanup(func() {
			_ = admin.RbacV1().ClusterRoles().Delete(context.Background(), whole.Name, metav1.DeleteOptions{})
		})
		server.Eventually(t, patience, func(ctx context.Context) error {
			role, err := admin.RbacV1().ClusterRoles().Get(ctx, whole.Name, metav1.GetOptions{})
			if err == nil && (len(role.Rules) != 1 || role.Rules[0].Resources[0] != "pods") {
				err = notYet("role has %v", role.Rules)
			}
			return err
		})
	})
}
