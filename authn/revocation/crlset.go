package revocation

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
)

// crlSet is the lists in force at one moment. It never changes.
type crlSet struct {
	// lists, one for each issuer key, in the order in which they came.
	lists []*crl

	// byIssuer holds the same lists by the raw name of their issuer.
	byIssuer map[string][]*crl
}

func newCRLSet(lists []*crl) *crlSet {
	s := &crlSet{lists: lists, byIssuer: make(map[string][]*crl, len(lists))}
	for _, c := range lists {
		name := string(c.issuer.RawSubject)
		s.byIssuer[name] = append(s.byIssuer[name], c)
	}
	return s
}

func (s *crlSet) revoked() int {
	n := 0
	for _, c := range s.lists {
		n += len(c.revoked)
	}
	return n
}

// readCRLs returns the good lists of a file, one an issuer, and what is wrong
// with the others.
func readCRLs(data []byte, cas []*x509.Certificate) ([]*crl, []error) {
	ders, err := splitCRLs(data)
	if err != nil {
		return nil, []error{err}
	}
	var lists []*crl
	var errs []error
	for i, der := range ders {
		list, err := parseCRL(der)
		var c *crl
		if err == nil {
			c, err = compileCRL(list, cas)
		}
		if err != nil {
			if len(ders) > 1 {
				err = fmt.Errorf("list %d %w", i+1, err)
			}
			errs = append(errs, err)
			continue
		}
		if at := slices.IndexFunc(lists, c.sameIssuer); at < 0 {
			lists = append(lists, c)
		} else if lists[at].olderThan(c) {
			lists[at] = c
		}
	}
	return lists, errs
}

// digest tells sets of CAs apart.
func digest(cas []*x509.Certificate) [sha256.Size]byte {
	h := sha256.New()
	for _, ca := range cas {
		sum := sha256.Sum256(ca.Raw)
		h.Write(sum[:])
	}
	var d [sha256.Size]byte
	h.Sum(d[:0])
	return d
}
