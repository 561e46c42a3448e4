package revocation

import (
	"fmt"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
)

// ReservedNames refuses credentials that stand for system:apiserver, the name
// under which the server calls itself: parts of upstream trust that name (it is
// left out of metrics, and may write storage versions). It wraps what judges
// clients; the server's loopback token, which bears the name, is joined on
// outside.
func ReservedNames(delegate authenticator.Request) authenticator.Request {
	return authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
		resp, ok, err := delegate.AuthenticateRequest(req)
		if err != nil || !ok || resp == nil || resp.User == nil || resp.User.GetName() != user.APIServerUser {
			return resp, ok, err
		}
		err = fmt.Errorf("credential refused: the user name %q is the server's own and is not accepted from outside; issue the credential for another name", user.APIServerUser)
		refused(req.Context(), user.APIServerUser, err)
		return nil, false, err
	})
}
