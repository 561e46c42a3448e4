package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// leafSpec describes one certificate that is not an authority.
type leafSpec struct {
	// name is that of its files, and what a renewal is reported by.
	name string
	// ca names the authority that signs it.
	ca string
	// user and groups become the common name and the organizations.
	user   string
	groups []string
	sans   sans
	usages []x509.ExtKeyUsage
	// life is the time from now to the end, if the authority lasts as long.
	life time.Duration
}

// issued is a fresh certificate and its key.
type issued struct {
	cert    *x509.Certificate
	certPEM []byte
	keyPEM  []byte
}

// issue makes a key and has the authority sign a certificate for it, which
// begins and ends no further out than the authority's own.
func (a *authority) issue(spec leafSpec, now time.Time, rand io.Reader) (*issued, error) {
	key, keyPEM, err := newKey(rand)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial(rand)
	if err != nil {
		return nil, err
	}
	notBefore, notAfter := now.Add(-backdate), now.Add(spec.life)
	if notBefore.Before(a.cert.NotBefore) {
		notBefore = a.cert.NotBefore
	}
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: spec.user, Organization: spec.groups},
		DNSNames:              spec.sans.dns,
		IPAddresses:           spec.sans.ips,
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           spec.usages,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return &issued{cert: cert, certPEM: encodeCert(cert), keyPEM: keyPEM}, nil
}

// fits reports whether the pair is what the spec asks for and not yet due.
func (a *authority) fits(spec leafSpec, certPEM, keyPEM []byte, now time.Time) (*x509.Certificate, bool) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, false
	}
	cert, err := parseCert(certPEM)
	if err != nil {
		return nil, false
	}
	ok := samePublic(cert.PublicKey, key.Public()) &&
		slices.Equal(cert.RawIssuer, a.cert.RawSubject) &&
		cert.CheckSignatureFrom(a.cert) == nil &&
		cert.Subject.CommonName == spec.user &&
		sameSet(cert.Subject.Organization, spec.groups) &&
		slices.Equal(cert.ExtKeyUsage, spec.usages) &&
		spec.sans.in(cert) &&
		// A shorter life asked for since counts at once.
		lifetime(cert) <= spec.life+time.Second &&
		!now.Before(cert.NotBefore) &&
		now.Before(a.dueAt(cert))
	return cert, ok
}

// dueAt is when a certificate is to be renewed: with a third of its life left,
// unless it ends with its authority, when a new one would last no longer.
func (a *authority) dueAt(cert *x509.Certificate) time.Time {
	if !cert.NotAfter.Before(a.cert.NotAfter) {
		return cert.NotAfter
	}
	return cert.NotAfter.Add(-lifetime(cert) / 3)
}

// lifetime is the life a certificate was asked for: backdating is no part of
// it, or a short one would be due the moment it is made.
func lifetime(cert *x509.Certificate) time.Duration {
	return max(cert.NotAfter.Sub(cert.NotBefore)-backdate, 0)
}

// ensureLeaf keeps the pair of files when it fits, and issues anew otherwise.
// Only a key that others may read, and a disk that fails, are errors: there is
// nothing in a leaf worth an operator's morning.
func (a *authority) ensureLeaf(spec leafSpec, pair Pair, now time.Time, rand io.Reader) (due time.Time, renewed bool, err error) {
	verb := "load " + spec.name + " certificate"
	keyPEM, err := readPrivate(verb, pair.Key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, err
	}
	certPEM, err := os.ReadFile(pair.Cert)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, false, &FileError{Verb: verb, File: pair.Cert, Err: bare(err)}
	}
	if cert, ok := a.fits(spec, certPEM, keyPEM, now); ok {
		return a.dueAt(cert), false, nil
	}
	leaf, err := a.issue(spec, now, rand)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("issue %s certificate: %w", spec.name, err)
	}
	if err := writePair(pair, leaf.certPEM, leaf.keyPEM); err != nil {
		return time.Time{}, false, err
	}
	return a.dueAt(leaf.cert), true, nil
}

// sameSet compares without regard to order: DER sorts the organizations.
func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
