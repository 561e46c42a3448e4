package revocation

import (
	"fmt"
	"net/http"
	"testing"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// constant is a delegate that costs nothing.
func constant(name string, credentialIDs ...string) authenticator.Request {
	resp := &authenticator.Response{User: &user.DefaultInfo{Name: name, Extra: map[string][]string{user.CredentialIDKey: credentialIDs}}}
	return authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) { return resp, true, nil })
}

// mixed makes n Revocations of every kind, none of which concerns the tests' users.
func mixed(n int) []v1alpha1.Revocation {
	revs := make([]v1alpha1.Revocation, n)
	for i := range revs {
		var spec v1alpha1.RevocationSpec
		switch i % 4 {
		case 0:
			spec.Certificate = &v1alpha1.RevokedCertificate{SerialNumber: fmt.Sprintf("%x", 1_000_000+i)}
		case 1:
			spec.Certificate = &v1alpha1.RevokedCertificate{SHA256Fingerprint: fmt.Sprintf("%064x", i)}
		case 2:
			spec.User = &v1alpha1.RevokedUser{Name: fmt.Sprint("user-", i), IssuedBefore: *at(noon)}
		case 3:
			spec.TokenID = fmt.Sprint("token-", i)
		}
		revs[i] = revocation(fmt.Sprint("r", i), spec)
	}
	return revs
}

func TestNothingRevokedAllocatesNothing(t *testing.T) {
	clients := newCA(t, "clients")
	ann := clients.client(t, "ann", 0x1234)
	withCert, withToken := request("", ann), request(jwt(`{"jti":"x"}`))
	certAuth, tokenAuth := constant("ann", "X509SHA256="+fingerprint(ann)), constant("sam", "JTI=x")
	crl := openCRL(t, tempFile(t, clients.list(t, 1, tomorrow, 1, 2, 3)), trusting(clients))
	for name, c := range map[string]struct {
		auth *Authenticator
		req  *http.Request
	}{
		"no list, token":             {wrap(t, tokenAuth, nil), withToken},
		"empty, certificate":         {wrap(t, certAuth, registryOf(t)), withCert},
		"empty, token":               {wrap(t, tokenAuth, registryOf(t)), withToken},
		"full, certificate":          {wrap(t, certAuth, registryOf(t, mixed(1000)...)), withCert},
		"full, certificate, and CRL": {wrap(t, certAuth, registryOf(t, mixed(1000)...), crl), withCert},
	} {
		if got := verdict(c.auth, c.req); got != "" {
			t.Fatalf("%s: %s", name, got)
		}
		if n := testing.AllocsPerRun(200, func() { _, _, _ = c.auth.AuthenticateRequest(c.req) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAuthenticateRequest(b *testing.B) {
	clients := newCA(b, "clients")
	ann := clients.client(b, "ann", 0x1234)
	crl := openCRL(b, tempFile(b, clients.list(b, 1, tomorrow, 1, 2, 3)), trusting(clients))
	for _, n := range []int{0, 1_000, 100_000} {
		reg := registryOf(b, mixed(n)...)
		for name, c := range map[string]struct {
			auth authenticator.Request
			req  *http.Request
		}{
			"certificate": {wrap(b, constant("ann", "X509SHA256="+fingerprint(ann)), reg, crl), request("", ann)},
			"token":       {wrap(b, constant("sam", "JTI=x"), reg, crl), request(jwt(`{"iss":"https://kubernetes.default.svc","sub":"sam","aud":["api"],"iat":100,"exp":200,"jti":"x"}`))},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok, _ := c.auth.AuthenticateRequest(c.req); !ok {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

func BenchmarkUpsert(b *testing.B) {
	for _, n := range []int{0, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			reg, rev := registryOf(b, mixed(n)...), tokenRule("new", "id")
			b.ReportAllocs()
			for b.Loop() {
				_ = reg.Upsert(&rev)
			}
		})
	}
}
