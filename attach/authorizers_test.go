package attach

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// TestGuardsComeBeforeRoles asks what Run asks, over a cluster of a test.
func TestGuardsComeBeforeRoles(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"tier": "prod"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "pods"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"pods"}}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "pods"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "pods"},
			Subjects: []rbacv1.Subject{{Kind: "Group", APIGroup: rbacv1.GroupName, Name: "devs"}}},
	)
	objects := watchedObjects()
	decide, _, checks, err := newAuthorizer(t.Context(), client, objects, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		eventually(t, c.Name, func() bool { return c.Ready() == nil })
	}
	ask := func(verb, namespace string) (authorizer.Decision, string) {
		decision, reason, err := decide.Authorize(t.Context(), authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: "jane", Groups: []string{"devs"}}, Verb: verb, Namespace: namespace, APIVersion: "v1", Resource: "pods", ResourceRequest: true})
		if err != nil {
			t.Error(err)
		}
		return decision, reason
	}
	if d, _ := ask("delete", "shop"); d != authorizer.DecisionAllow {
		t.Errorf("without a Guard: %v", d)
	}
	if _, err := objects.Resource(v1alpha1.SchemeGroupVersion.WithResource("guards")).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gatehouse.io/v1alpha1", "kind": "Guard", "metadata": map[string]any{"name": "frozen"},
		"spec": map[string]any{"subjects": map[string]any{"groups": []any{"devs"}}, "verbs": []any{"delete"}, "resources": []any{"pods"}, "reason": "production is frozen",
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"tier": "prod"}}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Guard denies", func() bool {
		d, reason := ask("delete", "shop")
		return d == authorizer.DecisionDeny && strings.Contains(reason, "production is frozen")
	})
	for _, c := range []struct{ verb, namespace string }{{"list", "shop"}, {"delete", "lab"}} {
		if d, reason := ask(c.verb, c.namespace); d != authorizer.DecisionAllow {
			t.Errorf("%s in %s: %v %s", c.verb, c.namespace, d, reason)
		}
	}
}

// TestEndedGrantsGo shows that attach takes away what has ended.
func TestEndedGrantsGo(t *testing.T) {
	client := fake.NewClientset(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "shop",
		Annotations: map[string]string{v1alpha1.AnnotationExpiresAt: "2020-01-01T00:00:00Z"}}})
	if _, _, _, err := newAuthorizer(t.Context(), client, watchedObjects(), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the binding is deleted", func() bool {
		_, err := client.RbacV1().RoleBindings("shop").Get(t.Context(), "b", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
