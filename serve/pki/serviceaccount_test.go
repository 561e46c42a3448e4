package pki

import (
	"os"
	"slices"
	"testing"
)

func TestServiceAccountRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		mar  func(f *fixture, p *PKI)
		pub  bool
		says []string
	}{
		{"corrupt key", func(f *fixture, p *PKI) { f.write(p.Paths.ServiceAccountKey, "nothing") }, false,
			[]string{"holds no private key", "remove both", "every service account token"}},
		{"lost key", func(f *fixture, p *PKI) { f.remove(p.Paths.ServiceAccountKey) }, false,
			[]string{"does not exist", "restore"}},
		{"wide key", func(f *fixture, p *PKI) {
			if err := os.Chmod(p.Paths.ServiceAccountKey, 0o644); err != nil {
				f.t.Fatal(err)
			}
		}, false, []string{"chmod 600 "}},
		{"corrupt public half", func(f *fixture, p *PKI) { f.write(p.Paths.ServiceAccountPub, "nothing") }, true,
			[]string{"does not hold the public half", "remove it"}},
		{"public half of another", func(f *fixture, p *PKI) {
			f.write(p.Paths.ServiceAccountPub, otherPublic(f.t))
		}, true, []string{"does not hold the public half"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			p := f.ensure()
			tt.mar(f, p)
			file := p.Paths.ServiceAccountKey
			if tt.pub {
				file = p.Paths.ServiceAccountPub
			}
			f.refuse(file, tt.says...)
		})
	}
}

func otherPublic(t *testing.T) string {
	t.Helper()
	key, _, err := newKey(Options{}.withDefaults().Rand)
	if err != nil {
		t.Fatal(err)
	}
	data, err := encodePublic(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The public half is made again from the key, and older keys in it are kept.
func TestServiceAccountPublicHalf(t *testing.T) {
	f := newFixture(t)
	p := f.ensure()
	own, _ := os.ReadFile(p.Paths.ServiceAccountPub)

	f.remove(p.Paths.ServiceAccountPub)
	if made := f.ensure().Made; !slices.Equal(made, []string{"service-account"}) {
		t.Errorf("made %q", made)
	}
	if got, _ := os.ReadFile(p.Paths.ServiceAccountPub); string(got) != string(own) {
		t.Errorf("public half is %s", got)
	}

	both := otherPublic(t) + string(own)
	f.write(p.Paths.ServiceAccountPub, both)
	f.ensure()
	if got, _ := os.ReadFile(p.Paths.ServiceAccountPub); string(got) != both {
		t.Errorf("public half is %s", got)
	}
}
