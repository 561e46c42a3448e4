package serve

import (
	"context"
	"hash/fnv"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/follow"
	"github.com/gatehouse-io/gatehouse/policy/scan"
)

// newScanner makes the background scan, and the reports of what it finds. It judges
// by the policies of the gate and, since upstream's plugin judges requests alone, by
// the ValidatingAdmissionPolicies of native.
func (g *policyGate) newScanner(generic *genericapiserver.Config, opened *openedStorage, kinds *kindInformers, gate *follow.Follower, namespaces coreinformers.NamespaceInformer, rate int32) (scanner *scan.Scanner, native *follow.Follower, err error) {
	lookups := g.lookups.Load()
	native = follow.New(follow.Options{Client: kinds.client, Engines: []policy.Engine{&lateCEL{namespaced: g.namespaced}}, Lookups: g.needs.of("native"), Served: nativeKinds})
	scanner, err = scan.New(scan.Options{
		Source:   &storedObjects{opened: opened, others: scan.FromClient(kinds.client)},
		Objects:  newBuiltInTypes(generic),
		Policies: []*follow.Follower{gate, native}, Cluster: lookups, Namespaces: namespaces,
		Resources: scan.Served(kinds.probe), Rate: float64(rate),
		Leave: func(r schema.GroupResource) bool {
			return gateadmission.Exempt(r) || r.Group == reportGroup.Group
		},
	})
	if err != nil {
		return nil, nil, err
	}
	lookups.OnChange(scanner.LookedUp)
	host, err := os.Hostname()
	if err != nil {
		return nil, nil, err
	}
	replica := fnv.New64a()
	_, _ = replica.Write([]byte(host))
	if g.reports, err = newPolicyReports(kinds, scanner.Reports(), replica.Sum64()); err != nil {
		return nil, nil, err
	}
	if err := legacyregistry.CustomRegister(scanner.Collector()); err != nil {
		return nil, nil, err
	}
	return scanner, native, nil
}

// needs are the kinds that several followers want kept, in one place.
type needs struct {
	mu    sync.Mutex
	kept  *atomic.Pointer[cluster.Watched]
	kinds map[string][]schema.GroupVersionKind
}

// of is what one follower keeps its kinds in.
func (n *needs) of(follower string) follow.Lookups { return need{n, follower} }

type need struct {
	*needs
	follower string
}

// Keep implements follow.Lookups.
func (n need) Keep(ctx, wait context.Context, kinds []schema.GroupVersionKind) error {
	n.mu.Lock()
	if n.kinds == nil {
		n.kinds = map[string][]schema.GroupVersionKind{}
	}
	n.kinds[n.follower] = kinds
	all := slices.Concat(slices.Collect(maps.Values(n.kinds))...)
	n.mu.Unlock()
	return n.kept.Load().Keep(ctx, wait, all)
}

// lateCEL makes the CEL engine when the first policy is there: a server without any
// keeps the time and the memory.
type lateCEL struct {
	namespaced func(schema.GroupVersionKind) (namespaced, known bool, err error)

	once   sync.Once
	engine *cel.Engine
}

// Name implements policy.Engine.
func (*lateCEL) Name() string { return "cel" }

// Reads implements policy.Engine.
func (*lateCEL) Reads(kind schema.GroupKind) bool {
	return (*cel.Engine)(nil).Reads(kind)
}

// Compile implements policy.Engine.
func (l *lateCEL) Compile(objects []policy.Object) policy.Loaded {
	if len(objects) == 0 && l.engine == nil {
		return policy.Loaded{}
	}
	l.once.Do(func() {
		var err error
		if l.engine, err = cel.New(cel.Options{AsStored: true, Namespaced: l.namespaced}); err != nil {
			klog.ErrorS(err, "ValidatingAdmissionPolicies do not judge existing objects")
		}
	})
	if l.engine == nil {
		return policy.Loaded{}
	}
	return l.engine.Compile(objects)
}
