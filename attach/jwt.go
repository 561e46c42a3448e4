package attach

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/internal/filewatch"
)

const (
	// issuerTimeout is how long a changed file may take until all of its issuers
	// have been reached; the one before stays in force until then.
	issuerTimeout = time.Minute

	// issuerGrace is how long the authenticators of the file before are kept for
	// reviews that still use them.
	issuerGrace = time.Minute
)

// jwtTokens knows the tokens of the JWT issuers of an AuthenticationConfiguration.
type jwtTokens struct {
	// ctx is when the authenticators end: that of the server.
	ctx       context.Context
	audiences authenticator.Audiences
	// current is never nil after newJWTTokens.
	current atomic.Pointer[issuers]
}

// issuers are the authenticators of one version of the file.
type issuers struct {
	authenticator.Token
	// healthy says which issuers have not been reached yet.
	healthy func() error
	cancel  context.CancelFunc
}

// newJWTTokens reads the file, and keeps up with it until ctx ends.
func newJWTTokens(ctx context.Context, file string, audiences []string) (*jwtTokens, error) {
	j := &jwtTokens{ctx: ctx, audiences: audiences}
	watcher, data, err := filewatch.Open(file)
	var first *issuers
	if err == nil {
		first, err = j.build(data)
	}
	if err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("authentication configuration %s: %v", file, err),
			Mend:    "authentication.configFile (--authentication-config) is an AuthenticationConfiguration of apiserver.config.k8s.io/v1",
		}
	}
	j.current.Store(first)
	reloads.Watch(issuersFile)
	go watcher.Run(ctx, func(data []byte, err error) {
		if err == nil {
			err = j.replace(data)
		}
		reloads.Count(issuersFile, err)
		if err != nil {
			klog.ErrorS(err, "The changed authentication configuration is not taken, the one before stays in force", "file", file)
			return
		}
		klog.InfoS("The authentication configuration has changed and is in force", "file", file)
	})
	return j, nil
}

// AuthenticateToken implements authenticator.Token.
func (j *jwtTokens) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	return j.current.Load().AuthenticateToken(ctx, token)
}

// replace puts a changed file in force once all of its issuers can be reached.
func (j *jwtTokens) replace(data []byte) error {
	next, err := j.build(data)
	if err != nil {
		return err
	}
	var unreached error
	if err := wait.PollUntilContextTimeout(j.ctx, time.Second, issuerTimeout, true, func(context.Context) (bool, error) {
		unreached = next.healthy()
		return unreached == nil, nil
	}); err != nil {
		next.cancel()
		return errors.Join(err, unreached)
	}
	before := j.current.Swap(next)
	time.AfterFunc(issuerGrace, before.cancel)
	return nil
}

func (j *jwtTokens) build(data []byte) (*issuers, error) {
	config, err := parseAuthentication(data)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(j.ctx)
	var tokens []authenticator.Token
	var checks []func() error
	for _, issuer := range config.JWT {
		options := oidc.Options{JWTAuthenticator: issuer, SupportedSigningAlgs: oidc.AllValidSigningAlgorithms()}
		if ca := issuer.Issuer.CertificateAuthority; ca != "" {
			if options.CAContentProvider, err = dynamiccertificates.NewStaticCAContent("oidc-authenticator", []byte(ca)); err != nil {
				cancel()
				return nil, err
			}
		}
		known, err := oidc.New(ctx, options)
		if err != nil {
			cancel()
			return nil, err
		}
		tokens, checks = append(tokens, known), append(checks, known.HealthCheck)
	}
	return &issuers{
		Token: authenticator.WrapAudienceAgnosticToken(j.audiences, tokenunion.NewFailOnError(tokens...)),
		healthy: func() error {
			var errs []error
			for _, check := range checks {
				errs = append(errs, check())
			}
			return utilerrors.NewAggregate(errs)
		},
		cancel: cancel,
	}, nil
}

// parseAuthentication reads an AuthenticationConfiguration as strictly as an API
// server does.
func parseAuthentication(data []byte) (*apiserver.AuthenticationConfiguration, error) {
	scheme := runtime.NewScheme()
	install.Install(scheme)
	object, err := runtime.Decode(serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(), data)
	if err != nil {
		return nil, err
	}
	config, ok := object.(*apiserver.AuthenticationConfiguration)
	if !ok {
		return nil, fmt.Errorf("want an AuthenticationConfiguration, have %T", object)
	}
	if config.Anonymous != nil {
		return nil, errors.New("anonymous: has no meaning here, since a review carries a token; set it on the API server")
	}
	return config, validation.ValidateAuthenticationConfiguration(authenticationcel.NewDefaultCompiler(), config, nil).ToAggregate()
}
