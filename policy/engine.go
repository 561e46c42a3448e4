package policy

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/gate"
)

// Object is a policy as it is written, and where.
type Object struct {
	*unstructured.Unstructured
	Source gate.Source
}

// Engine compiles the policies of one language. It keeps what it compiled: an
// object that has not changed is not compiled again, and where a changed one does
// not compile, its last good version stays in force.
type Engine interface {
	// Name is that of the folder: builtin, cel, gatekeeper, kyverno.
	Name() string
	// Reads reports whether objects of a kind are this engine's.
	Reads(kind schema.GroupKind) bool
	// Compile makes policies of all objects of its kinds. It is deterministic. It is
	// called by one goroutine at a time.
	Compile(objects []Object) Loaded
}

// Loaded is what became of some objects.
type Loaded struct {
	Policies []Policy
	Problems []Problem
	// Needs are the kinds of other objects that the policies look up: parameters,
	// inventory. A mount keeps them at hand.
	Needs []schema.GroupVersionKind
}

// Problem is what is wrong with a policy.
type Problem struct {
	Source  gate.Source
	Message string
	// Hint says how to mend it.
	Hint string
	// InForce says that the policy's last good version stays in force.
	InForce bool
	// Foreign says that the object is another program's, which writes its status.
	Foreign bool
}

// Load has every engine compile its objects. Objects that no engine reads are
// returned.
func Load(engines []Engine, objects []Object) (loaded Loaded, others []Object) {
	of := make([][]Object, len(engines))
	for _, o := range objects {
		at := slices.IndexFunc(engines, func(e Engine) bool { return e.Reads(o.GroupVersionKind().GroupKind()) })
		if at < 0 {
			others = append(others, o)
			continue
		}
		of[at] = append(of[at], o)
	}
	for i, e := range engines {
		one := e.Compile(of[i])
		loaded.Policies = append(loaded.Policies, one.Policies...)
		loaded.Problems = append(loaded.Problems, one.Problems...)
		for _, kind := range one.Needs {
			if !slices.Contains(loaded.Needs, kind) {
				loaded.Needs = append(loaded.Needs, kind)
			}
		}
	}
	return loaded, others
}
