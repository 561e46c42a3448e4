package pki

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRenewAtAThirdOfLife(t *testing.T) {
	f := newFixture(t)
	f.opts.AdminKubeconfig = ""
	p := f.ensure()
	before := f.files()

	dueAt := birth.Add(LeafLifetime * 2 / 3)
	renewed, next, err := p.Renew(dueAt.Add(-time.Second))
	if err != nil || len(renewed) > 0 || !next.Equal(dueAt) {
		t.Fatalf("before it is due: renewed %q, next %s, %v", renewed, next, err)
	}
	renewed, next, err = p.Renew(dueAt)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"serving", "kubelet-client", "front-proxy-client", "etcd-server", "etcd-client"}
	if !slices.Equal(renewed, want) {
		t.Errorf("renewed %q", renewed)
	}
	if want := dueAt.Add(LeafLifetime * 2 / 3); !next.Equal(want) {
		t.Errorf("next is %s, want %s", next, want)
	}
	changed := f.changed(before)
	if len(changed) != 2*len(want) {
		t.Errorf("changed %q", changed)
	}
	for _, name := range changed {
		if strings.Contains(name, "ca.") || strings.Contains(name, "service-account") {
			t.Errorf("changed %s", name)
		}
	}
}

// A leaf is replaceable: whatever is wrong with it, it is issued anew, alone.
func TestLeafMended(t *testing.T) {
	swap := func(f *fixture, from, to string) {
		data, err := os.ReadFile(filepath.Join(f.opts.Dir, from))
		if err != nil {
			f.t.Fatal(err)
		}
		f.write(filepath.Join(f.opts.Dir, to), string(data))
	}
	for _, tt := range []struct {
		name string
		mar  func(f *fixture, p *PKI)
	}{
		{"crash between key and certificate", func(f *fixture, p *PKI) {
			_, keyPEM, err := newKey(p.opts.Rand)
			if err != nil {
				f.t.Fatal(err)
			}
			f.write(p.Paths.Serving.Key, string(keyPEM))
		}},
		{"no key", func(f *fixture, p *PKI) { f.remove(p.Paths.Serving.Key) }},
		{"no certificate", func(f *fixture, p *PKI) { f.remove(p.Paths.Serving.Cert) }},
		{"corrupt key", func(f *fixture, p *PKI) { f.write(p.Paths.Serving.Key, "nothing") }},
		{"corrupt certificate", func(f *fixture, p *PKI) { f.write(p.Paths.Serving.Cert, "nothing") }},
		{"leaf of another name", func(f *fixture, p *PKI) {
			swap(f, "kubelet-client.crt", "serving.crt")
			swap(f, "kubelet-client.key", "serving.key")
		}},
		{"leaf of another authority", func(f *fixture, p *PKI) {
			swap(f, "etcd-server.crt", "serving.crt")
			swap(f, "etcd-server.key", "serving.key")
		}},
		{"more names wanted", func(f *fixture, p *PKI) { f.opts.SANs = append(f.opts.SANs, "api.example.com") }},
		{"more addresses wanted", func(f *fixture, p *PKI) { f.opts.SANs = append(f.opts.SANs, "fd00::1") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			first := f.ensure()
			before := f.files()
			tt.mar(f, first)
			p := f.ensure()
			if !slices.Equal(p.Made, []string{"serving"}) {
				t.Errorf("made %q", p.Made)
			}
			if got := strings.Join(f.changed(before), " "); got != "pki/serving.crt pki/serving.key" {
				t.Errorf("changed %s", got)
			}
			for _, name := range f.opts.SANs {
				if err := readCert(t, p.Paths.Serving.Cert).VerifyHostname(name); err != nil {
					t.Error(err)
				}
			}
			if made := f.ensure().Made; len(made) > 0 {
				t.Errorf("then made %q", made)
			}
		})
	}
}

func TestLeafFewerNamesWanted(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	f.opts.SANs = f.opts.SANs[:1]
	if made := f.ensure().Made; len(made) > 0 {
		t.Errorf("made %q", made)
	}
}

func TestLeafWideKeyRefused(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	if err := os.Chmod(p.Paths.EtcdServer.Key, 0o604); err != nil {
		t.Fatal(err)
	}
	f.refuse(p.Paths.EtcdServer.Key, "chmod 600 "+p.Paths.EtcdServer.Key)
}

// One leaf that cannot be renewed does not hold up the others.
func TestRenewGoesOn(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	if err := os.Chmod(p.Paths.Serving.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	renewed, next, err := p.Renew(birth.Add(LeafLifetime))
	if err == nil || !strings.Contains(inOneLine(err).Error(), "chmod 600") {
		t.Errorf("error is %v", err)
	}
	if len(renewed) != 5 || next.IsZero() {
		t.Errorf("renewed %q, next %s", renewed, next)
	}
}

// Near the end of the authority a leaf ends with it, and is not renewed over
// and over for a life that gets no longer.
func TestLeafEndsWithAuthority(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	end := readCert(t, p.Paths.ClusterCA.Cert).NotAfter
	if _, _, err := p.Renew(end.Add(-48 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := readCert(t, p.Paths.Serving.Cert).NotAfter; !got.Equal(end) {
		t.Errorf("ends at %s, want %s", got, end)
	}
	renewed, next, err := p.Renew(end.Add(-time.Minute))
	if err != nil || len(renewed) > 0 || !next.Equal(end) {
		t.Errorf("renewed %q, next %s, %v", renewed, next, err)
	}
}
