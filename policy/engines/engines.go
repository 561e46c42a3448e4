// Package engines makes the policy engines of a mount: one place that knows them all.
package engines

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
)

// Options shape the engines. The zero value is ready.
type Options struct {
	// Cluster is the name of the cluster, which exemptions may ask for. Default: none.
	Cluster string
	// Native says that an API server asks ValidatingAdmissionPolicies and
	// MutatingAdmissionPolicies itself: then there is no engine for them.
	Native bool
	// Namespaced tells the scope of a kind; see cel.Options. Default: built-in kinds
	// are known.
	Namespaced func(schema.GroupVersionKind) (namespaced, known bool, err error)
}

// All are the engines, with nothing compiled yet.
func All(opts Options) ([]policy.Engine, error) {
	// One compiler for all that is written in CEL: what it is made of weighs.
	compiler, err := cel.NewCompiler()
	if err != nil {
		return nil, err
	}
	templates, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler})
	if err != nil {
		return nil, err
	}
	all := []policy.Engine{builtin.New(builtin.Options{Cluster: opts.Cluster}), templates}
	if opts.Native {
		return all, nil
	}
	native, err := cel.New(cel.Options{Compiler: compiler, Namespaced: opts.Namespaced})
	if err != nil {
		return nil, err
	}
	return append(all, native), nil
}
