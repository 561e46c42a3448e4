package revocation

import (
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// AnonymousPaths limits anonymous requests to exactly these paths. A request
// that delegate takes for anonymous, on any other path or without one (a
// TokenReview), is not authenticated. With no paths there is no anonymous access.
func AnonymousPaths(delegate authenticator.Request, paths []string) authenticator.Request {
	allowed := make(map[string]bool, len(paths))
	for _, p := range paths {
		allowed[p] = true
	}
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
		resp, ok, err := delegate.AuthenticateRequest(req)
		if err != nil || !ok || resp == nil || resp.User == nil || !anonymous(resp.User) {
			return resp, ok, err
		}
		if req.URL == nil || !allowed[req.URL.Path] {
			return nil, false, nil
		}
		return resp, true, nil
	})
}

func anonymous(u user.Info) bool {
	return u.GetName() == user.Anonymous || slices.Contains(u.GetGroups(), user.AllUnauthenticated)
}
