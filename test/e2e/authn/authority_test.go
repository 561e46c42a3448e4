package authn

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// authority is a CA of client certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer

	// lists is how many CRLs it has made; each has a higher number than the last.
	lists int64
}

// newAuthority makes a CA.
func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true,
	}
	return &authority{cert: sign(t, template, template, key.Public(), key), key: key}
}

// loadAuthority reads path.crt and path.key.
func loadAuthority(t testing.TB, path string) *authority {
	t.Helper()
	certs, err := certutil.CertsFromFile(path + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: certs[0], key: loadKey(t, path+".key")}
}

func (a *authority) pem() string { return string(certPEM(a.cert)) }

// identity is what a client certificate says. The zero values of all but user
// make one that is good for an hour.
type identity struct {
	user                string
	groups              []string
	notBefore, notAfter time.Time
	usage               x509.ExtKeyUsage // default: client authentication
}

// credential is a client certificate with its key.
type credential struct {
	cert            *x509.Certificate
	certPEM, keyPEM []byte
}

func (a *authority) issue(t testing.TB, who identity) *credential {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: newSerial(t),
		Subject:      pkix.Name{CommonName: who.user, Organization: who.groups},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if !who.notBefore.IsZero() {
		template.NotBefore = who.notBefore
	}
	if !who.notAfter.IsZero() {
		template.NotAfter = who.notAfter
	}
	if who.usage != 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{who.usage}
	}
	key := newKey(t)
	return newCredential(t, sign(t, template, a.cert, key.Public(), a.key), key)
}

func newCredential(t testing.TB, cert *x509.Certificate, key *ecdsa.PrivateKey) *credential {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &credential{
		cert: cert, certPEM: certPEM(cert),
		keyPEM: pem.EncodeToMemory(&pem.Block{Type: keyutil.ECPrivateKeyBlockType, Bytes: der}),
	}
}

// loadCredential reads path.crt and path.key.
func loadCredential(t testing.TB, path string) *credential {
	t.Helper()
	var c credential
	var err error
	if c.certPEM, err = os.ReadFile(path + ".crt"); err != nil {
		t.Fatal(err)
	}
	if c.keyPEM, err = os.ReadFile(path + ".key"); err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(c.certPEM)
	if err != nil {
		t.Fatal(err)
	}
	c.cert = certs[0]
	return &c
}

// revocationList is a CRL in DER.
type revocationList []byte

func (l revocationList) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l}))
}

// keyCompromise is a CRL's reason code (RFC 5280, section 5.3.1).
const keyCompromise = 1

// crl makes a list of these certificates that expires after life, which may be
// over already.
func (a *authority) crl(t testing.TB, life time.Duration, revoked ...*credential) revocationList {
	t.Helper()
	a.lists++
	next := time.Now().Add(life)
	list := &x509.RevocationList{Number: big.NewInt(a.lists), ThisUpdate: next.Add(-2 * time.Hour), NextUpdate: next}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.cert.SerialNumber, RevocationTime: time.Now(), ReasonCode: keyCompromise,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: cert.Raw})
}

func loadKey(t testing.TB, path string) crypto.Signer {
	t.Helper()
	key, err := keyutil.PrivateKeyFromFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}
