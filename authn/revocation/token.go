package revocation

import (
	"context"
	"errors"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// Token is New for a bearer token that came in no request, as in a TokenReview:
// what the delegate accepts is refused where a Revocation names the token's ID,
// its user or its service account. Certificates play no part.
func Token(delegate authenticator.Token, opts Options) (authenticator.Token, error) {
	if delegate == nil {
		return nil, errors.New("make revocation authenticator: there is no authenticator to wrap")
	}
	a, err := New(authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
		return nil, false, nil
	}), opts)
	if err != nil {
		return nil, err
	}
	// The delegate has looked at this token and at no other, so it is the one
	// that was accepted: as if it had been taken out of a request.
	after := &http.Request{Header: http.Header{}}
	return authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
		resp, ok, err := delegate.AuthenticateToken(ctx, token)
		if err != nil || !ok {
			return resp, ok, err
		}
		if resp == nil || resp.User == nil {
			return nil, false, errors.New("credential refused: the authenticator named no user")
		}
		shown := presented{bearer: token}
		if err := a.judge(&shown, after, resp.User); err != nil {
			refused(ctx, resp.User.GetName(), err)
			return nil, false, err
		}
		return resp, true, nil
	}), nil
}
