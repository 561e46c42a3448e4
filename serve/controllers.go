package serve

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsscheme "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/scheme"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	quota "k8s.io/apiserver/pkg/quota/v1/generic"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kube-openapi/pkg/validation/spec"
	kubecontroller "k8s.io/kubernetes/pkg/controller"
	"k8s.io/kubernetes/pkg/controller/bootstrap"
	"k8s.io/kubernetes/pkg/controller/certificates/approver"
	"k8s.io/kubernetes/pkg/controller/certificates/cleaner"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/resourcequota"
	serviceaccountcontroller "k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
	"k8s.io/kubernetes/pkg/controller/validatingadmissionpolicystatus"
	"k8s.io/kubernetes/pkg/generated/openapi"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
	"k8s.io/kubernetes/pkg/serviceaccount"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/authz/grant"
	"github.com/gatehouse-io/gatehouse/authz/guard"
	"github.com/gatehouse-io/gatehouse/policy/follow"
	"github.com/gatehouse-io/gatehouse/serve/pki"
)

// signedCertificateLife is what a CSR that asks for no shorter one is given.
const signedCertificateLife = 365 * 24 * time.Hour

// controllerContext is what a controller is built from.
type controllerContext struct {
	base       *rest.Config
	asAccounts bool // each controller acts as its own service account
	keys       *pki.PKI
	guards     *guard.Authorizer
	kinds      *kindInformers
	policies   *policyGate
	// shared are the API server's own informers, or nil where the controllers'
	// end before the server does, as they may under leader election: a handler
	// would outlive its controller.
	shared    informers.SharedInformerFactory
	informers informers.SharedInformerFactory
	metadata  metadatainformer.SharedInformerFactory
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	started   chan struct{} // closed when the informers have been started
	clusterCA []byte
}

// controller starts under the name kube-controller-manager knows it by.
type controller struct {
	name    string
	account string // of namespace kube-system, which upstream's bootstrap roles are bound to
	build   func(context.Context, *controllerContext, *rest.Config) (run func(context.Context), err error)
}

// controllers are the ones the gates need, and none else: without them quotas
// are not counted, namespaces never go, aggregated roles stay empty, and no
// service account exists.
var controllers = []controller{
	{"namespace-controller", "namespace-controller", buildNamespace},
	{"serviceaccount-controller", "service-account-controller", buildServiceAccounts},
	{"serviceaccount-token-controller", "", buildTokens},
	{"root-ca-certificate-publisher-controller", "root-ca-cert-publisher", buildRootCA},
	{"token-cleaner-controller", "token-cleaner", buildTokenCleaner},
	{"bootstrap-signer-controller", "bootstrap-signer", buildBootstrapSigner},
	{"certificatesigningrequest-approving-controller", "certificate-controller", buildCSRApprover},
	{"certificatesigningrequest-signing-controller", "certificate-controller", buildCSRSigner},
	{"certificatesigningrequest-cleaner-controller", "certificate-controller", buildCSRCleaner},
	{"clusterrole-aggregation-controller", "clusterrole-aggregation-controller", buildAggregation},
	{"resourcequota-controller", "resourcequota-controller", buildQuota},
	{"garbage-collector-controller", "generic-garbage-collector", buildGarbageCollector},
	{"validatingadmissionpolicy-status-controller", "validatingadmissionpolicy-status-controller", buildPolicyStatus},
	{"ttl-after-finished-controller", "ttl-after-finished-controller", buildTTLAfterFinished},
	{"gatehouse-grant-controller", "", buildGrants},
	{"gatehouse-guard-status-controller", "", buildGuardStatus},
	{"gatehouse-policy-status-controller", "", buildGatePolicyStatus},
}

// selectControllers reads the setting: "*" is all, -NAME leaves one out.
func selectControllers(names []string) ([]controller, error) {
	for _, name := range names {
		plain := strings.TrimPrefix(name, "-")
		if plain != "*" && !slices.ContainsFunc(controllers, func(c controller) bool { return c.name == plain }) {
			known := make([]string, 0, len(controllers))
			for _, c := range controllers {
				known = append(known, c.name)
			}
			return nil, &StartError{Problem: fmt.Sprintf("controller %q is not known", plain), Mend: "known: " + strings.Join(known, ", ")}
		}
	}
	var chosen []controller
	for _, c := range controllers {
		if !slices.Contains(names, "-"+c.name) && (slices.Contains(names, "*") || slices.Contains(names, c.name)) {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// election says while which replica runs the controllers.
type election struct {
	ctx     context.Context // ends the candidacy
	end     context.CancelFunc
	running sync.WaitGroup
}

// leaseLimit ends the wait for a lease that cannot be given back.
const leaseLimit = time.Second

// leave gives the lease back where it is held, so that another replica need not
// wait for it to expire. The API must still be served.
func (e *election) leave() {
	e.end()
	left := make(chan struct{})
	go func() { e.running.Wait(); close(left) }()
	select {
	case <-left:
	case <-time.After(leaseLimit):
		klog.Warningf("the controllers' lease is not given back within %v; it will expire", leaseLimit)
	}
}

// runControllers runs the chosen controllers until ctx ends; with an election,
// only while this replica holds the lease.
func runControllers(ctx context.Context, chosen []controller, c *controllerContext, e *election) error {
	if len(chosen) == 0 {
		return nil
	}
	if e == nil {
		return startControllers(ctx, chosen, c)
	}
	client, err := kubernetes.NewForConfig(c.base)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find host name: %w", err)
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, "kube-system", "gatehouse-controllers",
		client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("%s_%d", host, os.Getpid())})
	if err != nil {
		return err
	}
	// A replica that loses the lease stands again for the next election; what it
	// ran has ended with the context of that term.
	e.running.Go(func() {
		wait.UntilWithContext(e.ctx, func(ctx context.Context) {
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
				Lock: lock, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
				ReleaseOnCancel: true, Name: "gatehouse-controllers",
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(term context.Context) {
						if err := startControllers(term, chosen, c); err != nil {
							klog.Errorf("controllers do not start: %v", err)
						}
					},
					OnStoppedLeading: func() { klog.V(2).Info("another replica runs the controllers") },
				},
			})
		}, time.Second)
	})
	return nil
}

func startControllers(ctx context.Context, chosen []controller, c *controllerContext) error {
	ca, err := os.ReadFile(c.keys.Paths.ClusterCA.Cert)
	if err != nil {
		return fmt.Errorf("read cluster CA: %w", err)
	}
	c.clusterCA = ca
	client, err := kubernetes.NewForConfig(c.base)
	if err != nil {
		return err
	}
	if c.shared != nil {
		c.informers = c.shared
	} else {
		c.informers = informers.NewSharedInformerFactory(client, 10*time.Hour)
	}
	meta, err := metadata.NewForConfig(c.base)
	if err != nil {
		return err
	}
	c.metadata = metadatainformer.NewSharedInformerFactory(meta, 10*time.Hour)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	c.started = make(chan struct{})
	var runs []func(context.Context)
	for _, ctl := range chosen {
		run, err := ctl.build(klog.NewContext(ctx, klog.Background().WithName(ctl.name)), c, c.configFor(ctl))
		if err != nil {
			return fmt.Errorf("build %s: %w", ctl.name, err)
		}
		runs = append(runs, run)
	}
	c.informers.Start(ctx.Done())
	c.metadata.Start(ctx.Done())
	close(c.started)
	for _, run := range runs {
		go run(ctx)
	}
	return nil
}

// configFor is the client a controller acts with: its own service account, with
// the permissions upstream's bootstrap roles give it and no more, so that what
// it does is in the audit log under its name. The tokens controller makes the
// accounts' own tokens and acts as the server, as it does upstream.
func (c *controllerContext) configFor(ctl controller) *rest.Config {
	config := rest.CopyConfig(c.base)
	config.QPS, config.Burst = 100, 200
	rest.AddUserAgent(config, ctl.name)
	if c.asAccounts && ctl.account != "" {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: "system:serviceaccount:kube-system:" + ctl.account,
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		}
	}
	return config
}

func loop(workers int, run func(context.Context, int)) func(context.Context) {
	return func(ctx context.Context) { run(ctx, workers) }
}

func buildNamespace(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	config.QPS, config.Burst = 400, 2000 // deletion is a burst of small requests
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl := namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources,
		c.informers.Core().V1().Namespaces(), 5*time.Minute, corev1.FinalizerKubernetes)
	return loop(10, ctl.Run), nil
}

func buildServiceAccounts(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := serviceaccountcontroller.NewServiceAccountsController(klog.FromContext(ctx), c.informers.Core().V1().ServiceAccounts(),
		c.informers.Core().V1().Namespaces(), client, serviceaccountcontroller.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, err
	}
	return loop(1, ctl.Run), nil
}

func buildTokens(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	key, err := keyutil.PrivateKeyFromFile(c.keys.Paths.ServiceAccountKey)
	if err != nil {
		return nil, err
	}
	generator, err := serviceaccount.JWTTokenGenerator(serviceaccount.LegacyIssuer, key)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := serviceaccountcontroller.NewTokensController(klog.FromContext(ctx), c.informers.Core().V1().ServiceAccounts(),
		c.informers.Core().V1().Secrets(), client, serviceaccountcontroller.TokensControllerOptions{TokenGenerator: generator, RootCA: c.clusterCA})
	if err != nil {
		return nil, err
	}
	return loop(5, ctl.Run), nil
}

func buildRootCA(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := rootcacertpublisher.NewPublisher(c.informers.Core().V1().ConfigMaps(), c.informers.Core().V1().Namespaces(), client, c.clusterCA)
	if err != nil {
		return nil, err
	}
	return loop(1, ctl.Run), nil
}

func buildTokenCleaner(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := bootstrap.NewTokenCleaner(client, c.informers.Core().V1().Secrets(), bootstrap.DefaultTokenCleanerOptions())
	if err != nil {
		return nil, err
	}
	return ctl.Run, nil
}

func buildBootstrapSigner(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := bootstrap.NewSigner(client, c.informers.Core().V1().Secrets(), c.informers.Core().V1().ConfigMaps(), bootstrap.DefaultSignerOptions())
	if err != nil {
		return nil, err
	}
	return ctl.Run, nil
}

func buildCSRApprover(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl := approver.NewCSRApprovingController(ctx, client, c.informers.Certificates().V1().CertificateSigningRequests())
	return loop(2, ctl.Run), nil
}

// buildCSRSigner signs for all four built-in signers with the cluster CA.
func buildCSRSigner(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	requests := c.informers.Certificates().V1().CertificateSigningRequests()
	var runs []func(context.Context, int)
	for _, build := range []func() (*signer.CSRSigningController, error){
		func() (*signer.CSRSigningController, error) {
			return signer.NewKubeletServingCSRSigningController(ctx, client, requests, c.keys.Paths.ClusterCA.Cert, c.keys.Paths.ClusterCA.Key, signedCertificateLife)
		},
		func() (*signer.CSRSigningController, error) {
			return signer.NewKubeletClientCSRSigningController(ctx, client, requests, c.keys.Paths.ClusterCA.Cert, c.keys.Paths.ClusterCA.Key, signedCertificateLife)
		},
		func() (*signer.CSRSigningController, error) {
			return signer.NewKubeAPIServerClientCSRSigningController(ctx, client, requests, c.keys.Paths.ClusterCA.Cert, c.keys.Paths.ClusterCA.Key, signedCertificateLife)
		},
		func() (*signer.CSRSigningController, error) {
			return signer.NewLegacyUnknownCSRSigningController(ctx, client, requests, c.keys.Paths.ClusterCA.Cert, c.keys.Paths.ClusterCA.Key, signedCertificateLife)
		},
	} {
		ctl, err := build()
		if err != nil {
			return nil, err
		}
		runs = append(runs, ctl.Run)
	}
	return func(ctx context.Context) {
		for _, run := range runs {
			go run(ctx, 2)
		}
		<-ctx.Done()
	}, nil
}

func buildCSRCleaner(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl := cleaner.NewCSRCleanerController(client.CertificatesV1().CertificateSigningRequests(), c.informers.Certificates().V1().CertificateSigningRequests())
	return loop(1, ctl.Run), nil
}

func buildAggregation(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl := clusterroleaggregation.NewClusterRoleAggregation(c.informers.Rbac().V1().ClusterRoles(), client.RbacV1())
	return loop(5, ctl.Run), nil
}

func buildQuota(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	discover := client.Discovery().ServerPreferredNamespacedResources
	evaluators, err := quotainstall.NewQuotaConfigurationForControllers(quota.ListerFuncForResourceFunc(c.informers.ForResource), c.informers)
	if err != nil {
		return nil, err
	}
	ctl, err := resourcequota.NewController(ctx, &resourcequota.ControllerOptions{
		QuotaClient:               client.CoreV1(),
		ResourceQuotaInformer:     c.informers.Core().V1().ResourceQuotas(),
		ResyncPeriod:              kubecontroller.StaticResyncPeriodFunc(5 * time.Minute),
		InformerFactory:           informerfactory.NewInformerFactory(c.informers, c.metadata),
		ReplenishmentResyncPeriod: kubecontroller.StaticResyncPeriodFunc(12 * time.Hour),
		DiscoveryFunc:             discover,
		IgnoredResourcesFunc:      evaluators.IgnoredResources,
		InformersStarted:          c.started,
		Registry:                  quota.NewRegistry(evaluators.Evaluators()),
		UpdateFilter:              quotainstall.DefaultUpdateFilter(),
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go ctl.Sync(ctx, discover, 30*time.Second)
		ctl.Run(ctx, 5)
	}, nil
}

func buildGarbageCollector(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	config.QPS *= 2
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ignored := maps.Clone(garbagecollector.DefaultIgnoredResources())
	for name := range reviewKinds {
		ignored[v1alpha1.SchemeGroupVersion.WithResource(name).GroupResource()] = struct{}{}
	}
	builder := garbagecollector.NewDependencyGraphBuilder(ctx, meta, c.mapper, ignored, informerfactory.NewInformerFactory(c.informers, c.metadata), c.started)
	ctl, err := garbagecollector.NewComposedGarbageCollector(ctx, client, meta, c.mapper, builder)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		go ctl.Sync(ctx, client.Discovery(), 30*time.Second)
		ctl.Run(ctx, 5, 30*time.Second)
	}, nil
}

func buildPolicyStatus(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	schemas := lazySchemas(sync.OnceValue(func() resolver.SchemaResolver {
		return resolver.NewDefinitionsSchemaResolver(openapi.GetOpenAPIDefinitions, clientscheme.Scheme, apiextensionsscheme.Scheme).
			Combine(&resolver.ClientDiscoveryResolver{Discovery: client.Discovery()})
	}))
	ctl, err := validatingadmissionpolicystatus.NewController(
		c.informers.Admissionregistration().V1().ValidatingAdmissionPolicies(),
		client.AdmissionregistrationV1().ValidatingAdmissionPolicies(),
		&validating.TypeChecker{SchemaResolver: schemas, RestMapper: c.mapper})
	if err != nil {
		return nil, err
	}
	return loop(5, ctl.Run), nil
}

// lazySchemas makes the schemas of all built-in kinds (some 20 MB) when the
// first policy is there to be checked.
type lazySchemas func() resolver.SchemaResolver

// ResolveSchema implements resolver.SchemaResolver.
func (l lazySchemas) ResolveSchema(gvk schema.GroupVersionKind) (*spec.Schema, error) {
	return l().ResolveSchema(gvk)
}

func buildTTLAfterFinished(ctx context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl := ttlafterfinished.New(ctx, c.informers.Batch().V1().Jobs(), client)
	return loop(5, ctl.Run), nil
}

// buildGrants takes away bindings that have come to their end. It acts as the
// server: no role of upstream's may delete bindings and write Events everywhere.
func buildGrants(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctl, err := grant.New(client, c.informers.Rbac().V1(), grant.Options{})
	if err != nil {
		return nil, err
	}
	return ctl.Run, nil
}

// buildGuardStatus says in each Guard's status what the authorizer made of it. It
// acts as the server, and follows the informer that the authorizer follows.
func buildGuardStatus(_ context.Context, c *controllerContext, _ *rest.Config) (func(context.Context), error) {
	r, err := guard.NewReporter(c.guards, c.kinds.client.Resource(guards), c.kinds.factory.ForResource(guards).Informer())
	if err != nil {
		return nil, err
	}
	return r.Run, nil
}

// buildGatePolicyStatus says in the status of each policy, and as an Event, what the
// policy gate made of it. It acts as the server.
func buildGatePolicyStatus(_ context.Context, c *controllerContext, config *rest.Config) (func(context.Context), error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		recorder, err := follow.Record(ctx, client)
		if err != nil {
			klog.ErrorS(err, "No Events tell of policies that do not compile")
		}
		c.policies.reporter.Run(ctx, recorder)
	}, nil
}
