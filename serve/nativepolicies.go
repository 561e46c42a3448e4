package serve

import (
	"sync"
	"sync/atomic"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// nativePolicies are the policies in CEL, which upstream's plugins enforce, once more:
// for Exceptions from them, and for traces.
type nativePolicies struct {
	set atomic.Pointer[policy.Set]
	// gate is the plugin of the other policies; nil where it is switched off, and then
	// there are no Exceptions.
	gate *gateadmission.Policy

	mu sync.Mutex
	// policies are those in CEL, exceptions those of all; each is written by its own
	// follower, under mu. nil: not read yet.
	policies, exceptions *follow.State
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
	around := &gateadmission.NativePolicies{Policy: n.gate, Set: n.set.Load, Cluster: lookups}
	return around.Around(handler, name)
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
	if n.policies != nil && n.exceptions != nil {
		n.set.Store(policy.NewSet(n.policies.Policies, policy.Options{Exceptions: n.exceptions.Exceptions}))
	}
}
