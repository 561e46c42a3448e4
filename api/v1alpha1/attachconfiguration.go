package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AttachConfiguration is everything `gatehouse attach` can be told, in one file
// (--config). Every field but apiVersion and kind is optional. Paths that are
// not absolute are read from the folder the file lies in.
type AttachConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// Listen is the address and port the reviews are answered on. A host name or an unspecified address (0.0.0.0, ::) is allowed.
	// Default: 127.0.0.1:8443, for an API server on the same host.
	Listen string `json:"listen,omitempty"`

	// HealthListen is a second address that answers /livez and /readyz alone,
	// unencrypted, for the probes of a kubelet, which has no client certificate.
	// Default: none; both paths are on Listen too.
	HealthListen string `json:"healthListen,omitempty"`

	Cluster        AttachClusterOptions        `json:"cluster,omitempty"`
	TLS            AttachTLSOptions            `json:"tls,omitempty"`
	Client         AttachClientOptions         `json:"client,omitempty"`
	Authentication AttachAuthenticationOptions `json:"authentication,omitempty"`
	Admission      AttachAdmissionOptions      `json:"admission,omitempty"`
	Audit          AttachAuditOptions          `json:"audit,omitempty"`
	Detection      DetectionOptions            `json:"detection,omitempty"`
	Limits         AttachLimits                `json:"limits,omitempty"`
	Tracing        TracingOptions              `json:"tracing,omitempty"`
	Logging        LoggingOptions              `json:"logging,omitempty"`
}

// AttachClusterOptions name the cluster that is watched, which is the one whose
// API server asks.
type AttachClusterOptions struct {
	// Kubeconfig is the file that leads to the cluster. Default: the service
	// account of the pod this runs in.
	Kubeconfig string `json:"kubeconfig,omitempty"`

	// Context of that file. Default: its current one.
	Context string `json:"context,omitempty"`

	// Namespace holds the Secret of the serving CA. Default: the pod's own, and
	// gatehouse-system outside of a pod.
	Namespace string `json:"namespace,omitempty"`
}

// AttachTLSOptions say how the server shows itself to the API server.
type AttachTLSOptions struct {
	// SANs are further names and IP addresses of the serving certificate, besides
	// localhost, the listen address, this host's name and the names of the Service
	// gatehouse-attach. Default: none.
	SANs []string `json:"sans,omitempty"`

	// MinVersion is VersionTLS13 or VersionTLS12. Default: VersionTLS13.
	MinVersion string `json:"minVersion,omitempty"`

	// CertFile and KeyFile replace the generated serving certificate; a changed
	// file is read again without a restart. Default: generated and renewed.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`

	// DataDir keeps the CA of the generated certificate on this host. It is
	// created with mode 0700. Default: none; the CA is in a Secret that all
	// replicas share.
	DataDir string `json:"dataDir,omitempty"`

	// SecretName names that Secret. Default: gatehouse-attach-ca.
	SecretName string `json:"secretName,omitempty"`
}

// AttachClientOptions say who may ask.
type AttachClientOptions struct {
	// CAFile holds the CAs (PEM) that the client certificate of the API server
	// must verify against; who shows none is turned away in the TLS handshake. It
	// is read again when it changes. Default: none, and whoever reaches the port
	// may ask.
	CAFile string `json:"caFile,omitempty"`

	// Names are the common names that such a certificate may have. Default: any.
	// Set it where the CA signs certificates for others too.
	Names []string `json:"names,omitempty"`
}

// AttachAuthenticationOptions say which bearer tokens /authenticate knows.
type AttachAuthenticationOptions struct {
	// TokenFile is a static token file (CSV: token,user,uid,"group,…"); read
	// again when it changes. Default: none.
	TokenFile string `json:"tokenFile,omitempty"`

	// BootstrapTokens accepts bootstrap tokens (Secrets of type
	// bootstrap.kubernetes.io/token in kube-system, which must be readable).
	// Default: false, since the API server can do that itself.
	BootstrapTokens bool `json:"bootstrapTokens,omitempty"`

	// ConfigFile is an AuthenticationConfiguration (apiserver.config.k8s.io) for
	// JWT issuers; read again when it changes. Default: none.
	ConfigFile string `json:"configFile,omitempty"`

	// Audiences are what static and bootstrap tokens, and those of JWT issuers,
	// count as issued for: the API server's own (--api-audiences there).
	// Default: https://kubernetes.default.svc.cluster.local.
	Audiences []string `json:"audiences,omitempty"`

	// Revocations refuses the tokens that Revocation objects name, and every token
	// until they have been read. Default: true.
	Revocations *bool `json:"revocations,omitempty"`
}

// AttachAdmissionOptions say how the API server is led to /mutate and /validate,
// which answer whether it is or not.
type AttachAdmissionOptions struct {
	// Webhooks is Managed or Unmanaged. Managed keeps a MutatingWebhookConfiguration
	// and a ValidatingWebhookConfiguration, both named gatehouse-attach, that select
	// exactly the resources the loaded policies can match. Default: Unmanaged.
	Webhooks string `json:"webhooks,omitempty"`

	// URL, without a path, by which the API server reaches this program. Default: the
	// Service gatehouse-attach in cluster.namespace.
	URL string `json:"url,omitempty"`

	// FailurePolicy is Fail or Ignore: what the API server does with a request when it
	// gets no answer. Default: Fail.
	FailurePolicy string `json:"failurePolicy,omitempty"`

	// ExemptNamespaces are not judged by the webhooks, so that what runs in them can be
	// started while Gatehouse is down. The namespace of Gatehouse is always among them.
	// Default: [kube-system].
	ExemptNamespaces *[]string `json:"exemptNamespaces,omitempty"`

	// ClusterName is this cluster's name, by which BuiltinPolicies exempt clusters.
	// Default: none, and no exemption by cluster matches.
	ClusterName string `json:"clusterName,omitempty"`

	ExternalData ExternalDataOptions `json:"externalData,omitempty"`
}

// AttachAuditOptions say what becomes of the events that the API server posts to
// /audit (its --audit-webhook-config-file).
type AttachAuditOptions struct {
	Store AuditStoreOptions `json:"store,omitempty"`

	// OTLPEndpoint is host:port of an OpenTelemetry collector that gets every event that
	// is kept as a log record, by OTLP over gRPC: without TLS where it is on this
	// machine, and with the system's CAs elsewhere. Default: none.
	OTLPEndpoint string `json:"otlpEndpoint,omitempty"`

	// APIListen is the address and port that questions about events are answered on,
	// over TLS, as an aggregated API server (group audit.gatehouse.io): who asks is
	// authenticated and authorized by the cluster. Default: none.
	APIListen string `json:"apiListen,omitempty"`

	// RequestSize is the size of one list of events above which it is refused.
	// Default: 64Mi.
	RequestSize *resource.Quantity `json:"requestSize,omitempty"`
}

// AttachLimits bound what one client can cost.
type AttachLimits struct {
	// RequestSize is the size of a review above which it is refused (413).
	// Default: 3Mi, as much as an API server takes.
	RequestSize *resource.Quantity `json:"requestSize,omitempty"`

	// ConcurrentReviews is how many reviews of one sort are worked on at a time;
	// one more is told to come again (429). Default: 1000.
	ConcurrentReviews int32 `json:"concurrentReviews,omitempty"`

	// ReviewTimeout bounds one review. Default: 10s.
	ReviewTimeout *metav1.Duration `json:"reviewTimeout,omitempty"`
}
