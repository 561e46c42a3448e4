package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// dnsName is wider than RFC 1123 by the underscore, which host names in the
// field do carry and Go's verification accepts.
var dnsName = regexp.MustCompile(`^(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$`)

// sans are the names of a certificate, sorted and without repeats.
type sans struct {
	dns []string
	ips []net.IP
}

// parseSANs sorts names into DNS names and addresses.
func parseSANs(names []string) (sans, error) {
	var s sans
	for _, raw := range names {
		name := strings.ToLower(strings.TrimSuffix(raw, "."))
		if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
			if addr.Zone() != "" {
				return sans{}, fmt.Errorf("%q: a certificate cannot name an address with a zone", raw)
			}
			if !addr.IsUnspecified() {
				s.ips = append(s.ips, net.IP(addr.Unmap().AsSlice()))
			}
			continue
		}
		if len(name) > 253 || !dnsName.MatchString(name) {
			return sans{}, fmt.Errorf("%q: is neither a DNS name nor an IP address", raw)
		}
		s.dns = append(s.dns, name)
	}
	if len(s.dns)+len(s.ips) == 0 {
		return sans{}, errors.New("needs at least one DNS name or IP address")
	}
	slices.Sort(s.dns)
	s.dns = slices.Compact(s.dns)
	slices.SortFunc(s.ips, func(a, b net.IP) int { return strings.Compare(a.String(), b.String()) })
	s.ips = slices.CompactFunc(s.ips, net.IP.Equal)
	return s, nil
}

// in reports whether cert has every one of the names.
func (s sans) in(cert *x509.Certificate) bool {
	for _, name := range s.dns {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range s.ips {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}
