package revocation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// noon is when the tests happen.
var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// ca is a certificate authority.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB, name string) *ca {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.AddDate(-20, 0, 0), NotAfter: noon.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return &ca{cert: sign(t, template, template, key, key), key: key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// client issues a client certificate, at noon.
func (c *ca) client(t testing.TB, name string, serial int64) *x509.Certificate {
	t.Helper()
	cert, _ := c.clientWithKey(t, name, serial)
	return cert
}

func (c *ca) clientWithKey(t testing.TB, name string, serial int64) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	return sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, c.cert, key, c.key), key
}

// list makes the DER of a CRL.
func (c *ca) list(t testing.TB, number int64, next time.Time, serials ...int64) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: noon.AddDate(0, 0, -2).Add(time.Duration(number) * time.Second), NextUpdate: next}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: big.NewInt(s), RevocationTime: noon.AddDate(0, 0, -1), ReasonCode: 1,
		})
	}
	return c.sign(t, template)
}

func (c *ca) sign(t testing.TB, template *x509.RevocationList) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, template, c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func toPEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return out
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tempFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clients.crl")
	write(t, path, data)
	return path
}

// jwt makes an unsigned token of these claims.
func jwt(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(claims)) + ".c2ln"
}

func iat(at time.Time) string { return jwt(fmt.Sprintf(`{"iat":%d}`, at.Unix())) }

// request makes one that presents a certificate chain and a bearer token.
func request(token string, chain ...*x509.Certificate) *http.Request {
	req := httptest.NewRequest("GET", "/api/v1/pods", nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if len(chain) > 0 {
		req.TLS = &tls.ConnectionState{PeerCertificates: chain}
	}
	return req
}

// as is an authenticator that takes every request for this user, and the token
// out of it as upstream's does.
func as(name string, credentialIDs ...string) authenticator.Request {
	u := &user.DefaultInfo{Name: name}
	if credentialIDs != nil {
		u.Extra = map[string][]string{user.CredentialIDKey: credentialIDs}
	}
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
		req.Header.Del("Authorization")
		return &authenticator.Response{User: u}, true, nil
	})
}

// proxied is an authenticator that takes the user from headers alone, and so
// leaves the token in the request.
func proxied(name string, credentialIDs ...string) authenticator.Request {
	inner := as(name, credentialIDs...)
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
		return inner.AuthenticateRequest(&http.Request{Header: http.Header{}})
	})
}

// byCertificate is upstream's certificate authenticator in short.
var byCertificate = authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
	cert := req.TLS.PeerCertificates[0]
	return as(cert.Subject.CommonName, "X509SHA256="+fingerprint(cert)).AuthenticateRequest(req)
})

func revocation(name string, spec v1alpha1.RevocationSpec) v1alpha1.Revocation {
	return v1alpha1.Revocation{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func at(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }

// registryOf holds these Revocations, and is synced.
func registryOf(t testing.TB, revocations ...v1alpha1.Revocation) *Registry {
	t.Helper()
	r := NewRegistry(RegistryOptions{})
	if err := r.Replace(revocations); err != nil {
		t.Fatal(err)
	}
	return r
}

func wrap(t testing.TB, delegate authenticator.Request, reg *Registry, crls ...*CRLFile) *Authenticator {
	t.Helper()
	a, err := New(delegate, Options{Registry: reg, CRLs: crls, Clock: clocktesting.NewFakePassiveClock(noon)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// verdict is "" for a request let in, and why it is not otherwise.
func verdict(a authenticator.Request, req *http.Request) string {
	resp, ok, err := a.AuthenticateRequest(req)
	switch {
	case err != nil && (ok || resp != nil):
		return "BUG: an error and a user"
	case err != nil:
		return err.Error()
	case !ok:
		return "not authenticated"
	}
	return ""
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begun := time.Now(); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Second {
			t.Fatalf("not within a second: %s", what)
		}
	}
}
