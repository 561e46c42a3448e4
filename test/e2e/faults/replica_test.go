package faults

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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// joined starts a replica that has the keys of another, by the folders pki and
// secret copied before its first start.
func joined(t *testing.T, first *server.Server, c *cluster) *server.Server {
	t.Helper()
	dir := filepath.Join(folder(t), "d")
	for _, sub := range []string{"pki", "secret"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(copyOf(t, first.Path(sub)), filepath.Join(dir, sub)); err != nil {
			t.Fatal(err)
		}
	}
	return server.Start(t, server.Options{Dir: dir, Args: c.flags()})
}

// Replicas are one API: what one has written or issued is good at the other, and
// one of them runs the controllers, which pass on when it stops or dies.
func TestReplicas(t *testing.T) {
	ctx := t.Context()
	c := startCluster(t)
	a := server.Start(t, server.Options{Args: c.flags()})
	b := joined(t, a, c)

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: map[string][]byte{"k": []byte("v")}}
	if _, err := a.Admin(t).CoreV1().Secrets("default").Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Admin(t).CoreV1().Secrets("default").Get(ctx, "s", metav1.GetOptions{}); err != nil || string(got.Data["k"]) != "v" {
		t.Errorf("a Secret of one replica reads %v at the other, error %v", got, err)
	}
	var token string
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		answer, err := a.Admin(t).CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err == nil {
			token = answer.Status.Token
		}
		return err
	})
	jane := a.UserConfig(t, "jane")
	jane.Host = b.URL
	for _, client := range []struct{ what, user string }{{"token", "system:serviceaccount:default:default"}, {"certificate", "jane"}} {
		config := jane
		if client.what == "token" {
			config = b.TokenConfig(t, token)
		}
		review, err := server.Client(t, config).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil || review.Status.UserInfo.Username != client.user {
			t.Errorf("a %s of one replica is %v at the other, error %v", client.what, review, err)
		}
	}

	// The holder stops: it lets go, and the other need not wait for the lease to end.
	leader, other := a, b
	if holder(t, a) == b.PID() {
		leader, other = b, a
	}
	if code := leader.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	begun := time.Now()
	holds(t, other)
	within(t, 10*time.Second, "taking over after a stop", begun)
	namespaceGoes(t, other, "after-a-stop")

	// The holder dies: the other takes over when the lease has ended.
	leader, other = other, leader.Restart(t)
	leader.Kill()
	begun = time.Now()
	holds(t, other)
	within(t, 25*time.Second, "taking over after a kill", begun)
	namespaceGoes(t, other, "after-a-kill")
}

// A replica with keys of its own would answer, and be wrong in everything: it
// cannot read a Secret, and its controllers would publish another CA.
func TestReplicaWithOtherKeys(t *testing.T) {
	c := startCluster(t)
	a := server.Start(t, server.Options{Args: c.flags()})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Data: map[string][]byte{"k": []byte("v")}}
	if _, err := a.Admin(t).CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	refuses(t, server.Options{Args: c.flags()}, "pki", "secret")

	// With the encryption key alone it could read, and speak for another cluster.
	dir := filepath.Join(folder(t), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copyOf(t, a.Path("secret")), filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	refuses(t, server.Options{Dir: dir, Args: c.flags()}, "another cluster CA", "pki", "secret")
}

// holder is the process that holds the controllers' lease, once one does.
func holder(t *testing.T, s *server.Server) (pid int) {
	t.Helper()
	server.Eventually(t, 60*time.Second, func(ctx context.Context) error {
		lease, err := s.Admin(t).CoordinationV1().Leases("kube-system").Get(ctx, "gatehouse-controllers", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			return errors.New("nobody holds the lease")
		}
		_, id, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
		_, err = fmt.Sscan(id, &pid)
		return err
	})
	return pid
}

func holds(t *testing.T, s *server.Server) {
	t.Helper()
	server.Eventually(t, 60*time.Second, func(context.Context) error {
		if pid := holder(t, s); pid != s.PID() {
			return fmt.Errorf("process %d holds the lease, not %d", pid, s.PID())
		}
		return nil
	})
}
