package serve

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// nativePolicies are the policies in CEL, which upstream's plugins enforce, once more:
// for requests that break none of them, for Exceptions from them, and for traces.
type nativePolicies struct {
	set atomic.Pointer[policy.Set]
	// current is the same, while it has exactly what upstream's plugins have been told
	// of; nil at all other times. It counts once heard is true.
	current atomic.Pointer[policy.Set]
	// heard is set when the plugins' informers have told of all that was there.
	heard atomic.Bool
	// told are those informers; it does not change once the server runs.
	told []cache.InformerSynced
	// gate is the plugin of the other policies; nil where it is switched off, and then
	// there are no Exceptions.
	gate *gateadmission.Policy

	mu sync.Mutex
	// policies are those in CEL, exceptions those of all; each is written by its own
	// follower, under mu. nil: not read yet.
	policies, exceptions *follow.State
	// versions are those of the policies, and complete says that all of them are in set;
	// both under mu.
	versions nativeVersions
	complete bool

	// answers counts requests by who answered them, and counts what policies said; both
	// are made before the server runs.
	answers *metrics.CounterVec
	counts  *policy.Metrics
}

// nativeKinds are served from the first moment.
var nativeKinds = []schema.GroupVersionResource{
	admissionregistrationv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies"),
	admissionregistrationv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings"),
	admissionregistrationv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicies"),
	admissionregistrationv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicybindings"),
}

// namespaced is the scope of a kind, as the server has it.
func (g *policyGate) namespaced(kind schema.GroupVersionKind) (namespaced, known bool, err error) {
	mapping, err := g.mapper.Load().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return false, false, err
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, true, nil
}

// around is a plugin, with the gate around it where it is upstream's for policies in
// CEL. Ours is made before those.
func (n *nativePolicies) around(handler admission.Interface, name string, lookups func() policy.Cluster) admission.Interface {
	if p, ok := handler.(*gateadmission.Policy); ok {
		n.gate = p
	}
	if n.gate == nil {
		return handler
	}
	around := &gateadmission.NativePolicies{Policy: n.gate, Set: n.set.Load, Current: n.vouching, Cluster: lookups,
		Answered: func(by string) { n.answers.WithLabelValues(by).Inc() }}
	return around.Around(handler, name)
}

func newAnswers() *metrics.CounterVec {
	return metrics.NewCounterVec(&metrics.CounterOpts{
		Name: "gatehouse_policy_native_requests_total", StabilityLevel: metrics.ALPHA,
		Help: "Requests that ValidatingAdmissionPolicies were asked about, by who answered: the engine, which found that nothing need be said, or upstream's plugin.",
	}, []string{"by"})
}

// follow takes the policies of one follower and the Exceptions of another.
func (n *nativePolicies) follow(native, others *follow.Follower) {
	native.OnChange(func(s *follow.State) { n.update(&n.policies, s) })
	others.OnChange(func(s *follow.State) { n.update(&n.exceptions, s) })
}

// update makes the Set anew when either has changed. The Exceptions are those that the
// other policies have too, so that their status tells of every use.
func (n *nativePolicies) update(which **follow.State, to *follow.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*which = to
	if n.policies == nil || n.exceptions == nil {
		return
	}
	n.set.Store(policy.NewSet(n.policies.Policies, policy.Options{Exceptions: n.exceptions.Exceptions, Metrics: n.counts, Elsewhere: true}))
	n.versions.compile(n.policies)
	n.complete = whole(n.policies)
	n.compare()
}

// compare says whether the policies are those that upstream's plugins have been told of.
// It is called under mu.
func (n *nativePolicies) compare() {
	if n.complete && n.versions.differ == 0 {
		n.current.Store(n.set.Load())
	} else {
		n.current.Store(nil)
	}
}

// listen hears what upstream's plugins are told. It is called before the informers run.
func (n *nativePolicies) listen(shared informers.SharedInformerFactory) error {
	v1 := shared.Admissionregistration().V1()
	for kind, informer := range map[string]cache.SharedIndexInformer{
		"ValidatingAdmissionPolicy":        v1.ValidatingAdmissionPolicies().Informer(),
		"ValidatingAdmissionPolicyBinding": v1.ValidatingAdmissionPolicyBindings().Informer(),
		"MutatingAdmissionPolicy":          v1.MutatingAdmissionPolicies().Informer(),
		"MutatingAdmissionPolicyBinding":   v1.MutatingAdmissionPolicyBindings().Informer(),
	} {
		registration, err := informer.AddEventHandler(listener(kind, func(of gate.Source, o metav1.Object) {
			n.mu.Lock()
			defer n.mu.Unlock()
			before := n.versions.differ
			n.versions.tell(of, o)
			if before != n.versions.differ {
				n.compare()
			}
		}))
		if err != nil {
			return fmt.Errorf("follow %s: %w", kind, err)
		}
		n.told = append(n.told, registration.HasSynced)
	}
	return nil
}

// vouching is the policies that may be asked instead of upstream's plugins; nil for none.
func (n *nativePolicies) vouching() *policy.Set {
	if !n.heard.Load() {
		if slices.ContainsFunc(n.told, func(synced cache.InformerSynced) bool { return !synced() }) {
			return nil
		}
		n.heard.Store(len(n.told) > 0)
		if len(n.told) == 0 {
			return nil
		}
	}
	return n.current.Load()
}
