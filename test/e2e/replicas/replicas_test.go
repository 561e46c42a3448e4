package replicas

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// second starts another replica. Replicas share one cluster CA, one service
// account key and one encryption key: the folders are copied before its first
// start.
func second(t *testing.T, first *server.Server, c *cluster) *server.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, folder := range []string{"pki", "secret"} {
		to := filepath.Join(dir, "d", folder)
		if err := os.CopyFS(to, os.DirFS(first.Path(folder))); err != nil {
			t.Fatal(err)
		}
		err := filepath.WalkDir(filepath.Join(dir, "d"), func(path string, d os.DirEntry, err error) error {
			if d.IsDir() {
				return errors.Join(err, os.Chmod(path, 0o700))
			}
			return errors.Join(err, os.Chmod(path, 0o600))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return server.Start(t, server.Options{Dir: filepath.Join(dir, "d"), Args: c.flags()})
}

func TestReplicas(t *testing.T) {
	ctx := context.Background()
	c := startCluster(t)
	a := server.Start(t, server.Options{Args: c.flags()})
	b := second(t, a, c)

	// What is written at one is there at the other.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default"}, Data: map[string][]byte{"k": []byte("v")}}
	if _, err := a.Admin(t).CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Admin(t).CoreV1().Secrets("default").Get(ctx, "s", metav1.GetOptions{}); err != nil || string(got.Data["k"]) != "v" {
		t.Errorf("the Secret reads %v at the other replica, error %v", got, err)
	}

	// A token and a certificate of one are good at the other.
	var token string
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		answer, err := a.Admin(t).CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			token = answer.Status.Token
		}
		return err
	})
	config := b.TokenConfig(t, token)
	review, err := server.Client(t, config).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username != "system:serviceaccount:default:default" {
		t.Errorf("a token of one replica is %v at the other, error %v", review, err)
	}
	jane := a.UserConfig(t, "jane")
	jane.Host = b.URL
	if _, err := server.Client(t, jane).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}); err != nil {
		t.Errorf("a certificate of one replica is refused at the other: %v", err)
	}

	// One of them runs the controllers; when it dies the other takes over.
	leader := holder(t, b)
	alive := b
	switch {
	case strings.HasSuffix(leader, fmt.Sprintf("_%d", a.PID())):
		a.Kill()
	case strings.HasSuffix(leader, fmt.Sprintf("_%d", b.PID())):
		b.Kill()
		alive = a
	default:
		t.Fatalf("%q runs the controllers, neither replica", leader)
	}
	client := alive.Admin(t).CoreV1().Namespaces()
	if _, err := client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(ctx, "gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	server.Eventually(t, 90*time.Second, func(ctx context.Context) error {
		_, err := client.Get(ctx, "gone", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the namespace is still there"), err)
	})
}

// holder is who holds the controllers' lease, once somebody does.
func holder(t *testing.T, s *server.Server) string {
	t.Helper()
	var id string
	server.Eventually(t, 60*time.Second, func(ctx context.Context) error {
		lease, err := s.Admin(t).CoordinationV1().Leases("kube-system").Get(ctx, "gatehouse-controllers", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			return errors.New("nobody holds the lease")
		}
		id = *lease.Spec.HolderIdentity
		return nil
	})
	return id
}

// A server outlives its etcd: it says that it is not ready, and why, and goes on
// where it was when the etcd is back.
func TestEtcdGoesAndComesBack(t *testing.T) {
	c := startCluster(t)
	s := server.Start(t, server.Options{Args: c.flags()})
	maps := s.Admin(t).CoreV1().ConfigMaps("default")
	put := func(ctx context.Context, name string) error {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	}
	if err := put(context.Background(), "before"); err != nil {
		t.Fatal(err)
	}
	health := func(ctx context.Context, path string) (string, error) {
		body, err := s.Admin(t).Discovery().RESTClient().Get().AbsPath(path).Param("verbose", "true").DoRaw(ctx)
		return string(body), err
	}

	c.line.setCut(true)
	server.Eventually(t, 60*time.Second, func(ctx context.Context) error {
		body, err := health(ctx, "/readyz")
		if err == nil || !strings.Contains(body, "[-]etcd") {
			return fmt.Errorf("readiness says %v: %s", err, body)
		}
		return nil
	})
	if err := put(t.Context(), "meanwhile"); err == nil {
		t.Error("a write is acknowledged without a store")
	}

	c.line.setCut(false)
	server.Eventually(t, 90*time.Second, func(ctx context.Context) error {
		_, err := health(ctx, "/readyz")
		return err
	})
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error { return put(ctx, "after") })
	if _, err := maps.Get(context.Background(), "before", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}
