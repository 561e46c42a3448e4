package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Reason codes (RFC 5280, section 5.3.1) that change what an entry means.
const reasonRemoveFromCRL = 8

var reasonNames = map[int]string{
	0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
	5: "cessationOfOperation", 6: "certificateHold", 9: "privilegeWithdrawn", 10: "aACompromise",
}

var (
	oidCRLNumber         = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidInvalidityDate    = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidDeltaCRL          = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidAuthorityKeyID    = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// crl is one list whose signature is good. It never changes.
type crl struct {
	// issuer is the CA that signed it, as it was trusted at that time.
	issuer *x509.Certificate

	// number grows with each list of an issuer; nil where the list has none.
	number *big.Int

	thisUpdate, nextUpdate time.Time

	// revoked holds the reason code of each certificate listed, by serialKey.
	revoked map[string]int
}

// describe names the list in errors.
func (c *crl) describe() string {
	if c.number == nil {
		return fmt.Sprintf("the list of %q of %s", c.issuer.Subject, c.thisUpdate.Format(time.RFC3339))
	}
	return fmt.Sprintf("list number %d of %q", c.number, c.issuer.Subject)
}

// sameIssuer reports that both lists are signed with the same CA key under the
// same name. A CA certificate that was renewed with its key is the same issuer.
func (c *crl) sameIssuer(d *crl) bool { return c.isOf(d.issuer) }

// isOf reports that the list is signed with this CA's key under its name.
func (c *crl) isOf(ca *x509.Certificate) bool {
	return bytes.Equal(c.issuer.RawSubject, ca.RawSubject) &&
		bytes.Equal(c.issuer.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo)
}

// olderThan compares lists of the same issuer.
func (c *crl) olderThan(d *crl) bool {
	if c.number != nil && d.number != nil {
		if order := c.number.Cmp(d.number); order != 0 {
			return order < 0
		}
	}
	return c.thisUpdate.Before(d.thisUpdate)
}

// splitCRLs takes a file apart into the DER of its lists: PEM with one or
// several, or DER of one. It is strict, since a list that is overlooked is a
// revocation that is overlooked.
func splitCRLs(data []byte) ([][]byte, error) {
	blocks := max(bytes.Count(data, []byte("-----BEGIN ")), bytes.Count(data, []byte("-----END ")))
	if blocks == 0 {
		if len(bytes.TrimSpace(data)) == 0 {
			return nil, errors.New("is empty")
		}
		return [][]byte{data}, nil
	}
	var lists [][]byte
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("PEM block %d is a %q, not an \"X509 CRL\"", len(lists)+1, block.Type)
		}
		lists = append(lists, block.Bytes)
	}
	if len(lists) != blocks {
		return nil, fmt.Errorf("%d of its %d PEM blocks are broken or cut off", blocks-len(lists), blocks)
	}
	return lists, nil
}

// parseCRL reads one list and checks that it is one this package can judge by:
// complete, for all certificates of its issuer, with nothing critical unread.
func parseCRL(der []byte) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("is not a certificate revocation list: %w", err)
	}
	if len(list.Raw) != len(der) {
		return nil, errors.New("has bytes after the end of the list")
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("has no nextUpdate, so nobody can tell when it is out of date (RFC 5280, section 5.1.2.5)")
	}
	for _, ext := range list.Extensions {
		switch {
		case ext.Id.Equal(oidDeltaCRL):
			return nil, errors.New("is a delta CRL; a complete one is needed")
		case ext.Id.Equal(oidDistributionPoint):
			return nil, errors.New("is an indirect CRL or for a part of the certificates alone (issuingDistributionPoint); a complete one is needed")
		case ext.Id.Equal(oidCRLNumber), ext.Id.Equal(oidAuthorityKeyID):
		case ext.Critical:
			return nil, fmt.Errorf("has the critical extension %s, which is not understood", ext.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			switch {
			case ext.Id.Equal(oidCertificateIssuer):
				return nil, errors.New("is an indirect CRL; one of the issuer's own certificates is needed")
			case ext.Id.Equal(oidReasonCode), ext.Id.Equal(oidInvalidityDate):
			case ext.Critical:
				return nil, fmt.Errorf("has an entry with the critical extension %s, which is not understood", ext.Id)
			}
		}
	}
	return list, nil
}

// compileCRL checks the list's signature against the CAs and indexes it.
func compileCRL(list *x509.RevocationList, cas []*x509.Certificate) (*crl, error) {
	issuer, err := issuerOf(list, cas)
	if err != nil {
		return nil, err
	}
	c := &crl{
		issuer: issuer, number: list.Number, thisUpdate: list.ThisUpdate, nextUpdate: list.NextUpdate,
		revoked: make(map[string]int, len(list.RevokedCertificateEntries)),
	}
	for _, entry := range list.RevokedCertificateEntries {
		// removeFromCRL ends a hold. It belongs into delta CRLs; in a complete one
		// it means what it says, as it does to OpenSSL.
		if entry.ReasonCode != reasonRemoveFromCRL {
			c.revoked[string(serialKey(entry.SerialNumber, nil))] = entry.ReasonCode
		}
	}
	return c, nil
}

func issuerOf(list *x509.RevocationList, cas []*x509.Certificate) (*x509.Certificate, error) {
	var failed error
	for _, ca := range cas {
		if !bytes.Equal(ca.RawSubject, list.RawIssuer) {
			continue
		}
		err := list.CheckSignatureFrom(ca)
		if err == nil {
			return ca, nil
		}
		failed = err
		if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
			failed = errors.New("the key usage of the CA's certificate does not allow it (cRLSign)")
		}
	}
	if failed != nil {
		return nil, fmt.Errorf("is not signed by the client CA whose name it bears, %q: %w", list.Issuer, failed)
	}
	return nil, fmt.Errorf("is of %q, which is not among the %d client CAs", list.Issuer, len(cas))
}
