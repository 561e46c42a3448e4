package pki

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certutil "k8s.io/client-go/util/cert"
)

func TestBundle(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	other := newFixture(t)
	q := other.ensure()
	own, _ := os.ReadFile(p.Paths.ClusterCA.Cert)
	if got, _ := os.ReadFile(p.Paths.ClientCABundle); string(got) != string(own) {
		t.Errorf("bundle is %s", got)
	}

	// The key that strayed into the file, and our own CA again, stay out.
	extra := filepath.Join(f.data, "extra.pem")
	theirs, _ := os.ReadFile(q.Paths.ClusterCA.Cert)
	key, _ := os.ReadFile(q.Paths.ClusterCA.Key)
	f.write(extra, "a note\n"+string(key)+string(own)+string(theirs))
	f.opts.ExtraClientCAFile = extra
	if made := f.ensure().Made; !slices.Equal(made, []string{"client-ca-bundle"}) {
		t.Errorf("made %q", made)
	}
	got, _ := os.ReadFile(p.Paths.ClientCABundle)
	if string(got) != string(own)+string(theirs) {
		t.Errorf("bundle is %s", got)
	}
	if strings.Contains(string(got), "PRIVATE KEY") {
		t.Error("bundle holds a key")
	}
	if certs, err := certutil.ParseCertsPEM(got); err != nil || len(certs) != 2 {
		t.Errorf("bundle has %d certificates, %v", len(certs), err)
	}

	for _, content := range []string{"", "nothing", string(key)} {
		f.write(extra, content)
		f.refuse(extra, "holds no certificate")
	}
	f.remove(extra)
	f.refuse(extra, "no such file")
	if now, _ := os.ReadFile(p.Paths.ClientCABundle); string(now) != string(got) {
		t.Error("a file that could not be used changed the bundle")
	}
}
