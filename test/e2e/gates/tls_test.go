package gates

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// handshake says what the server and this client agree on.
func handshake(s *server.Server, config *tls.Config) (tls.ConnectionState, error) {
	if config == nil {
		config = &tls.Config{}
	}
	config.InsecureSkipVerify = true
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

func TestTLS(t *testing.T) {
	s := shared(t)
	t.Run("1.2 is refused", func(t *testing.T) {
		_, err := handshake(s, &tls.Config{MaxVersion: tls.VersionTLS12})
		refused(t, err, func(error) bool { return true }, "protocol version not supported")
	})
	t.Run("1.3 with a hybrid post-quantum key exchange", func(t *testing.T) {
		state, err := handshake(s, nil)
		passes(t, err)
		if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
			t.Errorf("agreed on %s with %s", tls.VersionName(state.Version), state.CurveID)
		}
	})
	t.Run("1.3 with a classical key exchange", func(t *testing.T) {
		state, err := handshake(s, &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}})
		passes(t, err)
		if state.CurveID != tls.X25519 {
			t.Errorf("agreed on %s", state.CurveID)
		}
	})
	t.Run("the certificate is the cluster CA's", func(t *testing.T) {
		state, err := handshake(s, nil)
		passes(t, err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.AdminConfig(t).CAData)
		if _, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: "localhost"}); err != nil {
			t.Error(err)
		}
	})
}

// ownCertificate writes a serving certificate that no cluster CA has signed, as
// a public authority would give it.
func ownCertificate(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	passes(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames:  []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	passes(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	passes(t, err)
	replace(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	replace(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// TestOwnCertificate shows a certificate of the operator's own: it is served
// under its name, it is served anew when its files change, and what believes the
// cluster CA alone (the administrator's kubeconfig, the server itself) goes on.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ownCertificate(t, cert, key, "first.example.org")
	s := server.Start(t, server.Options{Config: "tls: {certFile: " + cert + ", keyFile: " + key + "}"})
	served := func(name string) string {
		state, err := handshake(s, &tls.Config{ServerName: name})
		if err != nil {
			return err.Error()
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if got := served("first.example.org"); got != "first.example.org" {
		t.Errorf("served is the certificate of %s", got)
	}
	t.Run("the summary is shown", func(t *testing.T) {
		server.Eventually(t, patience, func(context.Context) error {
			if !strings.Contains(s.Log(), "ready in") {
				return notYet("it is not")
			}
			return nil
		})
	})
	t.Run("the administrator's kubeconfig works, and the controllers run", func(t *testing.T) {
		_, err := s.Admin(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		passes(t, err)
		namespace(t, s.Admin(t))
	})
	t.Run("changed files are served without a restart", func(t *testing.T) {
		ownCertificate(t, cert, key, "second.example.org")
		server.Eventually(t, 90*time.Second, func(context.Context) error {
			if got := served("second.example.org"); got != "second.example.org" {
				return notYet("served is the certificate of %s", got)
			}
			return nil
		})
	})
}
