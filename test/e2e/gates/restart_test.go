package gates

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestRestart shows a server without controllers, and that another one on the
// same directory, with them, takes up everything the first has left.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(shortDir(t), "d")
	s := server.Start(t, server.Options{Dir: dir, Args: []string{"--controllers="}})
	admin := s.Admin(t)
	ctx := t.Context()
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(s.Path(name))
		passes(t, err)
		return string(data)
	}

	_, err := admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, create)
	passes(t, err)
	_, err = admin.CoreV1().Secrets("shop").Create(ctx, opaque("s", map[string]string{"k": "kept"}), create)
	passes(t, err)
	_, err = admin.CoreV1().ServiceAccounts("shop").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "bot"}}, create)
	passes(t, err)
	token, err := admin.CoreV1().ServiceAccounts("shop").CreateToken(ctx, "bot", &authenticationv1.TokenRequest{}, create)
	passes(t, err)
	jane := s.UserConfig(t, "jane")
	passes(t, admin.RbacV1().ClusterRoleBindings().Delete(ctx, "system:basic-user", metav1.DeleteOptions{}))
	unchanged := map[string]string{}
	for _, name := range []string{"pki/cluster-ca.crt", "pki/service-account.key", "secret/encryption.yaml", "admin.kubeconfig"} {
		unchanged[name] = read(name)
	}

	t.Run("without controllers", func(t *testing.T) {
		time.Sleep(2 * time.Second) // with them it takes a tenth of that
		for _, ns := range []string{"shop", "default"} {
			_, err := admin.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
			refused(t, err, apierrors.IsNotFound)
		}
	})
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code is %d", code)
	}
	s = server.Start(t, server.Options{Dir: dir, Listen: s.URL[len("https://"):]})
	admin = s.Admin(t)

	t.Run("same keys", func(t *testing.T) {
		for name, text := range unchanged {
			if read(name) != text {
				t.Errorf("%s has changed", name)
			}
		}
	})
	t.Run("same objects", func(t *testing.T) {
		got, err := admin.CoreV1().Secrets("shop").Get(ctx, "s", metav1.GetOptions{})
		passes(t, err)
		if string(got.Data["k"]) != "kept" {
			t.Errorf("secret is %v", got.Data)
		}
	})
	t.Run("same identities", func(t *testing.T) {
		_, err := server.Client(t, s.TokenConfig(t, token.Status.Token)).CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `User "system:serviceaccount:shop:bot" cannot list`)
		_, err = server.Client(t, jane).CoreV1().Pods("shop").List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, `User "jane" cannot list`)
	})
	t.Run("the controllers catch up", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := admin.CoreV1().ServiceAccounts("shop").Get(ctx, "default", metav1.GetOptions{})
			return err
		})
	})
	t.Run("bootstrap roles are made whole again", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := admin.RbacV1().ClusterRoleBindings().Get(ctx, "system:basic-user", metav1.GetOptions{})
			return err
		})
	})
	t.Run("the administrator's binding is not", func(t *testing.T) {
		passes(t, admin.RbacV1().ClusterRoleBindings().Delete(ctx, "gatehouse:admins", metav1.DeleteOptions{}))
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().Secrets("shop").Get(ctx, "s", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
				return notYet("the administrator still has power: %v", err)
			}
			return nil
		})
		s.Stop(t)
		s = s.Restart(t)
		_, err := s.Admin(t).CoreV1().Secrets("shop").Get(ctx, "s", metav1.GetOptions{})
		refused(t, err, apierrors.IsForbidden, `User "gatehouse:admin" cannot get resource "secrets"`)
	})
}
