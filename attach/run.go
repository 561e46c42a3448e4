package attach

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/version"
	"github.com/gatehouse-io/gatehouse/telemetry/meter"
	"github.com/gatehouse-io/gatehouse/telemetry/trace"
)

const (
	// serviceName is the Service that Manifests puts before the replicas.
	serviceName = "gatehouse-attach"

	// defaultNamespace is where the CA is kept by a program outside of a pod.
	defaultNamespace = "gatehouse-system"

	// namespaceFile tells a pod its namespace.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// RunOptions shape Run.
type RunOptions struct {
	// Config are the settings, with their defaults, and valid. Needed.
	Config *v1alpha1.AttachConfiguration
	// Out is told what the server does, in a line or two. Needed.
	Out io.Writer
}

// Run is `gatehouse attach`: it watches the cluster and answers reviews until ctx
// ends. An error that a person can mend is a *StartError or has a Hint.
func Run(ctx context.Context, opts RunOptions) error {
	// What is started below ends with Run, however that ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cfg := opts.Config
	config, namespace, err := Connect(cfg.Cluster)
	if err != nil {
		return err
	}
	compact := rest.CopyConfig(config) // half the bytes, where there are many bindings
	compact.ContentType, compact.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(compact)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}

	measured := newInstruments()
	decide, index, checks, err := newAuthorizer(ctx, client, objects, measured)
	if err != nil {
		return err
	}
	endpoints := []Endpoint{Authorize(measured.authz.Authorizer(decide))}
	tokens, more, err := newTokens(ctx, &cfg.Authentication, client, objects, measured)
	if err != nil {
		return err
	}
	policies, still, err := newPolicies(ctx, cfg, namespace, client, objects, decide)
	if err != nil {
		return err
	}
	endpoints = append(endpoints, Mutate(policies), Validate(policies), Images(policies))
	more = append(more, still...)
	if tokens != nil {
		endpoints = append(endpoints, Authenticate(measured.authn.Tokens(tokens, isRevoked), cfg.Authentication.Audiences))
	}
	events, err := openTrail(cfg)
	if err != nil {
		return err
	}
	handlers := map[string]http.Handler{}
	var api http.Handler
	if events != nil {
		defer func() {
			if err := events.Close(); err != nil {
				klog.ErrorS(err, "The audit store is not closed in order; nothing that was acknowledged is lost")
			}
		}()
		go events.Run(ctx)
		closeDetection, err := detectFrom(ctx, cfg, events, config, index)
		if err != nil {
			return err
		}
		defer closeDetection()
		defer cancel()
		handlers[auditPath] = events.Webhook(cfg.Audit.RequestSize.Value())
		if cfg.Audit.APIListen != "" {
			if api, err = auditQuestions(ctx, events, client); err != nil {
				return err
			}
		}
	}
	tracing, err := trace.Open(ctx, trace.Options{Settings: cfg.Tracing, Mount: "attach", Version: version.Release})
	if err != nil {
		return &StartError{Problem: err.Error(), Mend: "tracing.endpoint is HOST:PORT of an OTLP gRPC collector, and tracing.caFile has the CAs of its certificate"}
	}
	defer tracing.Close()
	size, _ := cfg.Limits.RequestSize.AsInt64()
	server, err := New(Options{
		Endpoints:         endpoints,
		Handlers:          handlers,
		API:               api,
		Tracing:           tracing,
		Checks:            append(checks, more...),
		RequestSize:       size,
		ConcurrentReviews: int(cfg.Limits.ConcurrentReviews),
		ReviewTimeout:     cfg.Limits.ReviewTimeout.Duration,
	})
	if err != nil {
		return err
	}

	listener, err := listen("listen", cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	var health net.Listener
	if cfg.HealthListen != "" {
		if health, err = listen("healthListen", cfg.HealthListen); err != nil {
			return err
		}
		defer health.Close()
	}
	var apiListener net.Listener
	if api != nil {
		if apiListener, err = listen("audit.apiListen", cfg.Audit.APIListen); err != nil {
			return err
		}
		defer apiListener.Close()
	}
	tlsConfig, err := serverTLS(ctx, cfg, client, namespace)
	if err != nil {
		return err
	}
	if err := measured.register(meter.Certificate{Name: "serving", File: cfg.TLS.CertFile, Address: dialable(listener.Addr())}); err != nil {
		return err
	}
	go measured.run(ctx)
	var paths []string
	for _, e := range endpoints {
		paths = append(paths, e.Path)
	}
	paths = append(paths, slices.Sorted(maps.Keys(handlers))...)
	fmt.Fprintf(opts.Out, "gatehouse attach answers %s on https://%s\n", strings.Join(paths, ", "), listener.Addr())
	if cfg.Client.CAFile == "" && !loopback(listener.Addr()) {
		klog.Warning("No client certificate is asked for: whoever reaches the port may ask what anybody may do. Set client.caFile (--client-ca)")
	}
	if api != nil {
		fmt.Fprintf(opts.Out, "questions about audit events: https://%s\n", apiListener.Addr())
	}
	return server.Serve(ctx, Listeners{Reviews: listener, Health: health, API: apiListener}, tlsConfig)
}

// Connect finds the cluster, and the namespace that the serving CA is kept in.
func Connect(o v1alpha1.AttachClusterOptions) (*rest.Config, string, error) {
	namespace := o.Namespace
	if namespace == "" {
		namespace = defaultNamespace
		if data, err := os.ReadFile(namespaceFile); err == nil && len(data) > 0 && o.Kubeconfig == "" {
			namespace = strings.TrimSpace(string(data))
		}
	}
	var config *rest.Config
	var err error
	if o.Kubeconfig == "" {
		if config, err = rest.InClusterConfig(); err != nil {
			return nil, "", &StartError{Problem: fmt.Sprintf("find the cluster: %v", err), Mend: "name a kubeconfig with --kubeconfig FILE"}
		}
	} else {
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			&clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig},
			&clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
		if err != nil {
			return nil, "", &StartError{Problem: fmt.Sprintf("read kubeconfig %s: %v", o.Kubeconfig, err), Mend: "cluster.kubeconfig (--kubeconfig) and cluster.context (--context) lead to the cluster"}
		}
	}
	config.QPS = -1 // a handful of watches
	config.UserAgent = rest.DefaultKubernetesUserAgent()
	return config, namespace, nil
}

func listen(field, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &StartError{Problem: fmt.Sprintf("%s: %v", field, err), Mend: "another address: " + field + " in the settings" + map[string]string{"listen": ", or --listen"}[field]}
	}
	return l, nil
}

// serverTLS is the certificate of the settings, and what is asked of clients.
func serverTLS(ctx context.Context, cfg *v1alpha1.AttachConfiguration, client kubernetes.Interface, namespace string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
	if cfg.TLS.MinVersion == "VersionTLS12" {
		config.MinVersion = tls.VersionTLS12
	}
	if cfg.TLS.CertFile != "" {
		cert, err := fromFiles(ctx, cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, err
		}
		config.GetCertificate = cert.get
	} else {
		cert, err := newGenerated(ctx, storeOf(cfg.TLS, client, namespace), certificateNames(cfg, namespace), clock.RealClock{})
		if err != nil {
			return nil, err
		}
		go cert.run(ctx)
		config.GetCertificate = cert.get
	}
	if cfg.Client.CAFile != "" {
		asked, err := newClients(ctx, cfg.Client.CAFile, cfg.Client.Names)
		if err != nil {
			return nil, err
		}
		asked.require(config)
	}
	return config, nil
}

func storeOf(o v1alpha1.AttachTLSOptions, client kubernetes.Interface, namespace string) authorityStore {
	if o.DataDir != "" {
		return dirStore{o.DataDir}
	}
	return secretStore{secrets: client.CoreV1().Secrets(namespace), namespace: namespace, name: o.SecretName}
}

// ServingCA is the CA, as PEM, that the replicas with these settings sign with:
// what an API server is given as caBundle. It is nil where there is none yet.
func ServingCA(ctx context.Context, o v1alpha1.AttachTLSOptions, client kubernetes.Interface, namespace string) ([]byte, error) {
	ca, err := loadAuthority(ctx, storeOf(o, client, namespace), false, clock.RealClock{}.Now())
	if ca == nil || err != nil {
		return nil, err
	}
	return encodeCertificate(ca.cert), nil
}

// certificateNames are what the API server may know the server by.
func certificateNames(cfg *v1alpha1.AttachConfiguration, namespace string) []string {
	names := []string{
		"localhost", "127.0.0.1", "::1",
		serviceName, serviceName + "." + namespace, serviceName + "." + namespace + ".svc", serviceName + "." + namespace + ".svc.cluster.local",
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil {
		if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
			names = append(names, host)
		}
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		names = append(names, strings.ToLower(host))
	}
	names = append(names, cfg.TLS.SANs...)
	slices.Sort(names)
	return slices.Compact(names)
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
