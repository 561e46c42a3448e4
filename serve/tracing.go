package serve

import (
	"context"
	"slices"

	"k8s.io/apiserver/pkg/admission"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	gateadmission "github.com/gatehouse-io/gatehouse/admission"
	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/version"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// tracedPlugins are the plugins that decide by what somebody has set: each has a span.
// The others of upstream's, some twenty that fill in defaults and hold invariants, have
// one where they refuse or take long.
var tracedPlugins = []string{
	"PodSecurity", "NodeRestriction", "MutatingAdmissionPolicy", "ValidatingAdmissionPolicy",
	"MutatingAdmissionWebhook", "ValidatingAdmissionWebhook", "ImagePolicyWebhook", "ResourceQuota",
}

// openTracing opens what the settings ask for; nil where they ask for none.
func openTracing(ctx context.Context, cfg *v1alpha1.ServeConfiguration) (*trace.Tracing, error) {
	tracing, err := trace.Open(ctx, trace.Options{Settings: cfg.Tracing, Mount: "serve", Version: version.Release})
	if err != nil {
		return nil, &StartError{Problem: err.Error(), Mend: "tracing.endpoint is HOST:PORT of an OTLP gRPC collector, and tracing.caFile has the CAs of its certificate"}
	}
	return tracing, nil
}

// traceWithin puts tracing where upstream has its own, with a provider that speaks TLS
// and joins the spans of a request: handlers, etcd, webhooks, admission and encryption.
// It stands between BuildGenericConfig and whatever takes from the configuration.
func traceWithin(tracing *trace.Tracing, generic *genericapiserver.Config, opts options.CompletedOptions, storage *serverstorage.DefaultStorageFactory) {
	if tracing == nil {
		return
	}
	generic.TracerProvider = tracing.Provider()
	opts.Etcd.StorageConfig.Transport.TracerProvider = generic.TracerProvider
	storage.StorageConfig.Transport.TracerProvider = generic.TracerProvider
	generic.ResourceTransformers = tracing.Encryption(generic.ResourceTransformers)
	generic.RESTOptionsGetter = opts.Etcd.CreateRESTOptionsGetter(storage, generic.ResourceTransformers)

	decorator := &trace.Admission{Always: map[string]bool{}, Recording: map[string]bool{gateadmission.PolicyName: true}}
	for _, name := range slices.Concat(tracedPlugins, alwaysEnabled) {
		decorator.Always[name] = true
	}
	o := opts.Admission.GenericAdmission
	// Within upstream's, which counts what a plugin does.
	o.Decorators = slices.Insert(o.Decorators, 1, admission.Decorator(decorator))
}
