package serve

import (
	"context"
	"crypto/x509"
	"net/http"
	"os"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	genericapiserver "k8s.io/apiserver/pkg/server"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authn"
	"github.com/gatehouse-io/gatehouse/authn/certcache"
	"github.com/gatehouse-io/gatehouse/authn/revocation"
	"github.com/gatehouse-io/gatehouse/authn/tokenfile"
	"github.com/gatehouse-io/gatehouse/serve/pki"
)

// requestAuthenticator is authenticator.Request, named for its one method.
type requestAuthenticator interface {
	AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error)
}

// newAuthenticationGates puts around upstream's authenticators what they lack:
// a token file that is read again, the paths that an anonymous request may
// reach, names that are nobody's to take, and, outermost, revocation.
func newAuthenticationGates(ctx context.Context, cfg *v1alpha1.ServeConfiguration, generic *genericapiserver.Config, kinds *kindInformers, keys *pki.PKI, m *meters) (authenticator.Request, error) {
	gates := generic.Authentication.Authenticator
	if path := cfg.Authentication.TokenFile; path != "" {
		m.reloads.Watch(tokenFile)
		tokens, err := tokenfile.New(path, tokenfile.Options{
			OnError: func(err error) {
				m.reloads.Count(tokenFile, err)
				klog.ErrorS(err, "The changed token file is not taken, the tokens before stay in force")
			},
			OnReload: func(n int) {
				m.reloads.Count(tokenFile, nil)
				klog.InfoS("The token file has changed and is in force", "file", path, "tokens", n)
			},
		})
		if err != nil {
			return nil, err
		}
		go tokens.Run(ctx)
		aware := authenticator.WrapAudienceAgnosticToken(generic.Authentication.APIAudiences, tokens)
		gates = union.New(
			group.NewAuthenticatedGroupAdder(union.New(bearertoken.New(aware), websocket.NewProtocolAuthenticator(aware))),
			gates,
		)
	}
	cached, err := certcache.New(gates, certcache.Options{ProxyHeaders: proxyHeaders(generic.Authentication.RequestHeaderConfig)})
	if err != nil {
		return nil, err
	}
	gates = revocation.AnonymousPaths(cached, *cfg.Authentication.AnonymousPaths)
	gates = revocation.ReservedNames(gates)

	opts := revocation.Options{Registry: revocation.NewRegistry(revocation.RegistryOptions{})}
	var crl *revocation.CRLFile
	if path := cfg.Authentication.ClientCRLFile; path != "" {
		m.reloads.Watch(crlFile)
		crl, err = revocation.OpenCRL(revocation.CRLOptions{
			OnError: func(err error) {
				m.reloads.Count(crlFile, err)
				klog.ErrorS(err, "The certificate revocation lists are not as they should be", "file", path)
			},
			OnReload: func(n int) {
				m.reloads.Count(crlFile, nil)
				klog.InfoS("The CRL file has changed and is in force", "file", path, "revoked", n)
			},
			Path:    path,
			Expired: revocation.ExpiredCRL(cfg.Authentication.ExpiredCRL),
			CAs: func() []*x509.Certificate {
				return certificates(keys.Paths.ClientCABundle, keys.Paths.FrontProxyCA.Cert)
			},
		})
		if err != nil {
			return nil, err
		}
		go crl.Run(ctx)
		opts.CRLs = append(opts.CRLs, crl)
	}
	if err := followRevocations(generic, kinds, opts.Registry); err != nil {
		return nil, err
	}
	revoked, err := revocation.New(gates, opts)
	if err != nil {
		return nil, err
	}
	m.ofAuthentication(cached, opts.Registry, crl)
	return authn.Record(m.authn.Requests(revoked, isRevoked)), nil
}

// proxyHeaders are the names of the headers that a front proxy speaks through.
func proxyHeaders(c *authenticatorfactory.RequestHeaderConfig) []string {
	return slices.Concat(c.UsernameHeaders.Value(), c.UIDHeaders.Value(), c.GroupHeaders.Value(), c.ExtraHeaderPrefixes.Value())
}

// certificates reads the CAs of several PEM files. One that cannot be read
// right now adds none: a list it has signed is then not taken.
func certificates(files ...string) []*x509.Certificate {
	var all []*x509.Certificate
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		found, err := certutil.ParseCertsPEM(data)
		if err == nil {
			all = append(all, found...)
		}
	}
	return all
}

// followRevocations keeps the registry at what the API holds, and the server
// unready until it has been read once.
func followRevocations(generic *genericapiserver.Config, kinds *kindInformers, registry *revocation.Registry) error {
	if err := registry.Follow(kinds.informer(revocations)); err != nil {
		return err
	}
	generic.ReadyzChecks = append(generic.ReadyzChecks, syncCheck("revocations", "the list of revocations has not been read yet", registry.HasSynced))
	return nil
}
