package faults

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// A key, a certificate or a folder that is not as it was left is refused, and
// nothing is written over it.
func TestDamagedFiles(t *testing.T) {
	good := installation(t)
	remove(t, filepath.Join(good.Dir, "etcd")) // not reached, and large
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		says   []string
	}{
		{"data directory that others can read", mode(0o755, ""), []string{"chmod 700 "}},
		{"folder of keys that others can enter", mode(0o755, "pki"), []string{"pki", "chmod 700 "}},
		{"CA key that others can read", mode(0o644, "pki/cluster-ca.key"), []string{"cluster-ca.key", "chmod 600 "}},
		{"corrupt CA key", junk("pki/cluster-ca.key"), []string{"cluster-ca.key", "restore "}},
		{"missing CA key", lost("pki/cluster-ca.key"), []string{"cluster-ca.key", "restore "}},
		{"corrupt CA", junk("pki/cluster-ca.crt"), []string{"cluster-ca.crt", "restore "}},
		{"CA that is another key's", swapped("pki/front-proxy-ca.key", "pki/cluster-ca.key"), []string{"cluster-ca.key", "restore "}},
		{"corrupt front-proxy CA key", junk("pki/front-proxy-ca.key"), []string{"front-proxy-ca.key", "restore "}},
		{"corrupt etcd CA", junk("pki/etcd-ca.crt"), []string{"etcd-ca.crt", "restore "}},
		{"corrupt service account key", junk("pki/service-account.key"), []string{"service-account.key", "restore "}},
		{"service account key that others can read", mode(0o640, "pki/service-account.key"), []string{"service-account.key", "chmod 600 "}},
		{"public key that is another key's", swapped("pki/serving.crt", "pki/service-account.pub"), []string{"service-account.pub", "restore "}},
		{"clock before the CA's start", madeAt(48 * time.Hour), []string{"cluster-ca.crt", "set the clock"}},
		{"expired CA", madeAt(-11 * 365 * 24 * time.Hour), []string{"cluster-ca.crt", "expired at "}},
		{"encryption key that others can read", mode(0o644, "secret/encryption.yaml"), []string{"encryption.yaml", "chmod 600 "}},
		{"corrupt encryption configuration", junk("secret/encryption.yaml"), []string{"encryption.yaml"}},
		{"empty encryption configuration", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "secret/encryption.yaml"), "") }, []string{"encryption.yaml"}},
		{"file where the folder of the audit log should be", blocked("audit"), []string{"audit"}},
		{"file where etcd's folder should be", blocked("etcd"), []string{"etcd"}},
		{"folder where the administrator's kubeconfig should be", folded("admin.kubeconfig"), []string{"admin.kubeconfig"}},
		{"folder where the audit log should be", folded("audit/audit.log"), []string{"audit.log"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyOf(t, good.Dir)
			c.damage(t, dir)
			before := contents(t, dir)
			refuses(t, server.Options{Dir: dir, Listen: good.Listen}, append(c.says, dir)...)
			unchanged(t, dir, before)
		})
	}
}

// What can be made again without harm is made again, and old credentials go on
// working.
func TestDamageThatMendsItself(t *testing.T) {
	good := installation(t)
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
	}{
		{"certificate that is another key's", swapped("pki/kubelet-client.key", "pki/serving.key")},
		{"corrupt serving certificate", junk("pki/serving.crt")},
		{"missing etcd client key", lost("pki/etcd-client.key")},
		{"CA certificate whose key is there", lost("pki/cluster-ca.crt")},
		{"missing public key", lost("pki/service-account.pub")},
		{"corrupt bundle of client CAs", junk("pki/client-ca-bundle.crt")},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, err := os.ReadFile(filepath.Join(good.Dir, "admin.kubeconfig"))
			if err != nil {
				t.Fatal(err)
			}
			dir := copyOf(t, good.Dir)
			c.damage(t, dir)
			s := server.Start(t, server.Options{Dir: dir, Listen: good.Listen})
			write(t, filepath.Join(dir, "admin.kubeconfig"), string(old))
			if _, err := s.Admin(t).CoreV1().Namespaces().Get(context.Background(), "default", metav1.GetOptions{}); err != nil {
				t.Errorf("the administrator's kubeconfig from before is refused: %v", err)
			}
		})
	}
}

func mode(m os.FileMode, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { chmod(t, filepath.Join(dir, name), m) }
}

func junk(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { write(t, filepath.Join(dir, name), "junk") }
}

func lost(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { remove(t, filepath.Join(dir, name)) }
}

func swapped(from, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		data, err := os.ReadFile(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), string(data))
	}
}

func blocked(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		remove(t, filepath.Join(dir, name))
		write(t, filepath.Join(dir, name), "")
	}
}

func folded(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		remove(t, filepath.Join(dir, name))
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// madeAt replaces the cluster CA by one that is good for ten years from then.
func madeAt(fromNow time.Duration) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		from := time.Now().Add(fromNow)
		cert, key := authority(t, "gatehouse-cluster-ca", from, from.AddDate(10, 0, 0))
		write(t, filepath.Join(dir, "pki", "cluster-ca.crt"), cert)
		write(t, filepath.Join(dir, "pki", "cluster-ca.key"), key)
	}
}

// authority makes a CA that is also good as a certificate of 127.0.0.1 and of a client.
func authority(t *testing.T, name string, from, to time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: loopback,
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
