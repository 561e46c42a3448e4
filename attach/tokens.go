package attach

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	tokenunion "k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authn/bootstraptoken"
	"github.com/gatehouse-io/gatehouse/authn/revocation"
	"github.com/gatehouse-io/gatehouse/authn/tokenfile"
)

// newTokens builds the token authenticators that the settings ask for, in the
// order of an API server, and revocation around them. It is nil where they ask
// for none. The checks hold once what they know of the cluster has been read.
func newTokens(ctx context.Context, cfg *v1alpha1.AttachAuthenticationOptions, client kubernetes.Interface, objects dynamic.Interface, m *instruments) (authenticator.Token, []Check, error) {
	var tokens []authenticator.Token
	var checks []Check
	if cfg.TokenFile != "" {
		static, err := tokenfile.New(cfg.TokenFile, tokenfile.Options{
			OnError: func(err error) {
				reloads.Count(tokenFile, err)
				klog.ErrorS(err, "The changed token file is not taken, the tokens before stay in force")
			},
			OnReload: func(n int) {
				reloads.Count(tokenFile, nil)
				klog.InfoS("The token file has changed and is in force", "file", cfg.TokenFile, "tokens", n)
			},
		})
		if err != nil {
			return nil, nil, err
		}
		reloads.Watch(tokenFile)
		go static.Run(ctx)
		tokens = append(tokens, authenticator.WrapAudienceAgnosticToken(cfg.Audiences, static))
	}
	if cfg.BootstrapTokens {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
			informers.WithNamespace(metav1.NamespaceSystem),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector("type", string(bootstraptoken.SecretType)).String()
			}))
		secrets := factory.Core().V1().Secrets()
		checks = append(checks, synced("bootstrap-tokens", "the bootstrap tokens of kube-system", secrets.Informer().HasSynced))
		tokens = append(tokens, authenticator.WrapAudienceAgnosticToken(cfg.Audiences,
			bootstraptoken.New(secrets.Lister().Secrets(metav1.NamespaceSystem), bootstraptoken.Options{})))
		factory.Start(ctx.Done())
	}
	if cfg.ConfigFile != "" {
		issued, err := newJWTTokens(ctx, cfg.ConfigFile, cfg.Audiences)
		if err != nil {
			return nil, nil, err
		}
		tokens = append(tokens, issued)
	}
	if len(tokens) == 0 {
		return nil, nil, nil
	}
	all := tokenunion.New(tokens...)
	if !*cfg.Revocations {
		return all, checks, nil
	}
	registry := revocation.NewRegistry(revocation.RegistryOptions{})
	factory := dynamicinformer.NewDynamicSharedInformerFactory(objects, 0)
	if err := registry.Follow(factory.ForResource(v1alpha1.SchemeGroupVersion.WithResource("revocations")).Informer()); err != nil {
		return nil, nil, err
	}
	factory.Start(ctx.Done())
	m.ofRevocations(registry)
	checks = append(checks, synced("revocations", "the Revocations", registry.HasSynced))
	all, err := revocation.Token(all, revocation.Options{Registry: registry})
	return all, checks, err
}
