package attach

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"
)

func secretIn(client *fake.Clientset) secretStore {
	return secretStore{secrets: client.CoreV1().Secrets("ns"), namespace: "ns", name: "ca"}
}

// TestReplicasShareOneCA starts many at once over one store.
func TestReplicasShareOneCA(t *testing.T) {
	for name, store := range map[string]authorityStore{"Secret": secretIn(fake.NewClientset()), "folder": dirStore{filepath.Join(t.TempDir(), "d")}} {
		var wg sync.WaitGroup
		found := make([]*authority, 16)
		for i := range found {
			wg.Go(func() {
				var err error
				if found[i], err = loadAuthority(context.Background(), store, true, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, a := range found {
			if a == nil || !a.cert.Equal(found[0].cert) {
				t.Errorf("%s: two replicas have two CAs", name)
			}
		}
	}
}

func TestACAThatCannotBeUsedIsNamed(t *testing.T) {
	now := time.Now()
	certPEM, keyPEM, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, _ := newAuthority(now)
	ca, _ := parseAuthority(certPEM, keyPEM, now)
	leaf, err := ca.issue([]string{"x"}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		cert, key []byte
		at        time.Time
		says      string
	}{
		{"empty", nil, nil, now, "no certificate with its key"},
		{"another key", certPEM, otherKey, now, "no certificate with its key"},
		{"no key", certPEM, nil, now, "no certificate with its key"},
		{"a leaf", encodeCertificate(leaf.Leaf), keyOf(t, leaf.PrivateKey), now, "no certificate authority"},
		{"expired", certPEM, keyPEM, now.AddDate(11, 0, 0), "it is valid from"},
		{"not yet valid", certPEM, keyPEM, now.AddDate(-1, 0, 0), "it is valid from"},
	} {
		store := secretIn(fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ca"}, Data: map[string][]byte{"tls.crt": c.cert, "tls.key": c.key}}))
		_, err := loadAuthority(context.Background(), store, true, c.at)
		problem, ok := errors.AsType[*StartError](err)
		if !ok || !strings.Contains(err.Error(), "Secret ns/ca") || !strings.Contains(err.Error(), c.says) || problem.Hint() == "" {
			t.Errorf("%s: got %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: the error shows the key", c.name)
		}
	}
}

func keyOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return toPEM("PRIVATE KEY", der)
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := loadAuthority(context.Background(), dirStore{dir}, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "attach-ca.pem")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadAuthority(context.Background(), dirStore{dir}, true, time.Now()); err == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("got %v", err)
	}
}

func TestRenewal(t *testing.T) {
	client, clock := fake.NewClientset(), testclock.NewFakeClock(time.Now())
	g, err := newGenerated(t.Context(), secretIn(client), []string{"localhost"}, clock)
	if err != nil {
		t.Fatal(err)
	}
	first := g.current.Load()
	renew := func(want string) {
		t.Helper()
		before := g.current.Load()
		err := g.renew(t.Context(), false)
		switch after := g.current.Load(); {
		case want == "kept" && (err != nil || after != before),
			want == "renewed" && (err != nil || after == before),
			want == "failed" && (err == nil || after != before):
			t.Errorf("want it %s: %v", want, err)
		}
	}
	renew("kept")
	clock.Step(leafLifetime*2/3 - time.Minute)
	renew("kept")
	clock.Step(2 * time.Minute)
	renew("renewed")
	if second := g.current.Load(); !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("it lasts no longer")
	}

	// A CA that is gone is not made again while API servers believe it.
	if err := client.CoreV1().Secrets("ns").Delete(t.Context(), "ca", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	renew("failed")

	// One that an operator puts in its place counts.
	certPEM, keyPEM, err := newAuthority(clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := secretIn(client).create(t.Context(), certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	renew("renewed")
	ca, err := parseAuthority(certPEM, keyPEM, clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.current.Load().Leaf.CheckSignatureFrom(ca.cert); err != nil {
		t.Error(err)
	}
}

// TestAClusterThatIsAwayIsWaitedFor, but not one that refuses.
func TestAClusterThatIsAwayIsWaitedFor(t *testing.T) {
	client, clock := fake.NewClientset(), testclock.NewFakeClock(time.Now())
	var mu sync.Mutex
	var answer error = errors.New("connection refused")
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		return answer != nil, nil, answer
	})
	made := make(chan error, 1)
	go func() {
		_, err := newGenerated(context.Background(), secretIn(client), []string{"localhost"}, clock)
		made <- err
	}()
	for range 3 {
		for !clock.HasWaiters() {
			time.Sleep(time.Millisecond)
		}
		clock.Step(time.Second)
	}
	mu.Lock()
	answer = nil
	mu.Unlock()
	for done := false; !done; {
		select {
		case err := <-made:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(time.Millisecond):
			clock.Step(time.Second)
		}
	}
	answer = apierrors.NewForbidden(corev1.Resource("secrets"), "ca", errors.New("no"))
	_, err := newGenerated(context.Background(), secretIn(client), []string{"localhost"}, clock)
	if problem, ok := errors.AsType[*StartError](err); !ok || !strings.Contains(problem.Hint(), "manifests") {
		t.Errorf("got %v", err)
	}
}

func TestServingCA(t *testing.T) {
	client := fake.NewClientset()
	g, err := newGenerated(t.Context(), secretStore{secrets: client.CoreV1().Secrets("ns"), namespace: "ns", name: "gatehouse-attach-ca"}, []string{"localhost"}, testclock.NewFakeClock(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	opts := defaults().TLS
	ca, err := ServingCA(t.Context(), opts, client, "ns")
	if err != nil || !bytes.Contains(ca, []byte("BEGIN CERTIFICATE")) || bytes.Contains(ca, []byte("PRIVATE")) {
		t.Fatalf("got %v %s", err, ca)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	if _, err := g.current.Load().Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost"}); err != nil {
		t.Error(err)
	}
	if ca, err := ServingCA(t.Context(), opts, client, "elsewhere"); ca != nil || err != nil {
		t.Errorf("got %s %v", ca, err)
	}
}
