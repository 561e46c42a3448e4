package authn

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// accounts is a provider's storage: its signing key, and the sign-ins under way.
// What the authorization code flow has no use for is the nil op.Storage's.
type accounts struct {
	op.Storage
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	expected map[string]login          // by login_hint
	clients  map[string]client         // by ID, as the last sign-in wants them
	requests map[string]*signInRequest // by ID
	codes    map[string]string         // request IDs
}

func newAccounts(t testing.TB) *accounts {
	return &accounts{
		key: newKey(t), expected: map[string]login{}, clients: map[string]client{},
		requests: map[string]*signInRequest{}, codes: map[string]string{},
	}
}

// expect says who is about to sign in, and returns the hint to give.
func (a *accounts) expect(who login) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	hint := uniqueName("login")
	a.expected[hint] = who
	a.clients[who.client] = client{who}
	return hint
}

// signInRequest is a sign-in under way. The user needs no password.
type signInRequest struct {
	*oidc.AuthRequest
	id  string
	who login
}

func (r *signInRequest) GetID() string          { return r.id }
func (r *signInRequest) GetAMR() []string       { return nil }
func (r *signInRequest) GetAudience() []string  { return []string{r.who.client} }
func (r *signInRequest) GetAuthTime() time.Time { return time.Now() }
func (r *signInRequest) GetClientID() string    { return r.who.client }
func (r *signInRequest) GetSubject() string     { return r.who.subject }
func (r *signInRequest) GetACR() string         { return "" }
func (r *signInRequest) GetNonce() string       { return r.Nonce }
func (r *signInRequest) GetScopes() []string    { return r.Scopes }
func (r *signInRequest) GetState() string       { return r.State }
func (r *signInRequest) GetRedirectURI() string { return r.RedirectURI }
func (r *signInRequest) Done() bool             { return true }
func (r *signInRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}
func (r *signInRequest) GetResponseType() oidc.ResponseType { return r.ResponseType }
func (r *signInRequest) GetResponseMode() oidc.ResponseMode { return r.ResponseMode }

var errUnknown = errors.New("not known")

func (a *accounts) CreateAuthRequest(_ context.Context, req *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	who, ok := a.expected[req.LoginHint]
	if !ok {
		return nil, errUnknown
	}
	r := &signInRequest{AuthRequest: req, id: uniqueName("request"), who: who}
	a.requests[r.id] = r
	return r, nil
}

func (a *accounts) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, ok := a.requests[id]; ok {
		return r, nil
	}
	return nil, errUnknown
}

func (a *accounts) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	a.mu.Lock()
	id := a.codes[code]
	a.mu.Unlock()
	return a.AuthRequestByID(ctx, id)
}

func (a *accounts) SaveAuthCode(_ context.Context, id, code string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.codes[code] = id
	return nil
}

func (a *accounts) DeleteAuthRequest(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.requests, id)
	return nil
}

func (a *accounts) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.clients[id]; ok {
		return c, nil
	}
	return nil, errUnknown
}

func (a *accounts) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return uniqueName("access"), time.Now().Add(time.Hour), nil
}

func (a *accounts) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest.
func (a *accounts) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, req op.IDTokenRequest, _ []string) error {
	who := req.(*signInRequest).who
	info.Subject, info.Email, info.EmailVerified = who.subject, who.email, oidc.Bool(who.verified)
	info.AppendClaims("groups", who.groups)
	if who.tokenID != "" {
		info.AppendClaims("jti", who.tokenID)
	}
	return nil
}

func (a *accounts) Health(context.Context) error { return nil }

func (a *accounts) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{a.key}, nil }

func (a *accounts) KeySet(context.Context) ([]op.Key, error) { return []op.Key{publicKey{a.key}}, nil }

func (a *accounts) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

type signingKey struct{ private *ecdsa.PrivateKey }

func (k signingKey) ID() string                                  { return "key" }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

type publicKey struct{ private *ecdsa.PrivateKey }

func (k publicKey) ID() string                         { return "key" }
func (k publicKey) Key() any                           { return &k.private.PublicKey }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }

// client is a public application, in which who signs in.
type client struct{ who login }

func (c client) GetID() string                       { return c.who.client }
func (c client) RedirectURIs() []string              { return []string{callback} }
func (c client) PostLogoutRedirectURIs() []string    { return nil }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeUserAgent }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodNone }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) GrantTypes() []oidc.GrantType         { return []oidc.GrantType{oidc.GrantTypeCode} }
func (c client) LoginURL(id string) string            { return "/authorize/callback?id=" + id }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration       { return c.who.lifetime }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(string) bool           { return false }
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return c.who.age }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string     { return allScopes }
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return allScopes }

func allScopes(scopes []string) []string { return scopes }
