package meter

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// The verdicts of authentication, as AuthenticationVerdicts numbers them.
const (
	authenticated = iota
	anonymous
	unknown
	revoked
	refused
)

// AuthenticationVerdicts are the labels of authentication's verdicts: known, anonymous,
// no credential that anybody knows, revoked, or refused with an error.
var AuthenticationVerdicts = []string{authenticated: "authenticated", anonymous: "anonymous", unknown: "unknown", revoked: "revoked", refused: "error"}

func authenticatedAs(response *authenticator.Response, ok bool, err error, isRevoked func(error) bool) int {
	switch {
	case err != nil && isRevoked(err):
		return revoked
	case err != nil:
		return refused
	case !ok || response == nil || response.User == nil:
		return unknown
	case response.User.GetName() == user.Anonymous:
		return anonymous
	}
	return authenticated
}

// Requests answers as next does, and counts. isRevoked tells whether an error says that a
// credential is revoked.
func (d *Decisions) Requests(next authenticator.Request, isRevoked func(error) bool) authenticator.Request {
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		begun := d.Begin()
		response, ok, err := next.AuthenticateRequest(r)
		d.End(begun, authenticatedAs(response, ok, err, isRevoked))
		return response, ok, err
	})
}

// Tokens is Requests for a token that comes in no request.
func (d *Decisions) Tokens(next authenticator.Token, isRevoked func(error) bool) authenticator.Token {
	return authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		begun := d.Begin()
		response, ok, err := next.AuthenticateToken(ctx, token)
		d.End(begun, authenticatedAs(response, ok, err, isRevoked))
		return response, ok, err
	})
}
