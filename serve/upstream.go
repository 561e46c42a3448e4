package serve

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"time"

	encryptionreload "k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
	"k8s.io/kubernetes/pkg/kubeapiserver/authorizer/modes"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/serve/pki"
)

// requestTimeout bounds every request that is neither a watch nor a stream, as
// upstream's default does.
const requestTimeout = time.Minute

// encryptionPoll is how often the encryption configuration is looked at for a
// change; upstream's own interval is a minute.
const encryptionPoll = 2 * time.Second

// upstreamOptions says in kube-apiserver's own terms what the settings mean.
// What Gatehouse does itself (authorization, static tokens, audit policy) is
// left out here and put in by buildChain.
func upstreamOptions(ctx context.Context, cfg *v1alpha1.ServeConfiguration, d *dataDir, keys *pki.PKI, st *store, listener net.Listener, checks *authorizationChecks) (options.CompletedOptions, error) {
	// A list by watching is told to be whole once a second, in an apiserver's cache
	// that nothing is written to: each thing that this server reads of itself would
	// wait for that, the start for several in a row. What it reads is its own cache,
	// which has been filled since it started.
	gates := map[string]bool{string(clientfeatures.WatchListClient): false}
	maps.Copy(gates, cfg.FeatureGates)
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gates); err != nil {
		return options.CompletedOptions{}, &StartError{Problem: fmt.Sprintf("featureGates: %v", err), Mend: "name gates of Kubernetes 1.37, each true or false"}
	}
	o := options.NewServerRunOptions()
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return options.CompletedOptions{}, fmt.Errorf("set feature gates: %w", err)
	}

	o.SecureServing.Listener = listener
	o.SecureServing.ServerCert.CertKey.CertFile = keys.Paths.Serving.Cert
	o.SecureServing.ServerCert.CertKey.KeyFile = keys.Paths.Serving.Key
	if cfg.TLS.CertFile != "" {
		o.SecureServing.ServerCert.CertKey.CertFile = cfg.TLS.CertFile
		o.SecureServing.ServerCert.CertKey.KeyFile = cfg.TLS.KeyFile
		// The administrator's kubeconfig, pods and this process itself believe
		// the cluster CA alone: by the names they use they see its certificate.
		o.SecureServing.SNICertKeys = []cliflag.NamedCertKey{{
			Names: localNames(cfg, listener), CertFile: keys.Paths.Serving.Cert, KeyFile: keys.Paths.Serving.Key,
		}}
	}
	o.SecureServing.MinTLSVersion = cfg.TLS.MinVersion
	// A finished process leaves connections in TIME_WAIT; a restart must not wait for them.
	o.SecureServing.PermitAddressSharing = true

	advertised := advertiseAddress(cfg, listener)
	o.GenericServerRunOptions.AdvertiseAddress = advertised
	o.GenericServerRunOptions.RequestTimeout = requestTimeout
	o.GenericServerRunOptions.ShutdownWatchTerminationGracePeriod = shutdownWatchGrace
	o.EndpointReconcilerType = string(reconcilers.LeaseEndpointReconcilerType)
	if advertised.IsLoopback() {
		// Endpoints may not name a loopback address; 192.0.2.0/24 is for
		// documentation (RFC 5737) and only fills a field that must not be empty.
		o.EndpointReconcilerType = string(reconcilers.NoneEndpointReconcilerType)
		o.GenericServerRunOptions.AdvertiseAddress = net.IPv4(192, 0, 2, 1)
	}
	o.GenericServerRunOptions.ExternalHost = listener.Addr().String()
	o.ServiceClusterIPRanges = cfg.ServiceClusterIPRange
	o.AllowPrivileged = true // Pod Security decides, by namespace

	o.Etcd.StorageConfig.Transport.ServerList = st.endpoints
	o.Etcd.StorageConfig.Transport.TrustedCAFile = st.tls.TrustedCAFile
	o.Etcd.StorageConfig.Transport.CertFile = st.tls.CertFile
	o.Etcd.StorageConfig.Transport.KeyFile = st.tls.KeyFile
	o.Etcd.StorageConfig.Prefix = cfg.Etcd.Prefix
	o.Etcd.EncryptionProviderConfigFilepath = cfg.Encryption.ConfigFile
	o.Etcd.EncryptionProviderConfigAutomaticReload = true
	encryptionreload.EncryptionConfigFileChangePollDuration = encryptionPoll

	o.Authentication.ClientCert.ClientCA = keys.Paths.ClientCABundle
	o.Authentication.RequestHeader.ClientCAFile = keys.Paths.FrontProxyCA.Cert
	o.Authentication.RequestHeader.AllowedNames = []string{pki.FrontProxyUser}
	o.Authentication.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	o.Authentication.RequestHeader.UIDHeaders = []string{"X-Remote-Uid"}
	o.Authentication.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	o.Authentication.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	o.ProxyClientCertFile, o.ProxyClientKeyFile = keys.Paths.FrontProxyClient.Cert, keys.Paths.FrontProxyClient.Key
	o.Authentication.BootstrapToken.Enable = *cfg.Authentication.BootstrapTokens
	o.Authentication.ServiceAccounts.Issuers = []string{cfg.Authentication.ServiceAccountIssuer}
	o.Authentication.ServiceAccounts.KeyFiles = []string{keys.Paths.ServiceAccountPub}
	o.ServiceAccountSigningKeyFile = keys.Paths.ServiceAccountKey
	o.Authentication.APIAudiences = cfg.Authentication.APIAudiences
	o.Authentication.AuthenticationConfigFile = cfg.Authentication.ConfigFile
	o.Authentication.Anonymous.Allow = len(*cfg.Authentication.AnonymousPaths) > 0
	if w := cfg.Authentication.Webhook; w != nil {
		o.Authentication.WebHook.ConfigFile = w.ConfigFile
		o.Authentication.WebHook.Version = w.Version
		o.Authentication.WebHook.CacheTTL = w.CacheTTL.Duration
	}

	// Upstream's own authorizers are not asked; should the chain ever be left
	// unreplaced, everything is refused.
	o.Authorization.Modes = []string{modes.ModeAlwaysDeny}

	if err := admissionOptions(o.Admission, cfg, d, checks); err != nil {
		return options.CompletedOptions{}, err
	}
	if err := auditOptions(o.Audit, cfg, d); err != nil {
		return options.CompletedOptions{}, err
	}

	o.KubeletConfig.TLSClientConfig.CertFile = keys.Paths.KubeletClient.Cert
	o.KubeletConfig.TLSClientConfig.KeyFile = keys.Paths.KubeletClient.Key
	o.KubeletConfig.TLSClientConfig.CAFile = keys.Paths.ClusterCA.Cert

	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := o.Complete(ctx)
	if err != nil {
		return options.CompletedOptions{}, fmt.Errorf("complete server options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return options.CompletedOptions{}, &StartError{Problem: fmt.Sprintf("settings are refused: %v", errs[0]), Mend: "see gatehouse serve --print-config"}
	}
	return completed, nil
}

// advertiseAddress is the address written into the endpoints of
// default/kubernetes: the one that is set, the one listened on, or this host's.
func advertiseAddress(cfg *v1alpha1.ServeConfiguration, listener net.Listener) net.IP {
	if ip := net.ParseIP(cfg.AdvertiseAddress); ip != nil {
		return ip
	}
	ip := listener.Addr().(*net.TCPAddr).IP
	if !ip.IsUnspecified() {
		return ip
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return net.IPv4(127, 0, 0, 1)
}

// listen binds the address before anything else is begun, so that a port in use
// is said at once.
func listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, &StartError{
			Problem: fmt.Sprintf("cannot listen on %s: %v", address, netError(err)),
			Mend:    "stop what uses it, or choose another address with --listen",
		}
	}
	return l, nil
}

func netError(err error) error {
	if op, ok := err.(*net.OpError); ok {
		if sys, ok := op.Err.(*os.SyscallError); ok {
			return sys.Err
		}
		return op.Err
	}
	return err
}
