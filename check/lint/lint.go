package lint

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
)

// Kinds knows which resources there are, and which kinds.
type Kinds interface {
	ResourceOf(kind schema.GroupKind) (resource string, namespaced, known bool)
	KindOf(resource schema.GroupResource) (kind schema.GroupVersionKind, namespaced, known bool)
}

// Options are what policies are held against.
type Options struct {
	// Kinds are those of the cluster. Needed.
	Kinds Kinds
	// Minor is the release of Kubernetes that is to take the policies: 37 for 1.37.
	// Default: no release is too old.
	Minor int
}

// Finding is something wrong with a policy.
type Finding struct {
	Source  gate.Source
	Message string
}

// Run finds what is wrong with policies that compile. objects are what they were made
// of.
func Run(objects []policy.Object, policies []policy.Policy, opts Options) (found []Finding) {
	for _, p := range policies {
		if p.Source().Kind == builtin.Kind {
			continue // they are for kinds that a cluster may get
		}
		if why := unmatched(p.Selectors(), opts.Kinds); why != "" {
			found = append(found, Finding{p.Source(), "it matches nothing: " + why})
		}
	}
	environments := &Environments{}
	for _, o := range objects {
		if why := contradiction(o, objects); why != "" {
			found = append(found, Finding{o.Source, "it matches nothing: " + why})
		}
		if n := environments.NeedsOf(o); opts.Minor > 0 && n.Minor > opts.Minor {
			found = append(found, Finding{o.Source, fmt.Sprintf("it needs Kubernetes 1.%d or later, and is to be taken by 1.%d: %s", n.Minor, opts.Minor, n.Why)})
		}
	}
	return append(found, shadowed(objects)...)
}
