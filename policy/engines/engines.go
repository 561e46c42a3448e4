// Package engines makes the policy engines of a mount: one place that knows them all.
package engines

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/provider"
	"github.com/gatehouse-io/gatehouse/policy/kyverno"
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
	// ExternalData says which providers policies of Gatekeeper may ask. Default: none.
	ExternalData provider.Options
}

// ExternalData is what a configuration file says of providers.
func ExternalData(o *v1alpha1.ExternalDataOptions) provider.Options {
	p := provider.Options{CertFile: o.CertFile, KeyFile: o.KeyFile}
	for _, text := range o.Providers {
		if name, url, err := v1alpha1.ParseExternalDataProvider(text); err == nil { // it has been validated
			p.Allowed = append(p.Allowed, provider.Allowed{Name: name, URL: url})
		}
	}
	if o.CacheTTL != nil {
		p.CacheTTL = o.CacheTTL.Duration
	}
	return p
}

// All are the engines, with nothing compiled yet.
func All(opts Options) ([]policy.Engine, error) {
	// One compiler for all that is written in CEL: what it is made of weighs.
	compiler, err := cel.NewCompiler()
	if err != nil {
		return nil, err
	}
	providers, err := provider.New(opts.ExternalData)
	if err != nil {
		return nil, err
	}
	templates, err := gatekeeper.New(gatekeeper.Options{Compiler: compiler, Providers: providers})
	if err != nil {
		return nil, err
	}
	all := []policy.Engine{builtin.New(builtin.Options{Cluster: opts.Cluster}), templates, kyverno.New()}
	if opts.Native {
		return all, nil
	}
	native, err := cel.New(cel.Options{Compiler: compiler, Namespaced: opts.Namespaced})
	if err != nil {
		return nil, err
	}
	return append(all, native), nil
}
