package attach

import (
	"context"
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// policyEngines are those that the settings make. The cluster's own policies in CEL are
// its API server's to ask.
func policyEngines(cfg *v1alpha1.AttachAdmissionOptions) ([]policy.Engine, error) {
	return engines.All(engines.Options{Cluster: cfg.ClusterName, Native: true, ExternalData: engines.ExternalData(&cfg.ExternalData)})
}

// newPolicies builds what /mutate, /validate and /images ask, and keeps the webhook
// configurations where the settings say so, until ctx ends.
func newPolicies(ctx context.Context, cfg *v1alpha1.AttachConfiguration, namespace string, client kubernetes.Interface, objects dynamic.Interface, decide authorizer.UnconditionalAuthorizer) (Policies, []Check, error) {
	all, err := policyEngines(&cfg.Admission)
	if err != nil {
		return Policies{}, nil, err
	}
	known := memory.NewMemCacheClient(client.Discovery())
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(known)
	typed := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(cluster.WithoutManagedFields))
	namespaces := typed.Core().V1().Namespaces()
	lookups := cluster.NewWatched(objects, mapper, namespaces.Lister())
	follower := follow.New(follow.Options{Client: objects, Engines: all, Set: policy.Options{Metrics: policyMetrics()}, Lookups: lookups})
	if cfg.Admission.Webhooks == v1alpha1.WebhooksManaged {
		keeper := newWebhooks(cfg, namespace, client)
		keeper.kinds = served{known}
		changed := make(chan *policy.Set, 1)
		follower.OnChange(func(state *follow.State) {
			known.Invalidate()
			select {
			case <-changed: // of two changes the later one counts
			default:
			}
			changed <- state.Set
		})
		go keeper.run(ctx, changed)
	}
	checks := []Check{
		synced("policies", "the policies", follower.HasSynced),
		synced("policy-namespaces", "the namespaces", namespaces.Informer().HasSynced),
	}
	// Every replica writes the status: they come to the same, and what one has written
	// the others find written.
	reporter := follow.NewReporter(follower, objects, mapper)
	recorder, err := follow.Record(ctx, client)
	if err != nil {
		klog.ErrorS(err, "No Events tell of policies that do not compile")
	}
	go reporter.Run(ctx, recorder)
	typed.Start(ctx.Done())
	go follower.Run(ctx)
	return Policies{Set: follower.Set, Cluster: lookups, Authorizer: decide}, checks, nil
}

func newWebhooks(cfg *v1alpha1.AttachConfiguration, namespace string, client kubernetes.Interface) *webhooks {
	w := &webhooks{
		client: client, url: cfg.Admission.URL,
		failurePolicy: admissionregistrationv1.FailurePolicyType(cfg.Admission.FailurePolicy),
		exempt:        slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(*cfg.Admission.ExemptNamespaces), namespace)))),
		timeout:       cfg.Limits.ReviewTimeout.Duration,
	}
	if w.url == "" {
		w.service = &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: serviceName}
		w.self = serviceaccount.MakeUsername(namespace, serviceName)
	}
	w.caBundle = func(ctx context.Context) ([]byte, error) {
		if cfg.TLS.CertFile != "" {
			return nil, nil
		}
		ca, err := loadAuthority(ctx, storeOf(cfg.TLS, client, namespace), false, clock.RealClock{}.Now())
		if err != nil {
			return nil, err
		}
		if ca == nil {
			return nil, fmt.Errorf("it has not been made yet")
		}
		return encodeCertificate(ca.cert), nil
	}
	return w
}
