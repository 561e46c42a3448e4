package v1alpha1

import (
	"net"
	"net/url"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ReadAttachConfiguration is ReadServeConfiguration for an AttachConfiguration.
func ReadAttachConfiguration(path string) (*AttachConfiguration, *Source, error) {
	return read(path, ParseAttachConfiguration, attachPaths)
}

// attachPaths returns every field that names a file or a folder.
func attachPaths(cfg *AttachConfiguration) []*string {
	return append(cfg.Detection.paths(),
		&cfg.Cluster.Kubeconfig,
		&cfg.TLS.CertFile,
		&cfg.TLS.KeyFile,
		&cfg.TLS.DataDir,
		&cfg.Client.CAFile,
		&cfg.Authentication.TokenFile,
		&cfg.Authentication.ConfigFile,
		&cfg.Admission.ExternalData.CertFile,
		&cfg.Admission.ExternalData.KeyFile,
		&cfg.Audit.Store.DataDir,
		&cfg.Tracing.CAFile,
	)
}

// SetAttachDefaults fills in the documented default of every field that is not
// set, but for those whose default is "none" and for cluster.namespace, which
// depends on where the program runs.
func SetAttachDefaults(cfg *AttachConfiguration) {
	cfg.APIVersion, cfg.Kind = SchemeGroupVersion.String(), attachConfigurationKind
	setDefault(&cfg.Listen, "127.0.0.1:8443")
	setDefault(&cfg.TLS.MinVersion, "VersionTLS13")
	if cfg.TLS.CertFile == "" && cfg.TLS.DataDir == "" {
		setDefault(&cfg.TLS.SecretName, "gatehouse-attach-ca")
	}
	if len(cfg.Authentication.Audiences) == 0 {
		cfg.Authentication.Audiences = []string{"https://kubernetes.default.svc.cluster.local"}
	}
	setDefaultPointer(&cfg.Authentication.Revocations, true)
	setDefault(&cfg.Admission.Webhooks, WebhooksUnmanaged)
	setDefault(&cfg.Admission.FailurePolicy, "Fail")
	setDefaultPointer(&cfg.Admission.ExemptNamespaces, []string{metav1.NamespaceSystem})
	cfg.Admission.ExternalData.setDefaults()
	cfg.Audit.Store.setDefaults()
	cfg.Detection.setDefaults()
	if !cfg.Audit.Store.Disabled {
		cfg.Detection.setDataDir(cfg.Audit.Store.DataDir)
	}
	setDefaultPointer(&cfg.Audit.RequestSize, resource.MustParse("64Mi"))
	setDefaultPointer(&cfg.Limits.RequestSize, resource.MustParse("3Mi"))
	setDefault(&cfg.Limits.ConcurrentReviews, 1000)
	setDefaultPointer(&cfg.Limits.ReviewTimeout, metav1.Duration{Duration: 10 * time.Second})
	setDefaultPointer(&cfg.Tracing.SamplingRatePerMillion, 10000)
	setDefault(&cfg.Logging.Format, "text")
	setDefault(&cfg.Logging.Level, "warning")
}

// ValidateAttach is Validate for an AttachConfiguration.
func ValidateAttach(cfg *AttachConfiguration) field.ErrorList {
	v := &validator{}
	if cfg.Listen != "" {
		v.listen(cfg.Listen, field.NewPath("listen"))
	}
	if h := cfg.HealthListen; h != "" {
		p := field.NewPath("healthListen")
		v.listen(h, p)
		if _, port, err := net.SplitHostPort(h); err == nil && h == cfg.Listen && port != "0" {
			v.add(field.Duplicate(p, h))
		}
	}
	v.attachCluster(&cfg.Cluster, field.NewPath("cluster"))
	v.attachTLS(&cfg.TLS, field.NewPath("tls"))

	client := field.NewPath("client")
	v.unique(cfg.Client.Names, client.Child("names"))
	if len(cfg.Client.Names) > 0 && cfg.Client.CAFile == "" {
		v.add(field.Required(client.Child("caFile"), "client.names is set, and names are read from certificates that a CA must vouch for"))
	}

	v.unique(cfg.Authentication.Audiences, field.NewPath("authentication", "audiences"))
	v.attachAdmission(&cfg.Admission, field.NewPath("admission"))
	v.auditStore(&cfg.Audit.Store, field.NewPath("audit", "store"))
	v.collector(cfg.Audit.OTLPEndpoint, field.NewPath("audit", "otlpEndpoint"))
	if a := cfg.Audit.APIListen; a != "" {
		v.listen(a, field.NewPath("audit", "apiListen"))
		if cfg.Audit.Store.DataDir == "" || cfg.Audit.Store.Disabled {
			v.add(field.Required(field.NewPath("audit", "store", "dataDir"), "audit.apiListen is set, and there are no events to ask about"))
		}
	}
	if q := cfg.Audit.RequestSize; q != nil {
		v.size(q, field.NewPath("audit", "requestSize"))
	}
	v.detection(&cfg.Detection, field.NewPath("detection"))
	v.attachLimits(&cfg.Limits, field.NewPath("limits"))
	v.tracing(&cfg.Tracing, field.NewPath("tracing"))
	v.logging(&cfg.Logging, field.NewPath("logging"))
	return v.errs
}

// Of AttachAdmissionOptions.Webhooks.
const (
	WebhooksManaged   = "Managed"
	WebhooksUnmanaged = "Unmanaged"
)

func (v *validator) attachAdmission(o *AttachAdmissionOptions, p *field.Path) {
	v.oneOf(o.Webhooks, p.Child("webhooks"), WebhooksManaged, WebhooksUnmanaged)
	v.oneOf(o.FailurePolicy, p.Child("failurePolicy"), "Fail", "Ignore")
	v.ownName(o.ClusterName, p.Child("clusterName"))
	v.externalData(&o.ExternalData, p.Child("externalData"))
	if o.URL != "" {
		if u, err := url.Parse(o.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			v.add(field.Invalid(p.Child("url"), o.URL, "want a URL such as https://10.96.0.53, without a path"))
		}
	}
	if o.ExemptNamespaces != nil {
		v.unique(*o.ExemptNamespaces, p.Child("exemptNamespaces"))
		for i, n := range *o.ExemptNamespaces {
			if problems := validation.IsDNS1123Label(n); len(problems) > 0 {
				v.add(field.Invalid(p.Child("exemptNamespaces").Index(i), n, problems[0]))
			}
		}
	}
}

func (v *validator) attachCluster(o *AttachClusterOptions, p *field.Path) {
	if o.Context != "" && o.Kubeconfig == "" {
		v.add(field.Required(p.Child("kubeconfig"), "cluster.context is set, and it names a context of that file"))
	}
	if o.Namespace != "" && len(validation.IsDNS1123Label(o.Namespace)) > 0 {
		v.add(field.Invalid(p.Child("namespace"), o.Namespace, "want the name of a namespace"))
	}
}

func (v *validator) attachTLS(o *AttachTLSOptions, p *field.Path) {
	v.sans(o.SANs, p.Child("sans"))
	v.oneOf(o.MinVersion, p.Child("minVersion"), "VersionTLS12", "VersionTLS13")
	v.together(p.Child("certFile"), o.CertFile, p.Child("keyFile"), o.KeyFile)
	if o.SecretName != "" && len(validation.IsDNS1123Subdomain(o.SecretName)) > 0 {
		v.add(field.Invalid(p.Child("secretName"), o.SecretName, "want the name of a Secret"))
	}
	for _, f := range []struct{ name, value string }{{"dataDir", o.DataDir}, {"secretName", o.SecretName}} {
		if f.value != "" && o.CertFile != "" {
			v.add(field.Forbidden(p.Child(f.name), "has no effect: tls.certFile replaces the generated certificate"))
		}
	}
	if o.DataDir != "" && o.SecretName != "" {
		v.add(field.Forbidden(p.Child("secretName"), "has no effect: tls.dataDir keeps the CA on this host"))
	}
}

func (v *validator) attachLimits(o *AttachLimits, p *field.Path) {
	if q := o.RequestSize; q != nil {
		v.size(q, p.Child("requestSize"))
	}
	if o.ConcurrentReviews < 0 {
		v.add(field.Invalid(p.Child("concurrentReviews"), o.ConcurrentReviews, "want a number above 0"))
	}
	if t := o.ReviewTimeout; t != nil && t.Duration <= 0 {
		v.add(field.Invalid(p.Child("reviewTimeout"), t.Duration.String(), "want a duration above 0"))
	}
}

// size refuses what is no size above 0.
func (v *validator) size(q *resource.Quantity, p *field.Path) {
	if q.Sign() <= 0 {
		v.add(field.Invalid(p, q.String(), "want a size above 0"))
		return
	}
	v.fitsInt64(q.AsInt64, q.String(), p)
}
