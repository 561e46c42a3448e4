package serve

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"
	schedulingrest "k8s.io/kubernetes/pkg/registry/scheduling/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/serve/pki"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// chain is the API server, built and not yet running.
type chain struct {
	server    *aggregatorapiserver.APIAggregator
	loopback  *rest.Config // this process's own client: name system:apiserver, every permission
	authz     *authorizerChain
	kinds     *kindInformers
	informers informers.SharedInformerFactory // the server's own, started with it
	prepared  func()                          // to be called when the server is prepared
}

// buildChain does what upstream's app.NewConfig and app.CreateServerChain do,
// with Gatehouse's gates put in between BuildGenericConfig and
// CreateKubeAPIServerConfig. Later is too late: the authorizer is copied into
// the HTTP filters, the admission initializers, the REST storage and the two
// delegated servers. awaitStore returns when etcd answers and is seeded.
func buildChain(ctx context.Context, cfg *v1alpha1.ServeConfiguration, keys *pki.PKI, st *store, opts options.CompletedOptions, checks *authorizationChecks, events *auditTrail, m *meters, tracing *trace.Tracing, awaitStore func() error) (*chain, error) {
	name, err := cache.NewInformerName("kube-apiserver")
	if err != nil {
		return nil, err
	}
	opts.InformerName = name

	generic, shared, storage, err := controlplaneapiserver.BuildGenericConfig(
		opts.CompletedOptions,
		[]*runtime.Scheme{legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme},
		controlplane.DefaultAPIResourceConfigSource(),
		generatedopenapi.GetOpenAPIDefinitions,
		opts.InformerName,
	)
	if err != nil {
		return nil, settingsError(cfg, err)
	}
	prepared := leanOpenAPI(generic.OpenAPIConfig, generic.OpenAPIV3Config)
	traceWithin(tracing, generic, opts, storage)
	objects, err := newObjectStorage(ctx, st, opts)
	if err != nil {
		return nil, err
	}
	opened := newOpenedStorage()
	generic.RESTOptionsGetter = opened.over(objects.over(generic.RESTOptionsGetter))

	kinds, err := newKindInformers(generic)
	if err != nil {
		return nil, err
	}
	authz, err := newAuthorizerChain(ctx, cfg.Authorization, shared, &m.reloads)
	if err != nil {
		return nil, err
	}
	checks.chain.Store(authz)
	checks.kinds.Store(kinds)
	if err := authz.guards.Follow(kinds.informer(guards)); err != nil {
		return nil, err
	}
	if err := checks.policies.start(ctx, generic, opened, kinds, shared, &cfg.Admission); err != nil {
		return nil, err
	}
	authz.policies = &checks.policies
	m.ofAuthorizer(authz)
	generic.ReadyzChecks = append(generic.ReadyzChecks,
		syncCheck("guards", "the list of Guards has not been read yet", authz.guards.HasSynced),
		syncCheck("rbac-index", "the roles and their bindings have not been read yet", authz.synced))
	generic.Authorization.Authorizer = authz
	generic.RuleResolver = authz
	// What these two do after the server has started, seeder does before.
	// Their names stay among the health checks, where monitoring looks for them:
	// a server that runs has seeded.
	for _, hook := range []string{rbacrest.PostStartHookName, schedulingrest.PostStartHookName} {
		generic.DisabledPostStartHooks.Insert(hook)
		generic.AddHealthChecks(healthz.NamedCheck("poststarthook/"+hook, func(*http.Request) error { return nil }))
	}

	gates, err := newAuthenticationGates(ctx, cfg, generic, kinds, keys, m)
	if err != nil {
		return nil, err
	}
	generic.Authentication.Authenticator = tracing.Authenticator(gates)
	if err := m.register(); err != nil {
		return nil, err
	}

	policy, err := audit.NewPolicy(audit.DefaultPolicy)
	if err != nil {
		return nil, err
	}
	if path := cfg.Audit.PolicyFile; path != "" {
		if err := loadAndWatch(ctx, &m.reloads, "audit policy", path, "it is a Policy of audit.k8s.io/v1; gatehouse print audit-policy shows one", policy.Replace); err != nil {
			return nil, err
		}
	}
	generic.AuditPolicyRuleEvaluator = policy
	auditAnswers, err := events.join(cfg, generic, policy, authz)
	if err != nil {
		return nil, err
	}
	generic.AuditBackend = tracing.Audit(generic.AuditBackend)

	if !cfg.Authorization.SystemMastersBypass {
		generic.FlowControl = plainFlowControl{generic.FlowControl, authz}
	}
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		if !cfg.Authorization.SystemMastersBypass {
			api = authz.hideMasters(api)
		}
		asked := *c
		asked.Authorization.Authorizer = tracing.Authorizer(refusalsExplained{authz})
		asked.TracerProvider = tracing.Chain()
		return tracing.Handler(genericapiserver.DefaultBuildHandlerChain(auditAnswers(authz.serveReviews(checks.policies.reports.serve(api))), &asked))
	}

	kube, resolver, initializers, err := app.CreateKubeAPIServerConfig(opts, generic, shared, storage)
	if err != nil {
		return nil, settingsError(cfg, err)
	}
	control := kube.ControlPlane
	authInfo := webhook.NewDefaultAuthenticationInfoResolverWrapper(control.ProxyTransport, control.Generic.EgressSelector, control.Generic.LoopbackClientConfig, control.Generic.TracerProvider)
	extensions, err := controlplaneapiserver.CreateAPIExtensionsConfig(*control.Generic, control.VersionedInformers, initializers, opts.CompletedOptions, opts.MasterCount, resolver, authInfo)
	if err != nil {
		return nil, settingsError(cfg, err)
	}
	aggregator, err := controlplaneapiserver.CreateAggregatorConfig(*control.Generic, opts.CompletedOptions, control.VersionedInformers, resolver, control.ProxyTransport, control.Extra.PeerProxy, initializers)
	if err != nil {
		return nil, settingsError(cfg, err)
	}
	extensions.GenericConfig.RESTOptionsGetter = objects.over(extensions.GenericConfig.RESTOptionsGetter)
	extensions.ExtraConfig.CRDRESTOptionsGetter = objects.over(extensions.ExtraConfig.CRDRESTOptionsGetter)
	aggregator.GenericConfig.RESTOptionsGetter = objects.over(aggregator.GenericConfig.RESTOptionsGetter)
	// installOpenAPI does it. The other two servers have a configuration of their own
	// by now; their documents are small, or follow CustomResourceDefinitions.
	control.Generic.SkipOpenAPIInstallation = true
	completed, err := (&app.Config{Options: opts, KubeAPIs: kube, ApiExtensions: extensions, Aggregator: aggregator}).Complete()
	if err != nil {
		return nil, err
	}
	// Completing a configuration puts an authenticator for the loopback token in
	// front, with an identity drawn at random, once for each of the three servers.
	// Requests come in through the aggregator alone.
	if err := authz.learnLoopback(completed.Aggregator.GenericConfig.Authentication.Authenticator, generic.LoopbackClientConfig); err != nil {
		return nil, err
	}
	if err := awaitStore(); err != nil {
		return nil, err
	}
	server, err := app.CreateServerChain(completed)
	if err != nil {
		return nil, fmt.Errorf("build API server: %w", err)
	}
	builtIn, ok := server.GenericAPIServer.NextDelegate().(*genericapiserver.GenericAPIServer)
	if !ok {
		return nil, fmt.Errorf("build API server: the aggregator delegates to a %T", server.GenericAPIServer.NextDelegate())
	}
	if err := installOpenAPI(builtIn, legacyscheme.Codecs, generic.OpenAPIConfig, generic.OpenAPIV3Config, cfg.FeatureGates); err != nil {
		return nil, err
	}
	return &chain{server: server, loopback: generic.LoopbackClientConfig, authz: authz, kinds: kinds, informers: shared, prepared: prepared}, nil
}

// learnLoopback asks the completed authenticator who the loopback token is.
func (c *authorizerChain) learnLoopback(authn requestAuthenticator, loopback *rest.Config) error {
	req, err := http.NewRequest(http.MethodGet, "https://localhost/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+loopback.BearerToken)
	answer, ok, err := authn.AuthenticateRequest(req)
	if err != nil || !ok {
		return fmt.Errorf("find own identity: authenticated %v: %w", ok, err)
	}
	c.loopback.Store(&user.DefaultInfo{Name: answer.User.GetName(), UID: answer.User.GetUID()})
	return nil
}

// hideMasters keeps the name system:masters from upstream's escalation check,
// which lets its members write any role, and any admission policy, whatever the
// authorizers say (pkg/registry/rbac/escalation_check.go). It stands behind
// authorization, so a binding to the group counts as any other does, and in
// front of the kinds that ask alone: everywhere else (SelfSubjectReview, access
// reviews, admission, CSRs) members are seen in the group they are in.
func (c *authorizerChain) hideMasters(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if info, ok := request.RequestInfoFrom(ctx); ok && !escalationChecked[info.APIGroup] {
			next.ServeHTTP(w, r)
			return
		}
		if u, ok := request.UserFrom(ctx); ok && !c.isLoopback(u) {
			if plain := withoutMasters(u); plain != u {
				r = r.WithContext(request.WithUser(ctx, plain))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// escalationChecked are the API groups whose storage asks EscalationAllowed.
var escalationChecked = map[string]bool{
	"rbac.authorization.k8s.io":    true,
	"admissionregistration.k8s.io": true,
}

// settingsError makes upstream's refusal of a setting one that is shown as such,
// with the files it can come from.
func settingsError(cfg *v1alpha1.ServeConfiguration, err error) error {
	files := []string{cfg.Authentication.ConfigFile, cfg.Admission.ConfigFile}
	if strings.Contains(err.Error(), cfg.Encryption.ConfigFile) {
		files = []string{cfg.Encryption.ConfigFile}
	}
	if w := cfg.Authentication.Webhook; w != nil {
		files = append(files, w.ConfigFile)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	mend := "gatehouse serve --print-config shows what is in force"
	if len(files) > 0 {
		mend = "check " + strings.Join(files, ", ") + "; " + mend
	}
	return &StartError{Problem: fmt.Sprintf("API server refuses its settings: %v", err), Mend: mend}
}
