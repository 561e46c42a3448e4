package gates

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// etcd opens a client to the server's own etcd, with its certificate.
func etcd(t *testing.T, s *server.Server) *clientv3.Client {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(s.Path("pki", "etcd-client.crt"), s.Path("pki", "etcd-client.key"))
	passes(t, err)
	ca, err := os.ReadFile(s.Path("pki", "etcd-ca.crt"))
	passes(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"unixs://" + s.Path("etcd.sock")}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool},
	})
	passes(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// raw is what etcd holds under a key.
func raw(t *testing.T, client *clientv3.Client, key string) []byte {
	t.Helper()
	answer, err := client.Get(t.Context(), key)
	passes(t, err)
	if len(answer.Kvs) != 1 {
		t.Fatalf("etcd holds %d values under %s", len(answer.Kvs), key)
	}
	return answer.Kvs[0].Value
}

// filesWith are the files under dir that hold the text.
func filesWith(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	passes(t, err)
	return found
}

// TestAtRest looks for planted text in all that the server keeps: etcd's
// answers, its snapshot, and every file of the data directory.
func TestAtRest(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	const inSecret, inConfigMap, inPod = "marker-in-a-secret-5f1d", "marker-in-a-configmap-77c2", "marker-in-a-pod-90ab"

	_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque("s", map[string]string{"k": inSecret}), create)
	passes(t, err)
	_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", map[string]string{"k": inConfigMap}), create)
	passes(t, err)
	pod := plainPod("p")
	pod.Annotations = map[string]string{"k": inPod}
	_, err = admin.CoreV1().Pods(ns).Create(ctx, pod, create)
	passes(t, err)

	client := etcd(t, s)
	t.Run("etcd's values", func(t *testing.T) {
		for _, key := range []string{"/registry/secrets/" + ns + "/s", "/registry/configmaps/" + ns + "/c"} {
			value := raw(t, client, key)
			if !bytes.HasPrefix(value, []byte("k8s:enc:secretbox:v1:local-1:")) || bytes.Contains(value, []byte("marker")) {
				t.Errorf("%s is %.40q", key, value)
			}
		}
		if value := raw(t, client, "/registry/pods/"+ns+"/p"); !bytes.Contains(value, []byte(inPod)) {
			t.Error("the search does not find what is not encrypted")
		}
		// Not only what this test has made.
		for _, prefix := range []string{"/registry/secrets/", "/registry/configmaps/"} {
			all, err := client.Get(ctx, prefix, clientv3.WithPrefix())
			passes(t, err)
			for _, kv := range all.Kvs {
				if !bytes.HasPrefix(kv.Value, []byte("k8s:enc:secretbox:v1:")) {
					t.Errorf("%s is not encrypted", kv.Key)
				}
			}
		}
	})
	t.Run("etcd's snapshot", func(t *testing.T) {
		stream, err := client.Snapshot(ctx)
		passes(t, err)
		defer stream.Close()
		data, err := io.ReadAll(stream)
		passes(t, err)
		for text, want := range map[string]bool{inSecret: false, inConfigMap: false, inPod: true} {
			if bytes.Contains(data, []byte(text)) != want {
				t.Errorf("%s is found: %v", text, !want)
			}
		}
	})
	t.Run("every file", func(t *testing.T) {
		for _, text := range []string{inSecret, inConfigMap} {
			if found := filesWith(t, s.Dir, text); len(found) > 0 {
				t.Errorf("%s is in %v", text, found)
			}
		}
		found := strings.Join(filesWith(t, s.Dir, inPod), " ")
		if !strings.Contains(found, "/member/wal/") {
			t.Errorf("the search does not find what is not encrypted: %s", found)
		}
	})
	t.Run("the log", func(t *testing.T) {
		for _, text := range []string{inSecret, inConfigMap} {
			if strings.Contains(s.Log(), text) {
				t.Errorf("%s is in what the server said", text)
			}
		}
	})
	t.Run("clients see it in the clear", func(t *testing.T) {
		got, err := admin.CoreV1().Secrets(ns).Get(ctx, "s", metav1.GetOptions{})
		passes(t, err)
		if string(got.Data["k"]) != inSecret {
			t.Errorf("secret is %q", got.Data)
		}
	})
	t.Run("etcd asks for a certificate", func(t *testing.T) {
		stranger, err := clientv3.New(clientv3.Config{
			Endpoints: []string{"unixs://" + s.Path("etcd.sock")}, Logger: zap.NewNop(),
			TLS: &tls.Config{InsecureSkipVerify: true},
		})
		passes(t, err)
		defer stranger.Close()
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if _, err := stranger.Get(limited, "/registry", clientv3.WithPrefix(), clientv3.WithKeysOnly()); err == nil {
			t.Error("etcd answers a client without a certificate")
		}
	})
}
