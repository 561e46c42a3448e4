package attach

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// issuer is an OpenID provider.
type issuer struct {
	*httptest.Server
	signer jose.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: "k", Algorithm: "ES256", Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{signer: signer}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/keys") {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}})
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL, i.URL+"/keys")
	}))
	t.Cleanup(i.Close)
	return i
}

// token is one for a user, that ends in an hour.
func (i *issuer) token(t *testing.T, user, audience string) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"iss": i.URL, "sub": user, "aud": audience, "jti": "id-" + user,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// settings is an AuthenticationConfiguration that believes these issuers.
func believing(issuers ...*issuer) string {
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n"
	for _, i := range issuers {
		ca := strings.ReplaceAll(strings.TrimSpace(string(toPEM("CERTIFICATE", i.Certificate().Raw))), "\n", "\n      ")
		text += fmt.Sprintf("- issuer:\n    url: %s\n    audiences: [cluster]\n    certificateAuthority: |\n      %s\n  claimMappings: {username: {claim: sub, prefix: \"oidc:\"}}\n", i.URL, ca)
	}
	return text
}

func TestJWTIssuers(t *testing.T) {
	first, second := newIssuer(t), newIssuer(t)
	file := filepath.Join(t.TempDir(), "authentication.yaml")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(believing(first))
	j, err := newJWTTokens(t.Context(), file, []string{"api"})
	if err != nil {
		t.Fatal(err)
	}
	who := func(token string) string {
		resp, ok, err := j.AuthenticateToken(authenticator.WithAudiences(t.Context(), []string{"api"}), token)
		switch {
		case err != nil:
			return "error"
		case !ok:
			return ""
		}
		return resp.User.GetName()
	}
	eventually(t, "the issuer is reached", func() bool { return who(first.token(t, "jane", "cluster")) == "oidc:jane" })
	if got := who(first.token(t, "jane", "elsewhere")); got != "error" {
		t.Errorf("a token for another audience: %q", got)
	}
	if got := who(second.token(t, "jane", "cluster")); got != "" {
		t.Errorf("a token of an unknown issuer: %q", got)
	}
	if got := who(first.token(t, "jane", "cluster") + "x"); got != "error" {
		t.Errorf("a token with a broken signature: %q", got)
	}
	if got := who("opaque"); got != "" {
		t.Errorf("no JWT: %q", got)
	}

	// A file that turns bad changes nothing; another issuer is believed once it
	// has been reached.
	put("kind: nonsense")
	time.Sleep(time.Second)
	if got := who(first.token(t, "jane", "cluster")); got != "oidc:jane" {
		t.Errorf("after a bad file: %q", got)
	}
	put(believing(second))
	eventually(t, "the other issuer counts", func() bool {
		return who(second.token(t, "sam", "cluster")) == "oidc:sam" && who(first.token(t, "jane", "cluster")) == ""
	})
}

func TestAuthenticationConfigurationIsReadStrictly(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "Object 'Kind' is missing"},
		{"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n", "anonymous: has no meaning here"},
		{"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: [{issuer: {url: \"http://x\"}}]\n", "URL scheme must be https"},
		{"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwtt: []\n", "unknown field"},
		{"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n", "want an AuthenticationConfiguration"},
	} {
		if _, err := parseAuthentication([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}
