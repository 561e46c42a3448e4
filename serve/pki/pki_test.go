package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"
	clocktesting "k8s.io/utils/clock/testing"
)

var birth = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a data directory and the options of a server that lives in it.
type fixture struct {
	t     *testing.T
	data  string
	clock *clocktesting.FakePassiveClock
	opts  Options
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	data := t.TempDir()
	clk := clocktesting.NewFakePassiveClock(birth)
	return &fixture{t: t, data: data, clock: clk, opts: Options{
		Dir:             filepath.Join(data, "pki"),
		SANs:            []string{"localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"},
		Clock:           clk,
		AdminKubeconfig: filepath.Join(data, "admin.kubeconfig"),
		AdminServer:     "https://127.0.0.1:6443",
	}}
}

func (f *fixture) ensure() *PKI {
	f.t.Helper()
	p, err := Ensure(f.opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// refuse expects Ensure to fail over file, in a text and a hint that hold each of says.
func (f *fixture) refuse(file string, says ...string) *FileError {
	f.t.Helper()
	_, err := Ensure(f.opts)
	var fe *FileError
	if !errors.As(err, &fe) {
		f.t.Fatalf("error is %v, want a FileError", err)
	}
	if fe.File != file {
		f.t.Errorf("error names %s, want %s", fe.File, file)
	}
	text := inOneLine(err).Error()
	for _, say := range says {
		if !strings.Contains(text, say) {
			f.t.Errorf("error does not say %q: %s", say, text)
		}
	}
	return fe
}

// files are all files below the data directory, by relative path.
func (f *fixture) files() map[string]string {
	f.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(f.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(f.data, path)
		data, err := os.ReadFile(path)
		files[rel] = string(data)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

// changed are the files that differ from before, sorted.
func (f *fixture) changed(before map[string]string) []string {
	f.t.Helper()
	var names []string
	for name, data := range f.files() {
		if before[name] != data {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *fixture) write(path, data string) {
	f.t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) remove(paths ...string) {
	f.t.Helper()
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			f.t.Fatal(err)
		}
	}
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parseCert(data)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

var allFiles = []string{
	"admin.kubeconfig",
	"pki/client-ca-bundle.crt",
	"pki/cluster-ca.crt", "pki/cluster-ca.key",
	"pki/etcd-ca.crt", "pki/etcd-ca.key",
	"pki/etcd-client.crt", "pki/etcd-client.key",
	"pki/etcd-server.crt", "pki/etcd-server.key",
	"pki/front-proxy-ca.crt", "pki/front-proxy-ca.key",
	"pki/front-proxy-client.crt", "pki/front-proxy-client.key",
	"pki/kubelet-client.crt", "pki/kubelet-client.key",
	"pki/service-account.key", "pki/service-account.pub",
	"pki/serving.crt", "pki/serving.key",
}

func TestEnsureMakesEverything(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	if got := slices.Sorted(maps.Keys(f.files())); !slices.Equal(got, allFiles) {
		t.Errorf("files are %q", got)
	}
	for _, name := range allFiles {
		info, err := os.Stat(filepath.Join(f.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fileMode {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
	}
	if info, _ := os.Stat(f.opts.Dir); info.Mode().Perm() != dirMode {
		t.Errorf("directory has mode %s", info.Mode())
	}
	for _, pair := range []Pair{
		p.Paths.ClusterCA, p.Paths.FrontProxyCA, p.Paths.EtcdCA, p.Paths.Serving, p.Paths.KubeletClient,
		p.Paths.FrontProxyClient, p.Paths.EtcdServer, p.Paths.EtcdClient,
	} {
		if _, err := tls.LoadX509KeyPair(pair.Cert, pair.Key); err != nil {
			t.Errorf("load %s: %v", pair.Cert, err)
		}
		cert := readCert(t, pair.Cert)
		if cert.SerialNumber.BitLen() < 64 {
			t.Errorf("%s has serial %s", pair.Cert, cert.SerialNumber)
		}
		if want := birth.Add(-5 * time.Minute); !cert.NotBefore.Equal(want) {
			t.Errorf("%s begins at %s, want %s", pair.Cert, cert.NotBefore, want)
		}
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s has no P-256 key", pair.Cert)
		}
	}
	if _, err := keyutil.PrivateKeyFromFile(p.Paths.ServiceAccountKey); err != nil {
		t.Error(err)
	}
	if _, err := keyutil.PublicKeysFromFile(p.Paths.ServiceAccountPub); err != nil {
		t.Error(err)
	}
}

func TestEnsureExternalEtcd(t *testing.T) {
	f := newFixture(t)
	f.opts.ExternalEtcd = true
	p := f.ensure()
	if p.Paths.EtcdCA != (Pair{}) || p.Paths.EtcdServer != (Pair{}) || p.Paths.EtcdClient != (Pair{}) {
		t.Errorf("paths name etcd: %+v", p.Paths)
	}
	if found, _ := filepath.Glob(filepath.Join(f.opts.Dir, "etcd*")); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

func TestEnsureTwiceKeepsEverything(t *testing.T) {
	f := newFixture(t)
	if made := f.ensure().Made; len(made) != len(allFiles)/2+1 {
		t.Errorf("made %q", made)
	}
	before := f.files()
	f.clock.SetTime(birth.Add(4 * 24 * time.Hour))
	if made := f.ensure().Made; len(made) != 0 {
		t.Errorf("second Ensure made %q", made)
	}
	if changed := f.changed(before); len(changed) > 0 {
		t.Errorf("second Ensure changed %q", changed)
	}
}

func TestEnsureSweepsTemporaryFiles(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	f.write(filepath.Join(f.opts.Dir, ".serving.key.tmp-123"), "half a key")
	f.write(filepath.Join(f.data, ".admin.kubeconfig.tmp-123"), "half a kubeconfig")
	f.write(filepath.Join(f.data, ".other.tmp-123"), "somebody else's")
	f.ensure()
	want := append([]string{".other.tmp-123"}, allFiles...)
	if got := slices.Sorted(maps.Keys(f.files())); !slices.Equal(got, want) {
		t.Errorf("files are %q", got)
	}
}

// Each leaf verifies against its own authority, for its own usage, and against
// no other authority.
func TestChains(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	cas := []Pair{p.Paths.ClusterCA, p.Paths.FrontProxyCA, p.Paths.EtcdCA}
	const server, client = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, tt := range []struct {
		leaf, ca  Pair
		user      string
		groups    []string
		usages    []x509.ExtKeyUsage
		names     []string
		notUsages []x509.ExtKeyUsage
	}{
		{p.Paths.Serving, p.Paths.ClusterCA, "gatehouse", nil, []x509.ExtKeyUsage{server},
			[]string{"localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"}, []x509.ExtKeyUsage{client}},
		{p.Paths.KubeletClient, p.Paths.ClusterCA, KubeletClientUser, []string{KubeletClientGroup},
			[]x509.ExtKeyUsage{client}, nil, []x509.ExtKeyUsage{server}},
		{p.Paths.FrontProxyClient, p.Paths.FrontProxyCA, FrontProxyUser, nil,
			[]x509.ExtKeyUsage{client}, nil, []x509.ExtKeyUsage{server}},
		{p.Paths.EtcdServer, p.Paths.EtcdCA, "gatehouse-etcd", nil,
			[]x509.ExtKeyUsage{server, client}, []string{"localhost", "127.0.0.1"}, nil},
		{p.Paths.EtcdClient, p.Paths.EtcdCA, "gatehouse-etcd-client", nil,
			[]x509.ExtKeyUsage{client}, nil, []x509.ExtKeyUsage{server}},
	} {
		t.Run(filepath.Base(tt.leaf.Cert), func(t *testing.T) {
			leaf := readCert(t, tt.leaf.Cert)
			verify := func(ca Pair, usage x509.ExtKeyUsage) error {
				roots := x509.NewCertPool()
				roots.AddCert(readCert(t, ca.Cert))
				_, err := leaf.Verify(x509.VerifyOptions{
					Roots: roots, CurrentTime: birth, KeyUsages: []x509.ExtKeyUsage{usage},
				})
				return err
			}
			for _, usage := range tt.usages {
				if err := verify(tt.ca, usage); err != nil {
					t.Errorf("usage %v: %v", usage, err)
				}
			}
			for _, usage := range tt.notUsages {
				if verify(tt.ca, usage) == nil {
					t.Errorf("usage %v is allowed", usage)
				}
			}
			for _, ca := range cas {
				if ca != tt.ca && verify(ca, x509.ExtKeyUsageAny) == nil {
					t.Errorf("verifies against %s", ca.Cert)
				}
			}
			for _, name := range tt.names {
				if err := leaf.VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			if leaf.Subject.CommonName != tt.user || !slices.Equal(leaf.Subject.Organization, tt.groups) {
				t.Errorf("subject is %s", leaf.Subject)
			}
			if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
				t.Errorf("IsCA is %v, KeyUsage is %v", leaf.IsCA, leaf.KeyUsage)
			}
			if want := birth.Add(LeafLifetime); !leaf.NotAfter.Equal(want) {
				t.Errorf("ends at %s, want %s", leaf.NotAfter, want)
			}
		})
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*Options)
		want string
	}{
		{"no dir", func(o *Options) { o.Dir = "" }, "ensure PKI: option Dir: is empty"},
		{"no names", func(o *Options) { o.SANs = []string{"0.0.0.0"} },
			"ensure PKI: option SANs: needs at least one DNS name or IP address"},
		{"bad name", func(o *Options) { o.SANs = []string{"a b"} },
			`ensure PKI: option SANs: "a b": is neither a DNS name nor an IP address`},
		{"no server", func(o *Options) { o.AdminServer = "" },
			`ensure PKI: option AdminServer: "": is not a URL of the form https://HOST:PORT`},
		{"plain server", func(o *Options) { o.AdminServer = "http://a" },
			`ensure PKI: option AdminServer: "http://a": is not a URL of the form https://HOST:PORT`},
		{"short admin", func(o *Options) { o.Admin.TTL = time.Minute },
			"ensure PKI: option Admin.TTL: 1m0s is less than 10m0s"},
		{"master admin", func(o *Options) { o.Admin.Groups = []string{"system:masters"} },
			"ensure PKI: option Admin: option Groups: system:masters may be above every rule, and needs AllowSystemMasters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			tt.edit(&f.opts)
			_, err := Ensure(f.opts)
			if err == nil || err.Error() != tt.want {
				t.Errorf("error is %v\nwant %s", err, tt.want)
			}
			if len(f.files()) > 0 {
				t.Errorf("wrote %q", slices.Collect(maps.Keys(f.files())))
			}
		})
	}
}
