package authn

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const admins = "gatehouse:admins"

// The administrator is an ordinary identity: its power is one binding, which can
// be taken away and stays away.
func TestAdministrator(t *testing.T) {
	t.Parallel()
	s := server.Start(t, server.Options{})
	cert := certificateOf(t, s.AdminConfig(t))
	if cert.Subject.CommonName != "gatehouse:admin" || !slices.Equal(cert.Subject.Organization, []string{admins}) {
		t.Errorf("the administrator's certificate is for %s, want gatehouse:admin in %s alone", cert.Subject, admins)
	}
	if life := time.Until(cert.NotAfter); life > 7*24*time.Hour || life < 24*time.Hour {
		t.Errorf("it is good for %v, want days", life)
	}
	passesAs(t, s.AdminConfig(t), "gatehouse:admin", admins)
	secrets := func(s *server.Server) error {
		_, err := s.Admin(t).CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := secrets(s); err != nil {
		t.Fatalf("listing secrets: %v", err)
	}

	rbac := s.Admin(t).RbacV1().ClusterRoleBindings()
	_, err := rbac.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "auditors"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "auditors"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := rbac.Delete(t.Context(), admins, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	server.Eventually(t, soon, func(context.Context) error {
		if err := secrets(s); !apierrors.IsForbidden(err) {
			return fmt.Errorf("listing secrets without the binding: want status 403, have %w", err)
		}
		return nil
	})
	passesAs(t, s.AdminConfig(t), "gatehouse:admin", admins)

	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	s = s.Restart(t)
	if err := secrets(s); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets after a restart: want status 403, have %v", err)
	}
	auditor := server.Client(t, s.UserConfig(t, "ada", "auditors"))
	if _, err := auditor.RbacV1().ClusterRoleBindings().Get(t.Context(), admins, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the binding after a restart: want status 404, have %v", err)
	}
	if again := certificateOf(t, s.AdminConfig(t)); !again.Equal(cert) {
		t.Error("the restart has issued another certificate")
	}
}

func TestAdminKubeconfig(t *testing.T) {
	g := shared()
	issue := func(t *testing.T, args ...string) *rest.Config {
		out, errs, code := server.Command(t, append([]string{"admin", "kubeconfig", "--data-dir", g.Dir}, args...)...)
		if code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		config, err := clientcmd.RESTConfigFromKubeConfig([]byte(out))
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	t.Run("it is an identity, and nothing more", func(t *testing.T) {
		config := issue(t, "--user", "julia", "--group", "shop-keepers", "--group", "night-shift", "--ttl", "1h")
		if life := time.Until(certificateOf(t, config).NotAfter); life > time.Hour || life < 50*time.Minute {
			t.Errorf("good for %v, want an hour", life)
		}
		passesAs(t, config, "julia", "shop-keepers", "night-shift")
		pods := server.Client(t, config).CoreV1().Pods("default")
		if _, err := pods.List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing pods: want status 403, have %v", err)
		}
		g.bindGroup(t, "shop-keepers", "view")
		server.Eventually(t, soon, func(ctx context.Context) error {
			_, err := pods.List(ctx, metav1.ListOptions{})
			return err
		})
		if _, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("creating a pod as a viewer: want status 403, have %v", err)
		}
	})
	t.Run("it ends with its time to live, on an open connection too", func(t *testing.T) {
		config := issue(t, "--user", "julia", "--ttl", "3s")
		live := g.connect(t, config)
		time.Sleep(time.Until(certificateOf(t, config).NotAfter.Add(time.Second)))
		if status, info := live.ask(t); status != 401 || info.Conn != live.conn {
			t.Errorf("status %d, on the same connection: %v; want 401, true", status, info.Conn == live.conn)
		}
	})
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"no user", nil, "--user is missing"},
		{"system:masters", []string{"--user", "julia", "--group", "system:masters"}, "system:masters"},
		{"a time to live that is over", []string{"--user", "julia", "--ttl", "-1h"}, "TTL"},
		{"a time to live of years", []string{"--user", "julia", "--ttl", "90000h"}, "TTL"},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			out, errs, code := server.Command(t, append([]string{"admin", "kubeconfig", "--data-dir", g.Dir}, c.args...)...)
			if code != 2 || out != "" || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want 2, nothing, %q", code, out, errs, c.says)
			}
		})
	}
}

// certificateOf is the client certificate of a configuration.
func certificateOf(t testing.TB, config *rest.Config) *x509.Certificate {
	t.Helper()
	certs, err := certutil.ParseCertsPEM(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}
