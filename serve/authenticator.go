package serve

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// requestAuthenticator is authenticator.Request, named for its one method.
type requestAuthenticator interface {
	AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error)
}

func newAuthenticationGates(ctx context.Context, cfg *v1alpha1.ServeConfiguration, generic *genericapiserver.Config, opts options.CompletedOptions) (authenticator.Request, error) {
	return generic.Authentication.Authenticator, nil
}
