package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func TestEtcdHangs(t *testing.T) { testOutage(t, (*line).freeze) }

func TestEtcdIsGone(t *testing.T) { testOutage(t, (*line).cut) }

// An etcd that is away longer than the controllers' lease lasts leaves the
// server alive and unready. When it answers again so does the server, and the
// controllers are at work.
func testOutage(t *testing.T, interrupt func(*line, bool)) {
	t.Parallel() // nearly all of it is waiting
	c := startCluster(t)
	s := server.Start(t, server.Options{Args: c.flags()})
	maps := s.Admin(t).CoreV1().ConfigMaps("default")
	if _, err := maps.Create(t.Context(), configMap("before"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	namespaceGoes(t, s, "one")

	interrupt(c.line, true)
	since := time.Now()
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		body, err := health(ctx, t, s, "/readyz")
		if err == nil || !strings.Contains(body, "[-]etcd") {
			return fmt.Errorf("/readyz says %v: %s", err, body)
		}
		return nil
	})
	t.Logf("unready after %.1f s", time.Since(since).Seconds())
	// Upstream's rule: an etcd that is away is a reason to send no requests, and
	// after a while to start anew; the process itself is well.
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	begun := time.Now()
	if _, err := maps.Create(ctx, configMap("meanwhile"), metav1.CreateOptions{}); err == nil {
		t.Error("a write is acknowledged without a store")
	}
	within(t, 16*time.Second, "a refusal", begun)
	time.Sleep(time.Until(since.Add(20 * time.Second))) // longer than the lease's 15 s

	interrupt(c.line, false)
	mended := time.Now()
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := health(ctx, t, s, "/readyz")
		return err
	})
	t.Logf("ready again after %.1f s", time.Since(mended).Seconds())
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := maps.Create(ctx, configMap("after"), metav1.CreateOptions{})
		return err
	})
	if _, err := maps.Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	namespaceGoes(t, s, "two")
	noTrace(t, s.Log())
}

// A short hang goes by unnoticed but for its length.
func TestEtcdIsSlow(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	s := server.Start(t, server.Options{Args: c.flags()})
	maps := s.Admin(t).CoreV1().ConfigMaps("default")
	for i := range 3 {
		c.line.freeze(true)
		time.AfterFunc(1500*time.Millisecond, func() { c.line.freeze(false) })
		if _, err := maps.Create(t.Context(), configMap(fmt.Sprint("slow-", i)), metav1.CreateOptions{}); err != nil {
			t.Errorf("a write that took etcd 1.5 s is refused: %v", err)
		}
	}
	if _, err := health(t.Context(), t, s, "/readyz"); err != nil {
		t.Error(err)
	}
}

func health(ctx context.Context, t *testing.T, s *server.Server, path string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	body, err := s.Admin(t).Discovery().RESTClient().Get().AbsPath(path).Param("verbose", "true").MaxRetries(0).DoRaw(ctx)
	return string(body), err
}

// namespaceGoes makes and deletes a namespace with something in it: the
// controllers are at work when it is gone.
func namespaceGoes(t *testing.T, s *server.Server, name string) {
	t.Helper()
	client := s.Admin(t).CoreV1()
	if _, err := client.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ConfigMaps(name).Create(t.Context(), configMap("c"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	server.Eventually(t, 60*time.Second, func(ctx context.Context) error {
		_, err := client.Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the namespace is still there"), err)
	})
}
