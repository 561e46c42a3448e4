package revocation

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// kind is what a rule's key is.
type kind int

const (
	bySerial      kind = iota // the serial number's bytes, big-endian, no leading zeros
	byFingerprint             // the SHA-256 of the certificate in lower-case hexadecimal
	byTokenID                 // the jti claim
	byUser                    // the user name; service accounts by theirs
	kinds                     // how many there are
)

// rule is one Revocation, compiled. It never changes.
type rule struct {
	// name of the Revocation object.
	name string

	// reason that its author gave; may be empty.
	reason string

	// kind and key say in which index, and where in it, the rule stands.
	kind kind
	key  string

	// expiresAt is the instant from which the rule refuses nothing; zero: never.
	expiresAt time.Time

	// issuedBefore limits a user's rule to credentials that are older; zero: it
	// refuses all of them. Zero for every other kind.
	issuedBefore time.Time
}

// live reports that the rule has not expired.
func (r *rule) live(now time.Time) bool {
	return r.expiresAt.IsZero() || now.Before(r.expiresAt)
}

// compile turns an object into a rule. It is as strict as the CRD's schema, for
// objects that never went through it.
func compile(rev *v1alpha1.Revocation) (*rule, error) {
	spec := &rev.Spec
	r := &rule{name: strings.Clone(rev.Name), reason: strings.Clone(spec.Reason)}
	if r.name == "" {
		return nil, errors.New("metadata.name: is empty")
	}
	if spec.ExpiresAt != nil {
		if spec.ExpiresAt.IsZero() {
			return nil, errors.New("spec.expiresAt: is not a time")
		}
		r.expiresAt = spec.ExpiresAt.Time
	}
	set := 0
	for _, is := range []bool{spec.Certificate != nil, spec.User != nil, spec.ServiceAccount != nil, spec.TokenID != ""} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("spec: set exactly one of certificate, user, serviceAccount and tokenID (%d are set)", set)
	}
	switch {
	case spec.Certificate != nil:
		return r, r.compileCertificate(spec.Certificate)
	case spec.User != nil:
		return r, r.compileUser(spec.User)
	case spec.ServiceAccount != nil:
		return r, r.compileServiceAccount(spec.ServiceAccount)
	}
	r.kind, r.key = byTokenID, strings.Clone(spec.TokenID)
	return r, nil
}

func (r *rule) compileCertificate(c *v1alpha1.RevokedCertificate) error {
	if (c.SerialNumber == "") == (c.SHA256Fingerprint == "") {
		return errors.New("spec.certificate: set exactly one of serialNumber and sha256Fingerprint")
	}
	if c.SerialNumber != "" {
		serial, err := parseSerial(c.SerialNumber)
		if err != nil {
			return fmt.Errorf("spec.certificate.serialNumber: %w", err)
		}
		r.kind, r.key = bySerial, serial
		return nil
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(c.SHA256Fingerprint, ":", ""))
	if err != nil || len(sum) != 32 {
		return errors.New("spec.certificate.sha256Fingerprint: is not 32 bytes in hexadecimal")
	}
	r.kind, r.key = byFingerprint, hex.EncodeToString(sum)
	return nil
}

func (r *rule) compileUser(u *v1alpha1.RevokedUser) error {
	if u.Name == "" {
		return errors.New("spec.user.name: is empty")
	}
	if u.IssuedBefore.IsZero() {
		return errors.New("spec.user.issuedBefore: is not set")
	}
	r.kind, r.key, r.issuedBefore = byUser, strings.Clone(u.Name), u.IssuedBefore.Time
	return nil
}

func (r *rule) compileServiceAccount(sa *v1alpha1.RevokedServiceAccount) error {
	if sa.Namespace == "" || sa.Name == "" {
		return errors.New("spec.serviceAccount: namespace and name must be set")
	}
	r.kind, r.key = byUser, serviceaccount.MakeUsername(sa.Namespace, sa.Name)
	if sa.IssuedBefore != nil {
		if sa.IssuedBefore.IsZero() {
			return errors.New("spec.serviceAccount.issuedBefore: is not a time")
		}
		r.issuedBefore = sa.IssuedBefore.Time
	}
	return nil
}

// parseSerial reads a serial number as openssl prints it, with or without
// colons, into its bytes. An octet between colons may lack its leading zero.
func parseSerial(s string) (string, error) {
	octets := strings.Split(s, ":")
	for i, octet := range octets {
		if octet == "" || len(octet) > 2 && i < len(octets)-1 {
			return "", errors.New("is not a hexadecimal number, with colons between octets or without")
		}
		if len(octet)%2 == 1 {
			octets[i] = "0" + octet
		}
	}
	b, err := hex.DecodeString(strings.Join(octets, ""))
	if err != nil {
		return "", errors.New("is not a hexadecimal number, with colons between octets or without")
	}
	return strings.TrimLeft(string(b), "\x00"), nil
}
