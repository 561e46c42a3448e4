package authn

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

const callback = "https://app.example/callback"

// provider is an OpenID Connect provider on a TLS port of its own.
type provider struct {
	url      string
	ca       string // PEM
	accounts *accounts
	client   *http.Client
}

// login is who signs in where, and what the provider makes of it.
type login struct {
	subject  string
	email    string
	verified bool
	groups   []string

	// client is the application signed in to, and so the token's audience.
	// Default: gatehouse.
	client string
	// lifetime of the token; below zero it has expired. Default: an hour.
	lifetime time.Duration
	// age makes the token that much older. Default: issued now.
	age time.Duration
	// tokenID is the token's jti claim. Default: none.
	tokenID string
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	p := &provider{url: "https://" + srv.Listener.Addr().String(), accounts: newAccounts(t)}
	var config op.Config
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		t.Fatal(err)
	}
	config.CodeMethodS256 = true
	handler, err := op.NewProvider(&config, p.accounts, op.StaticIssuer(p.url))
	if err != nil {
		t.Fatal(err)
	}
	srv.Config.Handler = handler
	srv.StartTLS()
	t.Cleanup(srv.Close)
	p.ca = string(certPEM(srv.Certificate()))
	p.client = srv.Client()
	// The browser stops where the application would go on.
	p.client.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(req.URL.String(), callback) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return p
}

// signIn goes through the authorization code flow with PKCE, as a browser and an
// application would, and returns the ID token.
func (p *provider) signIn(t testing.TB, who login) string {
	t.Helper()
	if who.client == "" {
		who.client = "gatehouse"
	}
	if who.lifetime == 0 {
		who.lifetime = time.Hour
	}
	verifier := oauth2.GenerateVerifier()
	begin := url.Values{
		"client_id": {who.client}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {oidc.ScopeOpenID}, "state": {"s"}, "login_hint": {p.accounts.expect(who)},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	resp, err := p.client.Get(p.url + "/authorize?" + begin.Encode())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("sign in: status %s, sent to %v: %v", resp.Status, back, err)
	}
	resp, err = p.client.PostForm(p.url+"/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
		"redirect_uri": {callback}, "client_id": {who.client}, "code_verifier": {verifier},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer oidc.AccessTokenResponse
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.IDToken == "" {
		t.Fatalf("exchange code: status %s: %v", resp.Status, err)
	}
	present(answer.IDToken)
	return answer.IDToken
}
