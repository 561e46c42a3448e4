package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServeConfiguration is everything `gatehouse serve` can be told, in one file
// (--config). Every field but apiVersion and kind is optional. Paths that are
// not absolute are read from the folder the file lies in.
type ServeConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// Listen is the address and port the API is served on. A host name or an
	// unspecified address (0.0.0.0, ::) is allowed. Default: 127.0.0.1:6443.
	Listen string `json:"listen,omitempty"`

	// AdvertiseAddress is the IP address that is written into the endpoints of
	// the Service default/kubernetes. Default: the address of Listen; where that
	// is loopback, none is written.
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`

	// DataDir holds everything the server keeps: keys, etcd, audit log, the
	// administrator's kubeconfig. It is created with mode 0700.
	// Default: $XDG_DATA_HOME/gatehouse, or ~/.local/share/gatehouse.
	DataDir string `json:"dataDir,omitempty"`

	// ServiceClusterIPRange is the CIDR that Service addresses are taken from.
	// Default: 10.96.0.0/16.
	ServiceClusterIPRange string `json:"serviceClusterIPRange,omitempty"`

	// Controllers names the controllers to run in this process: "*" for all that
	// the gates need, NAME for one, -NAME to leave one out. An empty list ([])
	// runs none, for use with a real kube-controller-manager. Default: ["*"].
	Controllers *[]string `json:"controllers,omitempty"`

	TLS            TLSOptions            `json:"tls,omitempty"`
	Etcd           EtcdOptions           `json:"etcd,omitempty"`
	Authentication AuthenticationOptions `json:"authentication,omitempty"`
	Authorization  AuthorizationOptions  `json:"authorization,omitempty"`
	Admission      AdmissionOptions      `json:"admission,omitempty"`
	Encryption     EncryptionOptions     `json:"encryption,omitempty"`
	Audit          AuditOptions          `json:"audit,omitempty"`
	Detection      DetectionOptions      `json:"detection,omitempty"`
	Tracing        TracingOptions        `json:"tracing,omitempty"`
	Logging        LoggingOptions        `json:"logging,omitempty"`

	// FeatureGates switches Kubernetes feature gates by name. Default: none changed.
	FeatureGates map[string]bool `json:"featureGates,omitempty"`
}

// TLSOptions say how the server shows itself to clients.
type TLSOptions struct {
	// SANs are further names and IP addresses of the serving certificate, besides
	// localhost, the listen address, this host's name and the kubernetes.default
	// service names. Default: none.
	SANs []string `json:"sans,omitempty"`

	// MinVersion is VersionTLS13 or VersionTLS12. Default: VersionTLS13.
	MinVersion string `json:"minVersion,omitempty"`

	// CertFile and KeyFile replace the generated serving certificate; a changed
	// file is read again without a restart. Default: generated and renewed.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}

// EtcdOptions name the store.
type EtcdOptions struct {
	// Servers are the client URLs of an external etcd cluster. Default: none; an
	// etcd in this process, on a unix socket in the data directory.
	Servers []string `json:"servers,omitempty"`

	// CAFile, CertFile and KeyFile are for TLS to the external cluster.
	CAFile   string `json:"caFile,omitempty"`
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`

	// Prefix under which every key is written. Default: /registry.
	Prefix string `json:"prefix,omitempty"`

	// QuotaBackend is the size at which the embedded etcd refuses writes.
	// Default: 8Gi.
	QuotaBackend *resource.Quantity `json:"quotaBackend,omitempty"`
}

// AuthenticationOptions say who is believed.
type AuthenticationOptions struct {
	// ClientCAFile holds further CAs (PEM) whose client certificates are
	// believed, besides the cluster's own. Default: none.
	ClientCAFile string `json:"clientCAFile,omitempty"`

	// ClientCRLFile is a certificate revocation list (PEM or DER, RFC 5280) that
	// a client CA has signed; read again when it changes. Default: none.
	ClientCRLFile string `json:"clientCRLFile,omitempty"`

	// ExpiredCRL says what an expired CRL means: Refuse (every client
	// certificate of its issuer is refused until a newer list is there) or Accept
	// (the old list still counts). Default: Refuse.
	ExpiredCRL string `json:"expiredCRL,omitempty"`

	// TokenFile is a static token file (CSV: token,user,uid,"group,…"); read
	// again when it changes. Default: none.
	TokenFile string `json:"tokenFile,omitempty"`

	// BootstrapTokens accepts bootstrap tokens (Secrets of type
	// bootstrap.kubernetes.io/token in kube-system). Default: true.
	BootstrapTokens *bool `json:"bootstrapTokens,omitempty"`

	// ConfigFile is an AuthenticationConfiguration (apiserver.config.k8s.io) for
	// JWT issuers; read again when it changes. Default: none.
	ConfigFile string `json:"configFile,omitempty"`

	// Webhook asks a remote service about bearer tokens (TokenReview). Default: none.
	Webhook *AuthenticationWebhook `json:"webhook,omitempty"`

	// AnonymousPaths are the paths that a request without credentials may reach;
	// everything else is 401. Default: /healthz, /livez, /readyz.
	AnonymousPaths *[]string `json:"anonymousPaths,omitempty"`

	// ServiceAccountIssuer is the iss claim of service account tokens.
	// Default: https://kubernetes.default.svc.cluster.local.
	ServiceAccountIssuer string `json:"serviceAccountIssuer,omitempty"`

	// APIAudiences are the audiences a service account token for this API must
	// name one of. Default: the service account issuer.
	APIAudiences []string `json:"apiAudiences,omitempty"`
}

// AuthenticationWebhook is a TokenReview service.
type AuthenticationWebhook struct {
	// ConfigFile is a kubeconfig that names the service.
	ConfigFile string `json:"configFile"`
	// Version of TokenReview to send: v1 or v1beta1. Default: v1.
	Version string `json:"version,omitempty"`
	// CacheTTL is how long an answer is kept. Default: 2m.
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}

// AuthorizationOptions say who may do what.
type AuthorizationOptions struct {
	// Modes are the authorizers in the order they are asked: Node, RBAC, ABAC,
	// Webhook, AlwaysAllow, AlwaysDeny. Default: [Node, RBAC]. Not together with
	// ConfigFile.
	Modes []string `json:"modes,omitempty"`

	// ConfigFile is an AuthorizationConfiguration (apiserver.config.k8s.io) in
	// place of Modes; read again when it changes. Default: none.
	ConfigFile string `json:"configFile,omitempty"`

	// ABACPolicyFile holds ABAC policies, one JSON object a line; read again
	// when it changes, and a file that cannot be read leaves the last good one in
	// force. Needed by mode ABAC.
	ABACPolicyFile string `json:"abacPolicyFile,omitempty"`

	// WebhookConfigFile is a kubeconfig that names a SubjectAccessReview service.
	// Needed by mode Webhook.
	WebhookConfigFile string `json:"webhookConfigFile,omitempty"`

	// SystemMastersBypass gives the group system:masters every permission before
	// any authorizer is asked, as a stock kube-apiserver does. Default: false:
	// the group has what a binding gives it, and no binding does.
	SystemMastersBypass bool `json:"systemMastersBypass,omitempty"`
}

// AdmissionOptions say what may come in.
type AdmissionOptions struct {
	// Enable and Disable name admission plugins besides or less the default set.
	Enable  []string `json:"enable,omitempty"`
	Disable []string `json:"disable,omitempty"`

	// ConfigFile is an AdmissionConfiguration (apiserver.config.k8s.io) for
	// plugins that take settings. A "PodSecurity" entry in it replaces PodSecurity
	// below. Default: none.
	ConfigFile string `json:"configFile,omitempty"`

	// PodSecurity holds the levels of namespaces that carry no label of their own.
	PodSecurity PodSecurityDefaults `json:"podSecurity,omitempty"`

	// ScanRate is how many existing objects are judged in a second, at most, by the
	// background scan. Default: 1000.
	ScanRate int32 `json:"scanRate,omitempty"`

	// ClusterName is this cluster's name, by which BuiltinPolicies exempt clusters.
	// Default: none, and no exemption by cluster matches.
	ClusterName string `json:"clusterName,omitempty"`

	ExternalData ExternalDataOptions `json:"externalData,omitempty"`
}

// ExternalDataOptions say which external data providers policies of Gatekeeper may ask.
type ExternalDataOptions struct {
	// Providers may be asked, as NAME=URL: the name of a Provider object
	// (externaldata.gatekeeper.sh) and the URL that it must have, to the letter.
	// Another Provider is reported, and nobody asks it. Default: none.
	Providers []string `json:"providers,omitempty"`

	// CertFile is the client certificate that is shown to providers, read anew for
	// each connection. Default: none is shown.
	CertFile string `json:"certFile,omitempty"`

	// KeyFile is the key of CertFile.
	KeyFile string `json:"keyFile,omitempty"`

	// CacheTTL is how long an answer is kept; a negative time keeps none. Default: 3m.
	CacheTTL *metav1.Duration `json:"cacheTTL,omitempty"`
}

// PodSecurityDefaults are Pod Security Standards levels: privileged, baseline
// or restricted.
type PodSecurityDefaults struct {
	// Enforce refuses pods. Default: baseline.
	Enforce string `json:"enforce,omitempty"`
	// Audit annotates the audit event. Default: restricted.
	Audit string `json:"audit,omitempty"`
	// Warn shows the client a warning. Default: restricted.
	Warn string `json:"warn,omitempty"`
	// ExemptNamespaces are not looked at. Default: [kube-system].
	ExemptNamespaces *[]string `json:"exemptNamespaces,omitempty"`
}

// EncryptionOptions say how objects are kept.
type EncryptionOptions struct {
	// ConfigFile is an EncryptionConfiguration (apiserver.config.k8s.io); read
	// again when it changes. Default: generated in the data directory, with a
	// fresh key: secretbox for Secrets and ConfigMaps.
	ConfigFile string `json:"configFile,omitempty"`

	// SecretSizeWarning is the size of a Secret's data above which the client is
	// warned that Secrets are for small sensitive data; 0 never warns.
	// Default: 64Ki.
	SecretSizeWarning *resource.Quantity `json:"secretSizeWarning,omitempty"`
}

// AuditOptions say what is written down.
type AuditOptions struct {
	// PolicyFile is an audit Policy (audit.k8s.io/v1); read again when it
	// changes. Default: the built-in policy, which `gatehouse print audit-policy`
	// shows.
	PolicyFile string `json:"policyFile,omitempty"`

	// LogFile receives one JSON event a line. Default: DATA_DIR/audit/audit.log.
	LogFile string `json:"logFile,omitempty"`

	// MaxSizeMegabytes at which the file is rotated. Default: 100.
	MaxSizeMegabytes int32 `json:"maxSizeMegabytes,omitempty"`
	// MaxAgeDays for which rotated files are kept. Default: 30.
	MaxAgeDays int32 `json:"maxAgeDays,omitempty"`
	// MaxBackups is how many rotated files are kept. Default: 10.
	MaxBackups int32 `json:"maxBackups,omitempty"`

	Store AuditStoreOptions `json:"store,omitempty"`

	// OTLPEndpoint is host:port of an OpenTelemetry collector that gets every event that
	// is kept as a log record, by OTLP over gRPC: without TLS where it is on this
	// machine, and with the system's CAs elsewhere. Default: none.
	OTLPEndpoint string `json:"otlpEndpoint,omitempty"`
}

// AuditStoreOptions say where audit events are kept so that they can be asked.
type AuditStoreOptions struct {
	// Disabled keeps none: what was done is then in the log file alone, and `gatehouse
	// audit` and simulations have nothing to ask. Default: false.
	Disabled bool `json:"disabled,omitempty"`

	// DataDir is the folder of the store. It is created with mode 0700.
	// Default under serve: DATA_DIR/audit/store. Default under attach: none, and
	// /audit is not answered.
	DataDir string `json:"dataDir,omitempty"`

	// MaxAgeDays is how long events are kept; 0 is without end. Default: 90.
	MaxAgeDays *int32 `json:"maxAgeDays,omitempty"`

	// MaxSize is how much the store may take; the oldest events go first. 0 is without
	// bound. Default: 10Gi.
	MaxSize *resource.Quantity `json:"maxSize,omitempty"`

	// Overflow is Block or Drop: what happens to a request whose event cannot be
	// written as fast as it comes. Block lets it wait. Drop lets it go on without, and
	// writes a gap into the store. Default: Block.
	Overflow string `json:"overflow,omitempty"`

	// SyncInterval is how often what was written is forced to the disk. A process that
	// is killed loses nothing; a power cut loses at most this. 0 forces each write
	// before the request is answered. Default: 100ms.
	SyncInterval *metav1.Duration `json:"syncInterval,omitempty"`

	// Publish is the URL of a bucket that finished parts of the store are copied to:
	// s3://, gs://, azblob:// or file://. Default: none.
	Publish string `json:"publish,omitempty"`

	// Cluster names this cluster in the bucket. Default: default.
	Cluster string `json:"cluster,omitempty"`
}

// TracingOptions send OpenTelemetry traces. Off where no endpoint is set.
type TracingOptions struct {
	// Endpoint is host:port of an OTLP gRPC collector. Default: none.
	Endpoint string `json:"endpoint,omitempty"`

	// CAFile holds the CAs (PEM) that the collector's certificate must verify
	// against. Default: the system's, and no TLS where the collector is on this
	// machine.
	CAFile string `json:"caFile,omitempty"`

	// Insecure sends to a collector on another machine without TLS. Default: false.
	Insecure bool `json:"insecure,omitempty"`

	// SamplingRatePerMillion is how many of a million requests begin a trace of
	// their own. Default: 10000.
	SamplingRatePerMillion *int32 `json:"samplingRatePerMillion,omitempty"`
}

// LoggingOptions shape what the process says on stderr.
type LoggingOptions struct {
	// Format is text or json. Default: text.
	Format string `json:"format,omitempty"`
	// Level is error, warning, info or debug. Default: warning.
	Level string `json:"level,omitempty"`
}
