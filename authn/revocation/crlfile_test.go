package revocation

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/authn"
)

var tomorrow = noon.AddDate(0, 0, 1)

// trust is a set of CAs that changes.
type trust struct {
	mu  sync.Mutex
	cas []*x509.Certificate
}

func trusting(cas ...*ca) *trust {
	t := &trust{}
	t.set(cas...)
	return t
}

func (t *trust) set(cas ...*ca) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cas = nil
	for _, c := range cas {
		t.cas = append(t.cas, c.cert)
	}
}

func (t *trust) get() []*x509.Certificate {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cas
}

// crlJournal collects what a CRLFile says.
type crlJournal struct {
	mu   sync.Mutex
	errs []string
}

func (j *crlJournal) add(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.errs = append(j.errs, err.Error())
}

func (j *crlJournal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.errs...)
}

func openCRL(t testing.TB, path string, cas *trust, more ...func(*CRLOptions)) *CRLFile {
	t.Helper()
	opts := CRLOptions{Path: path, CAs: cas.get, Clock: clocktesting.NewFakePassiveClock(noon), OnError: func(error) {}}
	for _, m := range more {
		m(&opts)
	}
	f, err := OpenCRL(opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t *testing.T, f *CRLFile) *CRLFile {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func refuses(f *CRLFile, chain ...*x509.Certificate) bool { return f.Check(chain) != nil }

func TestCRL(t *testing.T) {
	one, two := newCA(t, "one"), newCA(t, "two")
	both := trusting(one, two)
	for name, data := range map[string][]byte{
		"DER":         one.list(t, 1, tomorrow, 5),
		"PEM":         toPEM(one.list(t, 1, tomorrow, 5)),
		"PEM of two":  toPEM(two.list(t, 1, tomorrow, 6), one.list(t, 1, tomorrow, 5)),
		"text around": append([]byte("Certificate Revocation List (CRL):\n"), append(toPEM(one.list(t, 1, tomorrow, 5)), "\ntrailer\n"...)...),
		"newer wins":  toPEM(one.list(t, 2, tomorrow, 5), one.list(t, 1, tomorrow)),
	} {
		f := openCRL(t, tempFile(t, data), both)
		a := wrap(t, byCertificate, nil, f)
		got := verdict(a, request("", one.client(t, "ann", 5)))
		if !strings.HasPrefix(got, "credential revoked by CRL/") || !strings.Contains(got, `clients.crl: keyCompromise (certificate 5 of "CN=one")`) {
			t.Errorf("%s: got %q", name, got)
		}
		if got := verdict(a, request("", one.client(t, "bob", 6))); got != "" {
			t.Errorf("%s: another serial number: got %q", name, got)
		}
		if got := verdict(a, request("", two.client(t, "eve", 5))); got != "" {
			t.Errorf("%s: another issuer: got %q", name, got)
		}
		if got := verdict(wrap(t, as("sam"), nil, f), request("token")); got != "" {
			t.Errorf("%s: no certificate: got %q", name, got)
		}
		if err := f.LastError(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		middle := two.client(t, "middle", 6)
		if want := name == "PEM of two"; refuses(f, one.client(t, "bob", 7), middle) != want {
			t.Errorf("%s: a revoked intermediate: want refused %v", name, want)
		}
	}
}

func TestCRLExpired(t *testing.T) {
	one, two := newCA(t, "one"), newCA(t, "two")
	impostor := newCA(t, "one") // the same name, another key
	path := tempFile(t, one.list(t, 1, noon.Add(-time.Hour), 5))
	var j crlJournal
	f := openCRL(t, path, trusting(one, two), func(o *CRLOptions) { o.OnError = j.add })
	err := f.Check([]*x509.Certificate{one.client(t, "bob", 6)})
	if err == nil || !strings.Contains(err.Error(), `list number 1 of "CN=one" expired at 2030-06-01T11:00:00Z`) {
		t.Errorf("got %v", err)
	}
	if refuses(f, two.client(t, "eve", 6)) || refuses(f, impostor.client(t, "eve", 6)) {
		t.Error("certificates of other CAs are refused")
	}
	if all := j.all(); len(all) != 1 || !strings.Contains(all[0], "expiredCRL: Refuse") || f.LastError() == nil {
		t.Errorf("the expiry is not reported once: %q", all)
	}
	f = openCRL(t, path, trusting(one), func(o *CRLOptions) { o.Expired = AcceptExpired })
	if refuses(f, one.client(t, "bob", 6)) || !refuses(f, one.client(t, "ann", 5)) {
		t.Error("Accept: the old list does not count as it is")
	}
	now := clocktesting.NewFakePassiveClock(noon)
	f = openCRL(t, tempFile(t, one.list(t, 1, noon, 5)), trusting(one), func(o *CRLOptions) { o.Clock = now })
	bob := one.client(t, "bob", 6)
	if refuses(f, bob) {
		t.Error("the list expires before nextUpdate has passed")
	}
	now.SetTime(noon.Add(time.Second))
	if !refuses(f, bob) {
		t.Error("the list does not expire while the server runs")
	}
}

func TestCRLBadAtStart(t *testing.T) {
	one, impostor := newCA(t, "one"), newCA(t, "one")
	good := one.list(t, 1, tomorrow, 5)
	mute := newCA(t, "mute")
	mute.cert.KeyUsage = x509.KeyUsageCertSign
	with := func(list, entry []pkix.Extension) []byte {
		return one.sign(t, &x509.RevocationList{
			Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: tomorrow, ExtraExtensions: list,
			RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(3), RevocationTime: noon, ExtraExtensions: entry}},
		})
	}
	ext := func(id asn1.ObjectIdentifier, critical bool) []pkix.Extension {
		return []pkix.Extension{{Id: id, Critical: critical, Value: []byte{5, 0}}}
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	for want, data := range map[string][]byte{
		"is empty":                                                  []byte(" \n"),
		"is not a certificate revocation list":                      []byte("hello"),
		"is not a certificate revocation list: x509: m":             good[:len(good)/2],
		"bytes after the end":                                       append(append([]byte(nil), good...), 0),
		`is of "CN=two", which is not among the 2`:                  newCA(t, "two").list(t, 1, tomorrow),
		`not signed by the client CA whose name it bears, "CN=one"`: impostor.list(t, 1, tomorrow),
		"not signed by the client CA":                               flipped,
		"1 of its 2 PEM blocks are broken":                          toPEM(good, good)[:len(toPEM(good, good))-40],
		"1 of its 2 PEM blocks are broken or":                       toPEM(good, good)[20:],
		`PEM block 1 is a "CERTIFICATE"`:                            pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: one.cert.Raw}),
		"list 2 is of":                                              toPEM(good, newCA(t, "two").list(t, 1, tomorrow)),
		"is a delta CRL":                                            with(ext(oidDeltaCRL, true), nil),
		"is an indirect CRL or":                                     with(ext(oidDistributionPoint, false), nil),
		"is an indirect CRL; ":                                      with(nil, ext(oidCertificateIssuer, true)),
		"critical extension 1.2.3, which":                           with(ext(asn1.ObjectIdentifier{1, 2, 3}, true), nil),
		"entry with the critical extension 1.2.4":                   with(nil, ext(asn1.ObjectIdentifier{1, 2, 4}, true)),
		"does not allow it (cRLSign)":                               mute.listAsIfAllowed(t),
	} {
		path := tempFile(t, data)
		_, err := OpenCRL(CRLOptions{Path: path, CAs: trusting(one, mute).get})
		var fileErr *authn.FileError
		if !errors.As(err, &fileErr) || fileErr.Path != path || fileErr.Mend == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if f := openCRL(t, tempFile(t, with(ext(asn1.ObjectIdentifier{1, 2, 3}, false), ext(asn1.ObjectIdentifier{1, 2, 4}, false))), trusting(one)); !refuses(f, one.client(t, "x", 3)) {
		t.Error("extensions that are not critical stand in the way")
	}
	_, err := OpenCRL(CRLOptions{Path: filepath.Join(t.TempDir(), "none.crl"), CAs: trusting(one).get})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.crl: read CRL file") {
		t.Errorf("got %v", err)
	}
	for _, opts := range []CRLOptions{{}, {Path: "x"}, {Path: "x", CAs: trusting().get, Expired: "Maybe"}} {
		if _, err := OpenCRL(opts); err == nil {
			t.Errorf("%+v is accepted", opts)
		}
	}
}

// listAsIfAllowed makes a CRL of a CA whose certificate does not allow it.
func (c *ca) listAsIfAllowed(t *testing.T) []byte {
	allowed := *c.cert
	allowed.KeyUsage |= x509.KeyUsageCRLSign
	with := &ca{cert: &allowed, key: c.key}
	return with.list(t, 1, tomorrow) // OpenCRL is given c.cert, which forbids it
}

func TestCRLHoldThatWasLifted(t *testing.T) {
	one := newCA(t, "one")
	f := openCRL(t, tempFile(t, one.sign(t, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: tomorrow,
		RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(3), RevocationTime: noon, ReasonCode: 6},
			{SerialNumber: big.NewInt(4), RevocationTime: noon, ReasonCode: 8},
		},
	})), trusting(one))
	if !refuses(f, one.client(t, "held", 3)) || refuses(f, one.client(t, "released", 4)) {
		t.Error("certificateHold and removeFromCRL are not as they should be")
	}
}

func TestCRLReload(t *testing.T) {
	one, two := newCA(t, "one"), newCA(t, "two")
	ann, bob := one.client(t, "ann", 5), one.client(t, "bob", 6)
	path := tempFile(t, toPEM(one.list(t, 5, tomorrow, 5)))
	var j crlJournal
	cas := trusting(one)
	f := run(t, openCRL(t, path, cas, func(o *CRLOptions) { o.OnError = j.add }))
	complains := func(text string) func() bool {
		return func() bool { err := f.LastError(); return err != nil && strings.Contains(err.Error(), text) }
	}

	replacement := filepath.Join(filepath.Dir(path), "new")
	write(t, replacement, one.list(t, 6, tomorrow, 5, 6)) // DER now, renamed over
	if err := os.Rename(replacement, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bob is refused", func() bool { return refuses(f, bob) })

	whole := toPEM(one.list(t, 7, tomorrow, 5, 6, 7))
	for text, bad := range map[string][]byte{
		"broken or cut off": whole[:len(whole)/2],
		"is empty":          nil,
		"not among":         two.list(t, 9, tomorrow),
		"not signed by":     newCA(t, "one").list(t, 9, tomorrow),
		"list number 4 of \"CN=one\", which is older than list number 6": one.list(t, 4, tomorrow, 5),
	} {
		write(t, path, bad)
		eventually(t, text, complains(text))
		if !refuses(f, ann) || !refuses(f, bob) {
			t.Fatalf("%s: the last good list is not in force", text)
		}
	}
	if got := len(j.all()); got != 5 {
		t.Errorf("%d reports, want 5: %q", got, j.all())
	}

	write(t, path, one.list(t, 8, tomorrow, 6))
	eventually(t, "ann is let in again", func() bool { return !refuses(f, ann) && f.LastError() == nil })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing file is reported", complains("no such file"))
	if !refuses(f, bob) {
		t.Error("the list went with the file")
	}
	if err := os.Symlink(tempFile(t, one.list(t, 9, tomorrow, 5)), path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the linked file counts", func() bool { return refuses(f, ann) && !refuses(f, bob) && f.LastError() == nil })
}

func TestCRLOfSeveralIssuers(t *testing.T) {
	one, two := newCA(t, "one"), newCA(t, "two")
	ann, eve := one.client(t, "ann", 5), two.client(t, "eve", 5)
	path := tempFile(t, toPEM(one.list(t, 1, tomorrow, 5), two.list(t, 1, tomorrow, 5)))
	cas := trusting(one, two)
	f := run(t, openCRL(t, path, cas))

	// One issuer's list is gone, the other's is new: the new one counts, and the
	// one that is gone stays in force.
	write(t, path, toPEM(two.list(t, 2, tomorrow)))
	eventually(t, "eve is let in", func() bool { return !refuses(f, eve) })
	if !refuses(f, ann) || !strings.Contains(f.LastError().Error(), `no longer holds a list of "CN=one"`) {
		t.Errorf("the list that is gone does not hold: %v", f.LastError())
	}
	// Its CA is no longer trusted: the list goes too, without a change of the file.
	cas.set(two)
	eventually(t, "the list of the CA that is gone is dropped", func() bool { return !refuses(f, ann) && f.LastError() == nil })

	// A list that came before its CA counts once the CA is there.
	write(t, path, toPEM(one.list(t, 3, tomorrow, 5), two.list(t, 3, tomorrow, 5)))
	eventually(t, "the good list counts beside the bad one", func() bool { return refuses(f, eve) && f.LastError() != nil })
	if refuses(f, ann) {
		t.Error("a list of an unknown CA counts")
	}
	cas.set(one, two)
	eventually(t, "the list counts with its CA", func() bool { return refuses(f, ann) && f.LastError() == nil })
}

func FuzzCRL(f *testing.F) {
	one := newCA(f, "one")
	good := one.list(f, 1, tomorrow, 5)
	cas := []*x509.Certificate{one.cert}
	for _, seed := range [][]byte{good, toPEM(good), toPEM(good, good), good[:40], nil, []byte("-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, errs := readCRLs(data, cas)
		if len(lists) == 0 && len(errs) == 0 {
			t.Fatal("neither a list nor an error")
		}
		for _, list := range lists {
			if _, ok := list.revoked["\x05"]; !ok || len(list.revoked) != 1 {
				t.Fatal("a list that the CA did not sign is in force")
			}
		}
	})
}
