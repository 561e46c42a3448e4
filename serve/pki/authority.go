package pki

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"time"
)

// authoritySpec describes one certificate authority.
type authoritySpec struct {
	// name is that of its files.
	name string
	// title is what an error calls it.
	title string
	// loss is what an operator gives up by having a new one made.
	loss string
}

var (
	clusterCA = authoritySpec{
		name:  "cluster-ca",
		title: "cluster CA",
		loss:  "every kubeconfig and client certificate issued so far stops working",
	}
	frontProxyCA = authoritySpec{
		name:  "front-proxy-ca",
		title: "front-proxy CA",
		loss:  "aggregated API servers refuse requests until they have read the new one",
	}
	etcdCA = authoritySpec{
		name:  "etcd-ca",
		title: "etcd CA",
		loss:  "etcd clients other than this server stop working",
	}
)

// authority is a certificate authority that is loaded and valid now.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// mend is the last part of an error about files of an authority.
func (s authoritySpec) mend(pair Pair) string {
	return fmt.Sprintf("restore %s and %s from a backup, or remove both to have a new %s made (then %s)",
		pair.Cert, pair.Key, s.title, s.loss)
}

// loadAuthority reads an authority and checks that it may sign at now. Where
// there is none the error is an fs.ErrNotExist for both files, see missing.
func loadAuthority(spec authoritySpec, pair Pair, now time.Time) (*authority, error) {
	verb := "load " + spec.title
	fail := func(file string, err error) error {
		return &FileError{Verb: verb, File: file, Err: err, Mend: spec.mend(pair)}
	}
	keyPEM, err := readPrivate(verb, pair.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(pair.Key, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	certPEM, err := os.ReadFile(pair.Cert)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(pair.Cert, fs.ErrNotExist)
	}
	if err != nil {
		return nil, &FileError{Verb: verb, File: pair.Cert, Err: bare(err)}
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fail(pair.Key, err)
	}
	cert, err := parseCert(certPEM)
	if err != nil {
		return nil, fail(pair.Cert, err)
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return nil, fail(pair.Key, fmt.Errorf("is not the key of %s", pair.Cert))
	}
	if !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fail(pair.Cert, errors.New("is not a certificate authority"))
	}
	if now.Before(cert.NotBefore) {
		return nil, &FileError{
			Verb: verb,
			File: pair.Cert,
			Err:  fmt.Errorf("is valid from %s, and the system's clock says %s", stamp(cert.NotBefore), stamp(now)),
			Mend: "set the clock; if it is right, the authority was made under a wrong one: " + spec.mend(pair),
		}
	}
	if now.After(cert.NotAfter) {
		return nil, &FileError{
			Verb: verb,
			File: pair.Cert,
			Err:  fmt.Errorf("expired at %s, and the system's clock says %s", stamp(cert.NotAfter), stamp(now)),
			Mend: "set the clock if it is wrong; if it is right, " + spec.mend(pair),
		}
	}
	return &authority{cert: cert, key: key}, nil
}

// ensureAuthority loads an authority, or makes what of it was never made. A key
// alone is what a crash in the middle of making one leaves: the certificate is
// made again over that key, and whatever the key has signed goes on verifying.
// A certificate alone is a key that was lost, which is for the operator to say.
func ensureAuthority(spec authoritySpec, pair Pair, now time.Time, rand io.Reader) (_ *authority, made bool, err error) {
	noKey, noCert := missing(pair.Key), missing(pair.Cert)
	var key crypto.Signer
	switch {
	case noKey && noCert:
		fresh, keyPEM, err := newKey(rand)
		if err != nil {
			return nil, false, err
		}
		if err := writeNewFile(pair.Key, keyPEM); err != nil {
			return nil, false, err
		}
		key = fresh
	case noCert:
		verb := "load " + spec.title
		keyPEM, err := readPrivate(verb, pair.Key)
		if err != nil {
			return nil, false, err
		}
		if key, err = parseKey(keyPEM); err != nil {
			return nil, false, &FileError{Verb: verb, File: pair.Key, Err: err, Mend: spec.mend(pair)}
		}
	default:
		a, err := loadAuthority(spec, pair, now)
		return a, false, err
	}
	cert, err := selfSign(spec, key, now, rand)
	if err != nil {
		return nil, false, fmt.Errorf("make %s: %w", spec.title, err)
	}
	if err := writeFile(pair.Cert, encodeCert(cert)); err != nil {
		return nil, false, err
	}
	return &authority{cert: cert, key: key}, true, nil
}

// selfSign makes the certificate of an authority.
func selfSign(spec authoritySpec, key crypto.Signer, now time.Time, rand io.Reader) (*x509.Certificate, error) {
	serial, err := newSerial(rand)
	if err != nil {
		return nil, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "gatehouse-" + spec.name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SubjectKeyId:          id,
	}
	der, err := x509.CreateCertificate(rand, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial is a random number of 128 bits; RFC 5280 wants it above zero.
func newSerial(rand io.Reader) (*big.Int, error) {
	buf := make([]byte, 16)
	for {
		if _, err := io.ReadFull(rand, buf); err != nil {
			return nil, fmt.Errorf("make serial number: %w", err)
		}
		if serial := new(big.Int).SetBytes(buf); serial.Sign() > 0 {
			return serial, nil
		}
	}
}

// keyID is RFC 7093's first method. It is computed here, and not left to the
// standard library, so that a certificate made again over an old key has the
// identifier that older leaves point to, whatever Go version made them.
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}

// missing reports that nothing is at path, which a dangling link is not.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
