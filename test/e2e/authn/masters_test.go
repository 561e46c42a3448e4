package authn

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// The group system:masters has what a binding gives it, and none does.
func TestSystemMasters(t *testing.T) {
	g := shared()
	impersonated := g.AdminConfig(t)
	impersonated.Impersonate = rest.ImpersonationConfig{UserName: "max", Groups: []string{"system:masters"}}
	for name, config := range map[string]*rest.Config{
		"by certificate":   g.user(t, "max", "system:masters"),
		"by front proxy":   g.frontProxy(t, headers{user: "max", groups: []string{"system:masters"}}),
		"by impersonation": impersonated,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := isTakenFor(t.Context(), t, config, "max", "system:masters"); err != nil {
				t.Error(err)
			}
			client := server.Client(t, config)
			if _, err := client.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
				t.Errorf("listing secrets: want status 403, have %v", err)
			}
			if may(t, client, "*", "*", "*") {
				t.Error("a SelfSubjectAccessReview says that it may do everything")
			}
			if name := g.flowSchema(t, config); name == "exempt" {
				t.Error("its requests are exempt from flow control")
			}
		})
	}
	t.Run("what a binding gives it, it has", func(t *testing.T) {
		g.bindGroup(t, "system:masters", "system:node-bootstrapper")
		client := server.Client(t, g.user(t, "max", "system:masters"))
		server.Eventually(t, soon, func(ctx context.Context) error {
			_, err := client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
			return err
		})
		if !may(t, client, "create", "certificates.k8s.io", "certificatesigningrequests") {
			t.Error("a SelfSubjectAccessReview says that it may not")
		}
	})
}

// Upstream's escalation check lets system:masters write any role whatever the
// authorizers say. Here a member who may create roles may create none above its own.
func TestSystemMastersEscalation(t *testing.T) {
	g := shared()
	roles := []string{"clusterroles", "clusterrolebindings"}
	createRoles := []rbacv1.PolicyRule{{Verbs: []string{"create"}, APIGroups: []string{rbacv1.GroupName}, Resources: roles}}
	g.createRole(t, "role-writer", createRoles)
	g.bindGroup(t, "role-writers", "role-writer")
	client := server.Client(t, g.user(t, "max", "system:masters", "role-writers"))

	// Once the binding is in force it may create a role of its own permissions.
	server.Eventually(t, soon, func(ctx context.Context) error {
		_, err := client.RbacV1().ClusterRoles().Create(ctx, clusterRole("no-more-than-mine", createRoles), metav1.CreateOptions{})
		return err
	})
	everything := []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(), clusterRole("everything", everything), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
		t.Errorf("creating a role above its own: %v", err)
	}
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "max-is-all"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "max"}},
	}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
		t.Errorf("binding itself to cluster-admin: %v", err)
	}
}

// With the setting the group is what it is in a stock Kubernetes.
func TestSystemMastersBypass(t *testing.T) {
	g := lenient()
	client := server.Client(t, g.user(t, "max", "system:masters"))
	if _, err := client.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("listing secrets: %v", err)
	}
	if !may(t, client, "*", "*", "*") {
		t.Error("a SelfSubjectAccessReview says that it may not do everything")
	}
	if name := g.flowSchema(t, g.user(t, "max", "system:masters")); name != "exempt" {
		t.Errorf("its requests are under the FlowSchema %s, want exempt", name)
	}
	everything := []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), clusterRole("everything", everything), metav1.CreateOptions{}); err != nil {
		t.Errorf("creating a role: %v", err)
	}
	other := server.Client(t, g.user(t, "max", "system:master"))
	if _, err := other.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets as another group: want status 403, have %v", err)
	}
}

func clusterRole(name string, rules []rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func (g *gatehouse) createRole(t testing.TB, name string, rules []rbacv1.PolicyRule) {
	t.Helper()
	if _, err := g.Admin(t).RbacV1().ClusterRoles().Create(t.Context(), clusterRole(name, rules), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func may(t testing.TB, client kubernetes.Interface, verb, group, resource string) bool {
	t.Helper()
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// flowSchema is the name of the FlowSchema that the client's requests are under.
func (g *gatehouse) flowSchema(t testing.TB, config *rest.Config) string {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Get(g.URL + "/version")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	schemas, err := server.Client(t, g.AdminConfig(t)).FlowcontrolV1().FlowSchemas().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range schemas.Items {
		if string(schema.UID) == resp.Header.Get(flowcontrolv1.ResponseHeaderMatchedFlowSchemaUID) {
			return schema.Name
		}
	}
	t.Fatalf("the response to %s names no FlowSchema: %s", resp.Request.URL, resp.Status)
	return ""
}
