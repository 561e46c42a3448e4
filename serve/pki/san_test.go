package pki

import (
	"slices"
	"testing"
	"time"
)

func TestParseSANs(t *testing.T) {
	for _, tt := range []struct {
		names []string
		dns   []string
		ips   []string
		err   string
	}{
		{names: []string{"b", "A.", "a", "10.0.0.1", "::ffff:10.0.0.1", "[::1]", "0.0.0.0", "::"},
			dns: []string{"a", "b"}, ips: []string{"10.0.0.1", "::1"}},
		{names: []string{"*.example.com", "my_host", "1.2.3"}, dns: []string{"*.example.com", "1.2.3", "my_host"}},
		{names: nil, err: "needs at least one DNS name or IP address"},
		{names: []string{""}, err: `"": is neither a DNS name nor an IP address`},
		{names: []string{"a", "-a"}, err: `"-a": is neither a DNS name nor an IP address`},
		{names: []string{"a..b"}, err: `"a..b": is neither a DNS name nor an IP address`},
		{names: []string{"a.*"}, err: `"a.*": is neither a DNS name nor an IP address`},
		{names: []string{"host:6443"}, err: `"host:6443": is neither a DNS name nor an IP address`},
		{names: []string{"fe80::1%eth0"}, err: `"fe80::1%eth0": a certificate cannot name an address with a zone`},
	} {
		s, err := parseSANs(tt.names)
		if err != nil || tt.err != "" {
			if err == nil || err.Error() != tt.err {
				t.Errorf("%q: error is %v, want %s", tt.names, err, tt.err)
			}
			continue
		}
		var ips []string
		for _, ip := range s.ips {
			ips = append(ips, ip.String())
		}
		if !slices.Equal(s.dns, tt.dns) || !slices.Equal(ips, tt.ips) {
			t.Errorf("%q: is %q and %q", tt.names, s.dns, ips)
		}
	}
}

// Whatever is accepted can be put into a certificate and is found in it again,
// or the serving certificate would be issued anew at every pass.
func FuzzParseSANs(f *testing.F) {
	for _, name := range []string{"localhost", "*.a", "my_host", "10.0.0.1", "::ffff:1.2.3.4", "[fd00::1]", "É", "a.b."} {
		f.Add(name)
	}
	rand := Options{}.withDefaults().Rand
	key, _, err := newKey(rand)
	if err != nil {
		f.Fatal(err)
	}
	cert, err := selfSign(clusterCA, key, birth, rand)
	if err != nil {
		f.Fatal(err)
	}
	ca := &authority{cert: cert, key: key}
	f.Fuzz(func(t *testing.T, name string) {
		s, err := parseSANs([]string{name})
		if err != nil {
			return
		}
		spec := leafSpec{user: "u", sans: s, life: time.Hour}
		leaf, err := ca.issue(spec, birth, rand)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if _, ok := ca.fits(spec, leaf.certPEM, leaf.keyPEM, birth); !ok {
			t.Errorf("%q: is not found in %q %q", name, leaf.cert.DNSNames, leaf.cert.IPAddresses)
		}
	})
}
