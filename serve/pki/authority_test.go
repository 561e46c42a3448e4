package pki

import (
	"bytes"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuthorityShape(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	for _, pair := range []Pair{p.Paths.ClusterCA, p.Paths.FrontProxyCA, p.Paths.EtcdCA} {
		ca := readCert(t, pair.Cert)
		if !ca.IsCA || ca.MaxPathLen != 0 || !ca.MaxPathLenZero {
			t.Errorf("%s: IsCA %v, MaxPathLen %d", pair.Cert, ca.IsCA, ca.MaxPathLen)
		}
		if ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature {
			t.Errorf("%s: KeyUsage %v", pair.Cert, ca.KeyUsage)
		}
		if len(ca.SubjectKeyId) != 20 {
			t.Errorf("%s: SubjectKeyId %x", pair.Cert, ca.SubjectKeyId)
		}
		if want := birth.AddDate(10, 0, 0); !ca.NotAfter.Equal(want) {
			t.Errorf("%s: ends at %s, want %s", pair.Cert, ca.NotAfter, want)
		}
	}
}

// Nothing that happens to an authority makes Ensure replace it: it says which
// file is at fault and what can be done.
func TestAuthorityRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		mar  func(f *fixture, ca Pair)
		file string
		says []string
	}{
		{"corrupt key", func(f *fixture, ca Pair) { f.write(ca.Key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n") },
			"cluster-ca.key", []string{"holds no private key", "restore", "remove both", "every kubeconfig"}},
		{"empty key", func(f *fixture, ca Pair) { f.write(ca.Key, "") },
			"cluster-ca.key", []string{"holds no private key"}},
		{"lost key", func(f *fixture, ca Pair) { f.remove(ca.Key) },
			"cluster-ca.key", []string{"does not exist", "restore"}},
		{"corrupt certificate", func(f *fixture, ca Pair) { f.write(ca.Cert, "nothing") },
			"cluster-ca.crt", []string{"holds no certificate", "restore"}},
		{"key of another", func(f *fixture, ca Pair) {
			_, other, err := newKey(f.opts.withDefaults().Rand)
			if err != nil {
				f.t.Fatal(err)
			}
			f.write(ca.Key, string(other))
		}, "cluster-ca.key", []string{"is not the key of", "restore"}},
		{"not an authority", func(f *fixture, ca Pair) {
			for _, ext := range []string{".crt", ".key"} {
				data, err := os.ReadFile(filepath.Join(f.opts.Dir, "serving"+ext))
				if err != nil {
					f.t.Fatal(err)
				}
				f.write(filepath.Join(f.opts.Dir, "cluster-ca"+ext), string(data))
			}
		}, "cluster-ca.crt", []string{"is not a certificate authority"}},
		{"wide key", func(f *fixture, ca Pair) {
			if err := os.Chmod(ca.Key, 0o640); err != nil {
				f.t.Fatal(err)
			}
		}, "cluster-ca.key", []string{"mode 0640", "chmod 600 "}},
		{"early clock", func(f *fixture, ca Pair) { f.clock.SetTime(birth.Add(-time.Hour)) },
			"cluster-ca.crt", []string{"valid from 2026-03-01T11:55:00Z", "clock says 2026-03-01T11:00:00Z", "set the clock"}},
		{"expired", func(f *fixture, ca Pair) { f.clock.SetTime(birth.AddDate(11, 0, 0)) },
			"cluster-ca.crt", []string{"expired at 2036-03-01T12:00:00Z", "set the clock", "remove both"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			p := f.ensure()
			tt.mar(f, p.Paths.ClusterCA)
			before := f.files()
			fe := f.refuse(filepath.Join(f.opts.Dir, tt.file), tt.says...)
			if fe.Hint() == "" || strings.Contains(fe.Error(), "c2VjcmV0") {
				t.Errorf("error is %v", fe)
			}
			if changed := f.changed(before); len(changed) > 0 {
				t.Errorf("changed %q", changed)
			}
			if _, err := Open(f.opts); err == nil {
				t.Error("Open takes it")
			}
			if _, _, err := p.Renew(f.clock.Now()); err == nil {
				t.Error("Renew takes it")
			}
		})
	}
}

// A clock that is slow by less than the backdating is none to complain of.
func TestAuthoritySlowClock(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	f.clock.SetTime(birth.Add(-4 * time.Minute))
	f.ensure()
}

// A crash between the key and the certificate of a new authority leaves a key
// alone. The certificate made again over it verifies what the key has signed.
func TestAuthorityKeyAlone(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	key, _ := os.ReadFile(p.Paths.ClusterCA.Key)
	f.remove(p.Paths.ClusterCA.Cert)
	if _, _, err := p.Renew(birth); err == nil {
		t.Error("Renew makes an authority")
	}
	made := f.ensure().Made
	if len(made) == 0 || made[0] != "cluster-ca" {
		t.Errorf("made %q", made)
	}
	if now, _ := os.ReadFile(p.Paths.ClusterCA.Key); !bytes.Equal(now, key) {
		t.Error("the key was replaced")
	}
	if err := readCert(t, p.Paths.Serving.Cert).CheckSignatureFrom(readCert(t, p.Paths.ClusterCA.Cert)); err != nil {
		t.Error(err)
	}
	for _, name := range made {
		if name == "serving" {
			t.Error("the serving certificate was replaced")
		}
	}
}

// Removing both files is how an operator asks for a new authority; the leaves
// of the old one go with it, and only those.
func TestAuthorityRemoved(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	before := f.files()
	f.remove(p.Paths.FrontProxyCA.Cert, p.Paths.FrontProxyCA.Key)
	if _, _, err := p.Renew(birth); err == nil {
		t.Error("Renew makes an authority")
	}
	f.ensure()
	want := "pki/front-proxy-ca.crt pki/front-proxy-ca.key pki/front-proxy-client.crt pki/front-proxy-client.key"
	if got := strings.Join(f.changed(before), " "); got != want {
		t.Errorf("changed %s", got)
	}
}

func TestDirectoryRefused(t *testing.T) {
	f := newFixture(t)
	f.ensure()
	if err := os.Chmod(f.opts.Dir, 0o755|fs.ModeDir); err != nil {
		t.Fatal(err)
	}
	f.refuse(f.opts.Dir, "chmod 700 "+f.opts.Dir)
}

func TestWriteNewFileKeepsWhatIsThere(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(f.data, "file")
	f.write(path, "first")
	if err := writeNewFile(path, []byte("second")); err == nil {
		t.Error("wrote over it")
	}
	if files := f.files(); len(files) != 1 || files["file"] != "first" {
		t.Errorf("files are %q", files)
	}
}
