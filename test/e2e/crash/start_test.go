package crash

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// refusal runs a server that must end by itself and returns its words, checked
// for their form: one error line, one hint line, no stack.
func refusal(t *testing.T, opts server.Options) string {
	t.Helper()
	s := server.Launch(t, opts)
	if code := s.Wait(t, server.ReadyTimeout); code == 0 {
		t.Errorf("the server ended with exit code 0")
	}
	said := s.Log()
	if lines := "\n" + said; strings.Count(lines, "\nerror: ") != 1 || strings.Count(lines, "\nhint: ") != 1 {
		t.Errorf("want one error line and one hint line:\n%s", said)
	}
	if strings.Contains(said, "goroutine ") || strings.Contains(said, "panic") {
		t.Errorf("a stack trace is shown:\n%s", said)
	}
	return said
}

// prepared is a data directory that a server has been stopped on.
func prepared(t *testing.T) string {
	t.Helper()
	s := server.Start(t, server.Options{})
	s.Stop(t)
	return s.Dir
}

func want(t *testing.T, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("want %q in:\n%s", text, said)
		}
	}
}

func TestPortTaken(t *testing.T) {
	s := server.Start(t, server.Options{})
	address := strings.TrimPrefix(s.URL, "https://")
	want(t, refusal(t, server.Options{Listen: address}), "cannot listen on "+address+": address already in use", "--listen")
}

func TestDataDirectoryInUse(t *testing.T) {
	s := server.Start(t, server.Options{})
	want(t, refusal(t, server.Options{Dir: s.Dir}), "data directory "+s.Dir+" is in use by process ", "--data-dir")
}

func TestDamagedDirectory(t *testing.T) {
	good := prepared(t)
	dir := filepath.Join(filepath.Dir(good), "broken") // a fresh copy for each case
	path := func(elem ...string) string { return filepath.Join(append([]string{dir}, elem...)...) }
	for _, c := range []struct {
		name   string
		damage func(t *testing.T)
		says   []string
	}{
		{"folder that others can read", func(t *testing.T) { chmod(t, dir, 0o755) }, []string{dir, "chmod 700 " + dir}},
		{"CA key that others can read", func(t *testing.T) { chmod(t, path("pki", "cluster-ca.key"), 0o644) }, []string{"cluster-ca.key", "chmod 600"}},
		{"corrupt CA key", func(t *testing.T) { write0600(t, path("pki", "cluster-ca.key"), "junk") }, []string{"cluster-ca.key", "restore"}},
		{"missing CA key", func(t *testing.T) { remove(t, path("pki", "etcd-ca.key")) }, []string{"etcd-ca", "restore"}},
		{"corrupt service account key", func(t *testing.T) { write0600(t, path("pki", "service-account.key"), "junk") }, []string{"service-account.key"}},
		{"encryption key that others can read", func(t *testing.T) { chmod(t, path("secret", "encryption.yaml"), 0o644) }, []string{"encryption.yaml", "chmod 600"}},
		{"corrupt encryption configuration", func(t *testing.T) { write0600(t, path("secret", "encryption.yaml"), "junk") }, []string{"encryption.yaml"}},
		{"clock before the CA's start", func(t *testing.T) { authority(t, path("pki"), time.Now().Add(48*time.Hour)) }, []string{"cluster-ca.crt", "clock"}},
		{"expired CA", func(t *testing.T) { authority(t, path("pki"), time.Now().Add(-20*365*24*time.Hour)) }, []string{"cluster-ca.crt", "expired"}},
		{"etcd database that is not one", func(t *testing.T) { write0600(t, path("etcd", "member", "snap", "db"), strings.Repeat("junk", 5000)) }, []string{path("etcd")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			restoreModes(t, dir)
			c.damage(t)
			want(t, refusal(t, server.Options{Dir: dir}), c.says...)
		})
	}
}

func TestEtcdUnreachable(t *testing.T) {
	closed := server.FreeAddress(t)
	want(t, refusal(t, server.Options{Args: []string{"--etcd-servers", "http://" + closed}}), closed, "does not answer")
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func write0600(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// restoreModes gives a copy the modes the server made: CopyFS takes the umask's.
func restoreModes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// authority replaces the cluster CA by one that is good for ten years from an instant.
func authority(t *testing.T, dir string, from time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "gatehouse-cluster-ca"},
		NotBefore: from, NotAfter: from.Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write0600(t, filepath.Join(dir, "cluster-ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write0600(t, filepath.Join(dir, "cluster-ca.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}
