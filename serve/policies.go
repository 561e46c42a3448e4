package serve

import (
	"context"
	"sync/atomic"

	"k8s.io/apiserver/pkg/admission"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/restmapper"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// policyGate is the policies in force and what they look things up in. The
// admission plugins are made before it is started; nothing is admitted in between.
type policyGate struct {
	follower atomic.Pointer[follow.Follower]
	lookups  atomic.Pointer[cluster.Watched]
	// mapper knows the kinds of the server; it is asked anew for those it does not.
	mapper    atomic.Pointer[restmapper.DeferredDiscoveryRESTMapper]
	discovery discovery.CachedDiscoveryInterface
	objects   dynamic.Interface
	needs     needs
	// reporter writes the status of policies: one of the controllers runs it.
	reporter *follow.Reporter
	// reports are what existing objects break.
	reports *policyReports
	native  nativePolicies
	// parts are the plugins of the chain, in their order.
	parts []admissionPart
}

// admissionPart is a plugin by the name it is registered under.
type admissionPart struct {
	name    string
	handler admission.Interface
}

// Decorate implements admission.Decorator: it notes the plugins as they are made, and
// stands around upstream's for policies in CEL.
func (g *policyGate) Decorate(handler admission.Interface, name string) admission.Interface {
	handler = g.native.around(handler, name, g.cluster)
	g.parts = append(g.parts, admissionPart{name, handler})
	return handler
}

func (g *policyGate) set() *policy.Set {
	if f := g.follower.Load(); f != nil {
		return f.Set()
	}
	return nil
}

func (g *policyGate) cluster() policy.Cluster { return g.lookups.Load() }

// policyEngines are those that the settings make. Policies in CEL are upstream's own
// plugins' to ask, where any may have a word.
func policyEngines(cfg *v1alpha1.AdmissionOptions) ([]policy.Engine, error) {
	return engines.All(engines.Options{Cluster: cfg.ClusterName, Native: true, ExternalData: engines.ExternalData(&cfg.ExternalData)})
}

// start follows the policies from the server's first moment.
func (g *policyGate) start(ctx context.Context, generic *genericapiserver.Config, opened *openedStorage, kinds *kindInformers, shared informers.SharedInformerFactory, cfg *v1alpha1.AdmissionOptions) error {
	namespaces := shared.Core().V1().Namespaces()
	known := memory.NewMemCacheClient(kinds.probe)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(known)
	g.mapper.Store(mapper)
	g.discovery, g.objects = known, kinds.client
	g.needs.kept = &g.lookups
	g.lookups.Store(cluster.NewWatched(kinds.client, mapper, namespaces.Lister()))
	all, err := policyEngines(cfg)
	if err != nil {
		return err
	}
	counts := policy.NewMetrics()
	g.native.answers, g.native.counts = newAnswers(), counts
	for _, m := range append(counts.Registerables(), g.native.answers) {
		if err := legacyregistry.Register(m); err != nil {
			return err
		}
	}
	follower := follow.New(follow.Options{Client: kinds.client, Engines: all, Set: policy.Options{Metrics: counts}, Lookups: g.needs.of("gate")})
	g.follower.Store(follower)
	scanner, native, err := g.newScanner(generic, opened, kinds, follower, namespaces, cfg.ScanRate)
	if err != nil {
		return err
	}
	g.reporter = follow.NewReporter(follower, kinds.client, mapper)
	g.native.follow(native, follower)
	if err := g.native.listen(shared); err != nil {
		return err
	}
	generic.ReadyzChecks = append(generic.ReadyzChecks, syncCheck("policies", "the policies have not been read yet", follower.HasSynced))
	return generic.AddPostStartHook("gatehouse-policies", func(hook genericapiserver.PostStartHookContext) error {
		go func() {
			kinds.awaitServed(hook, crdResource)
			g.reports.run(hook)
			go native.Run(hook)
			go scanner.Run(hook)
			follower.Run(hook)
		}()
		return nil
	})
}
