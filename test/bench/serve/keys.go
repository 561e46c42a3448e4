package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// makeKeys writes what stock needs: a CA, a serving certificate for 127.0.0.1,
// an administrator's certificate in system:masters, and a service-account key.
// All keys are ECDSA P-256.
func makeKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the key directory: %w", err)
	}
	a := authority{dir: dir}
	if err := a.issue("ca", &x509.Certificate{
		Subject:               pkix.Name{CommonName: "bench-ca"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}); err != nil {
		return err
	}
	if err := a.issue("server", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return err
	}
	if err := a.issue("admin", &x509.Certificate{
		Subject:     pkix.Name{CommonName: "bench-admin", Organization: []string{"system:masters"}},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		return err
	}
	_, err := a.key("sa")
	return err
}

// authority issues certificates into a directory.
type authority struct {
	dir string
	// cert and priv are the CA's, set by the first issue.
	cert *x509.Certificate
	priv *ecdsa.PrivateKey
}

// issue writes name.crt and name.key for the template. The first certificate
// signs itself and then all others.
func (a *authority) issue(name string, template *x509.Certificate) error {
	priv, err := a.key(name)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fmt.Errorf("make a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(24 * time.Hour)
	if a.cert == nil {
		a.cert, a.priv = template, priv
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &priv.PublicKey, a.priv)
	if err != nil {
		return fmt.Errorf("sign the %s certificate: %w", name, err)
	}
	return a.write(name+".crt", "CERTIFICATE", der)
}

// key makes a key and writes it to name.key.
func (a *authority) key(name string) (*ecdsa.PrivateKey, error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the %s key: %w", name, err)
	}
	der, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		return nil, fmt.Errorf("encode the %s key: %w", name, err)
	}
	return priv, a.write(name+".key", "EC PRIVATE KEY", der)
}

// write writes one PEM block that only this user can read.
func (a *authority) write(file, kind string, der []byte) error {
	data := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(filepath.Join(a.dir, file), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// portOf returns the port of a host:port that this program made itself.
func portOf(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(fmt.Sprintf("address %q without a port", addr))
	}
	return port
}
