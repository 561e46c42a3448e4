package trace

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	upstream "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"
	"k8s.io/component-base/tracing"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

const (
	// batchDelay is how long a span waits for others, at most.
	batchDelay = time.Second
	// queueSpans are kept while the collector takes none; what comes after is lost.
	queueSpans = 4096
	// closing is how long Close waits for a collector.
	closing = 2 * time.Second
	// complaints is how often a collector that takes no spans is told of.
	complaints = time.Minute

	scope = "github.com/gatehouse-io/gatehouse/telemetry/trace"
)

// Options shape a Tracing.
type Options struct {
	// Settings with their defaults. Without an endpoint there is no Tracing.
	Settings v1alpha1.TracingOptions
	// Mount is serve or attach.
	Mount string
	// Version of this program.
	Version string
	// Exporter takes the spans in place of the collector that Settings name.
	Exporter sdk.SpanExporter
}

// Tracing makes and exports spans. It is safe for concurrent use; nil traces nothing.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   upstream.Tracer
	live     live
}

// Open makes what the settings ask for, and nil where they name no collector. Nothing is
// connected before there is something to send.
func Open(ctx context.Context, o Options) (*Tracing, error) {
	if o.Settings.Endpoint == "" && o.Exporter == nil {
		return nil, nil
	}
	if o.Exporter == nil {
		transport, err := security(&o.Settings)
		if err != nil {
			return nil, err
		}
		if o.Exporter, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(o.Settings.Endpoint), transport); err != nil {
			return nil, fmt.Errorf("send traces to %s: %w", o.Settings.Endpoint, err)
		}
		complain(o.Settings.Endpoint)
	}
	about := []attribute.KeyValue{
		attribute.String("service.name", "gatehouse"), attribute.String("service.version", o.Version), attribute.String("gatehouse.mount", o.Mount),
	}
	if host, err := os.Hostname(); err == nil {
		about = append(about, attribute.String("host.name", host))
	}
	sampler := sdk.NeverSample()
	if r := o.Settings.SamplingRatePerMillion; r != nil && *r > 0 {
		sampler = sdk.TraceIDRatioBased(float64(*r) / 1e6)
	}
	t := &Tracing{provider: sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sampler)),
		sdk.WithResource(resource.NewSchemaless(about...)),
		sdk.WithBatcher(scrubbed{o.Exporter}, sdk.WithBatchTimeout(batchDelay), sdk.WithMaxQueueSize(queueSpans)),
	)}
	t.tracer = t.provider.Tracer(scope, upstream.WithInstrumentationVersion(o.Version))
	return t, nil
}

// security is how a collector is spoken to.
func security(o *v1alpha1.TracingOptions) (otlptracegrpc.Option, error) {
	host, _, err := net.SplitHostPort(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("send traces to %s: %w", o.Endpoint, err)
	}
	if o.Insecure || o.CAFile == "" && (host == "localhost" || net.ParseIP(host).IsLoopback()) {
		return otlptracegrpc.WithInsecure(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		data, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read tracing.caFile: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read tracing.caFile: %s holds no certificate", o.CAFile)
		}
	}
	return otlptracegrpc.WithTLSCredentials(credentials.NewTLS(config)), nil
}

// complain says in the log what the library would write to stderr as it likes: that the
// collector takes no spans, now and then. There is one handler in a process.
func complain(endpoint string) {
	limit := make(chan struct{}, 1)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		select {
		case limit <- struct{}{}:
			time.AfterFunc(complaints, func() { <-limit })
			klog.Warningf("Traces cannot be sent to the collector at %s, and are lost: %s", endpoint, text(err.Error()))
		default:
		}
	}))
}

// Close sends what the collector has not been sent yet, while that takes no longer than
// a moment.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		klog.V(2).InfoS("Traces are left that the collector has not been sent", "err", err)
	}
}

// Provider is for what is within a request: handlers, etcd, calls to webhooks. Its
// Shutdown does nothing, since the last requests are traced until Close.
func (t *Tracing) Provider() tracing.TracerProvider {
	if t == nil {
		return tracing.NewNoopTracerProvider()
	}
	return open{t.provider}
}

type open struct{ upstream.TracerProvider }

func (open) Shutdown(context.Context) error { return nil }

// propagator reads and writes traceparent and tracestate.
var propagator = propagation.TraceContext{}
