package attach

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	// leafLifetime is how long a serving certificate is good; it is made anew with
	// a third of that left.
	leafLifetime = 30 * 24 * time.Hour

	// backdate is how far before now a certificate begins to be valid, for a
	// client whose clock is a little slow.
	backdate = 5 * time.Minute
)

// authority is the CA that the replicas sign their serving certificates with.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// authorityStore keeps a CA where all replicas find it.
type authorityStore interface {
	// String says where that is, for an error.
	String() string
	// load returns the CA as PEM, and nothing where there is none.
	load(ctx context.Context) (certPEM, keyPEM []byte, err error)
	// create keeps a CA, unless there is one by now.
	create(ctx context.Context, certPEM, keyPEM []byte) error
}

// loadAuthority reads the CA of a store. Where there is none it is nil, or with
// create set, made: of several replicas that do so at once, one does, and all
// find what that one made.
func loadAuthority(ctx context.Context, store authorityStore, create bool, now time.Time) (*authority, error) {
	certPEM, keyPEM, err := store.load(ctx)
	if err != nil {
		return nil, err
	}
	if certPEM == nil {
		if !create {
			return nil, nil
		}
		if certPEM, keyPEM, err = newAuthority(now); err != nil {
			return nil, fmt.Errorf("make the serving CA: %w", err)
		}
		if err := store.create(ctx, certPEM, keyPEM); err != nil {
			return nil, err
		}
		if certPEM, keyPEM, err = store.load(ctx); err != nil {
			return nil, err
		}
	}
	a, err := parseAuthority(certPEM, keyPEM, now)
	if err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("the serving CA in %s cannot be used: %v", store, err),
			Mend:    "restore it, or delete it to have a new one made, and give the API server the new caBundle",
		}
	}
	return a, nil
}

func newAuthority(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: "gatehouse-attach-ca", NotBefore: now.Add(-backdate)}, key)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return encodeCertificate(cert), pem.EncodeToMemory(&pem.Block{Type: keyutil.PrivateKeyBlockType, Bytes: der}), nil
}

// parseAuthority reads a CA and checks that it may sign at now. No error quotes
// what it was given.
func parseAuthority(certPEM, keyPEM []byte, now time.Time) (*authority, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errors.New("it is no certificate with its key, in PEM")
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	switch cert := pair.Leaf; {
	case !ok:
		return nil, errors.New("its key cannot sign")
	case !cert.IsCA || !cert.BasicConstraintsValid:
		return nil, errors.New("it is no certificate authority")
	case now.Before(cert.NotBefore) || now.After(cert.NotAfter):
		return nil, fmt.Errorf("it is valid from %s to %s, and the clock says %s",
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	default:
		return &authority{cert: cert, key: signer}, nil
	}
}

// issue makes a serving certificate for these names and addresses, which ends no
// later than the CA.
func (a *authority) issue(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: "gatehouse-attach"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: cert.Raw})
}
