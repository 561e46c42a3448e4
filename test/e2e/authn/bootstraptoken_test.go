package authn

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const kubeletSigner = "kubernetes.io/kube-apiserver-client-kubelet"

// newBootstrapToken makes the Secret of a bootstrap token, with some of its data
// changed or, where the value is empty, left out.
func (g *gatehouse) newBootstrapToken(t testing.TB, id string, changed map[string]string) string {
	t.Helper()
	const secret = "0123456789abcdef"
	data := map[string]string{
		"token-id": id, "token-secret": secret,
		"expiration":                     time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		"usage-bootstrap-authentication": "true",
		"auth-extra-groups":              "system:bootstrappers:workers",
	}
	for name, value := range changed {
		if data[name] = value; value == "" {
			delete(data, name)
		}
	}
	_, err := g.Admin(t).CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken, StringData: data,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token := id + "." + secret
	present(token)
	return token
}

// bindGroup binds a group to a ClusterRole.
func (g *gatehouse) bindGroup(t testing.TB, group, role string) {
	t.Helper()
	_, err := g.Admin(t).RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: uniqueName("binding")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBootstrapToken(t *testing.T) {
	t.Parallel()
	g := shared()
	good := g.newBootstrapToken(t, "aaaaaa", nil)
	soonPassesAs(t, soon, g.bearer(t, good), "system:bootstrap:aaaaaa", "system:bootstrappers", "system:bootstrappers:workers")

	for _, c := range []struct {
		name, id string
		changed  map[string]string
	}{
		{"expired", "bbbbbb", map[string]string{"expiration": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)}},
		{"not for authentication", "cccccc", map[string]string{"usage-bootstrap-authentication": ""}},
		{"for signing alone", "dddddd", map[string]string{"usage-bootstrap-authentication": "", "usage-bootstrap-signing": "true"}},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			g.refused(t, g.bearer(t, g.newBootstrapToken(t, c.id, c.changed)), "")
		})
	}
	t.Run("refused: the secret half is wrong", func(t *testing.T) {
		g.refused(t, g.bearer(t, strings.Replace(good, "0123", "3210", 1)), "")
	})
	t.Run("refused: its Secret is deleted", func(t *testing.T) {
		if err := g.Admin(t).CoreV1().Secrets("kube-system").Delete(t.Context(), "bootstrap-token-aaaaaa", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		soonRefused(t, afterCache, g.bearer(t, good))
	})
}

// A machine joins: it has a bootstrap token, asks for a certificate, is
// approved by the controller, and is a node from then on.
func TestBootstrapTokenToNode(t *testing.T) {
	g := shared()
	g.bindGroup(t, "system:bootstrappers", "system:node-bootstrapper")
	g.bindGroup(t, "system:bootstrappers", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
	machine := g.bearer(t, g.newBootstrapToken(t, "eeeeee", nil))
	soonPassesAs(t, soon, machine, "system:bootstrap:eeeeee")
	node := identity{user: "system:node:worker-1", groups: []string{"system:nodes"}}

	var request *certificateRequest
	server.Eventually(t, soon, func(context.Context) (err error) { // the bindings take a moment
		request, err = requestCertificate(t, machine, kubeletSigner, node)
		return err
	})
	kubelet := g.certificate(t, g.signed(t, request))
	passesAs(t, kubelet, "system:node:worker-1", "system:nodes")

	nodes := server.Client(t, kubelet).CoreV1().Nodes()
	if _, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the node cannot register itself: %v", err)
	}
	if _, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-2"}}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("registering another node: want status 403, have %v", err)
	}
	if _, err := server.Client(t, machine).CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing nodes with the bootstrap token: want status 403, have %v", err)
	}
}
