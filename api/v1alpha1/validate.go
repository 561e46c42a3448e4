package v1alpha1

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns what is wrong with the values of a configuration, before or
// after SetDefaults. It looks at nothing else: whether a file is there, or a
// controller of that name exists, is for serve to find out.
//
// Source.Locate makes one error of the list, with the lines of the file.
func Validate(cfg *ServeConfiguration) field.ErrorList {
	v := &validator{}
	v.top(cfg)
	v.tls(&cfg.TLS, field.NewPath("tls"))
	v.etcd(&cfg.Etcd, field.NewPath("etcd"))
	v.authentication(&cfg.Authentication, field.NewPath("authentication"))
	v.authorization(&cfg.Authorization, field.NewPath("authorization"))
	v.admission(&cfg.Admission, field.NewPath("admission"))
	v.rest(cfg)
	return v.errs
}

type validator struct{ errs field.ErrorList }

func (v *validator) add(err *field.Error) { v.errs = append(v.errs, err) }

func (v *validator) top(cfg *ServeConfiguration) {
	if cfg.Listen != "" {
		v.listen(cfg.Listen, field.NewPath("listen"))
	}
	if a := cfg.AdvertiseAddress; a != "" {
		p := field.NewPath("advertiseAddress")
		switch ip, err := netip.ParseAddr(a); {
		case err != nil || ip.Zone() != "":
			v.add(field.Invalid(p, a, "want an IP address, such as 192.0.2.10"))
		case ip.IsUnspecified() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast():
			v.add(field.Invalid(p, a, "want an address that other hosts can reach, not an unspecified, loopback, link-local or multicast one"))
		}
	}
	if r := cfg.ServiceClusterIPRange; r != "" {
		p := field.NewPath("serviceClusterIPRange")
		switch prefix, err := netip.ParsePrefix(r); {
		case err != nil:
			v.add(field.Invalid(p, r, "want one CIDR, such as 10.96.0.0/16"))
		case prefix != prefix.Masked():
			v.add(field.Invalid(p, r, fmt.Sprintf("has bits set beyond the prefix; want %s", prefix.Masked())))
		case prefix.Addr().BitLen()-prefix.Bits() < 3:
			v.add(field.Invalid(p, r, "is too small; want at least 8 addresses"))
		}
	}
	if c := cfg.Controllers; c != nil {
		p := field.NewPath("controllers")
		v.unique(*c, p)
		for i, name := range *c {
			if name == "-" || name == "-*" {
				v.add(field.Invalid(p.Index(i), name, `want "*", NAME or -NAME; an empty list ([]) runs none`))
			}
		}
	}
	if _, ok := cfg.FeatureGates[""]; ok {
		v.add(field.Invalid(field.NewPath("featureGates"), "", "want the name of a feature gate"))
	}
}

func (v *validator) listen(listen string, p *field.Path) {
	const example = "want ADDRESS:PORT, such as 127.0.0.1:6443 or [::1]:6443"
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		v.add(field.Invalid(p, listen, example))
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		v.add(field.Invalid(p, listen, "want a port from 0 to 65535"))
	}
	if host == "" {
		v.add(field.Invalid(p, listen, "names no address; to listen on every address of this host write 0.0.0.0:"+port+" or [::]:"+port))
	} else if !isHost(host) {
		v.add(field.Invalid(p, listen, example))
	}
}

func (v *validator) tls(o *TLSOptions, p *field.Path) {
	v.sans(o.SANs, p.Child("sans"))
	v.oneOf(o.MinVersion, p.Child("minVersion"), "VersionTLS12", "VersionTLS13")
	v.together(p.Child("certFile"), o.CertFile, p.Child("keyFile"), o.KeyFile)
}

func (v *validator) sans(sans []string, p *field.Path) {
	v.unique(sans, p)
	for i, san := range sans {
		if san != "" && !isHost(san) && len(validation.IsWildcardDNS1123Subdomain(san)) > 0 {
			v.add(field.Invalid(p.Index(i), san, "want a DNS name or an IP address"))
		}
	}
}

func (v *validator) etcd(o *EtcdOptions, p *field.Path) {
	for i, server := range o.Servers {
		v.etcdServer(server, p.Child("servers").Index(i))
		if slices.Contains(o.Servers[:i], server) {
			v.add(field.Duplicate(p.Child("servers").Index(i), withoutSecrets(server)))
		}
	}
	if len(o.Servers) == 0 {
		for _, f := range []struct{ name, value string }{
			{"caFile", o.CAFile}, {"certFile", o.CertFile}, {"keyFile", o.KeyFile},
		} {
			if f.value != "" {
				v.add(field.Forbidden(p.Child(f.name), "is for an external etcd cluster, and etcd.servers names none"))
			}
		}
	} else if o.QuotaBackend != nil {
		v.add(field.Forbidden(p.Child("quotaBackend"), "is for the embedded etcd, and etcd.servers names an external one"))
	}
	v.together(p.Child("certFile"), o.CertFile, p.Child("keyFile"), o.KeyFile)
	if o.Prefix != "" && (!strings.HasPrefix(o.Prefix, "/") || strings.Trim(o.Prefix, "/") == "") {
		v.add(field.Invalid(p.Child("prefix"), o.Prefix, "want a path that begins with /, such as /registry"))
	}
	if q := o.QuotaBackend; q != nil && q.Sign() <= 0 {
		v.add(field.Invalid(p.Child("quotaBackend"), q.String(), "want a size above 0"))
	} else if q != nil {
		v.fitsInt64(q.AsInt64, q.String(), p.Child("quotaBackend"))
	}
}

func (v *validator) etcdServer(server string, p *field.Path) {
	u, err := url.Parse(server)
	switch {
	case err == nil && u.User != nil:
		v.add(field.Invalid(p, withoutSecrets(server), "must carry no user name or password; use certFile and keyFile"))
	case err == nil && u.Scheme == "unix" && (u.Host != "" || u.Path != ""):
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		v.add(field.Invalid(p, withoutSecrets(server), "want a URL such as https://etcd-0:2379"))
	}
}

// withoutSecrets returns what of a URL may be shown: without the parts that can
// carry a password or a token, and nothing of what is no URL but may have been
// meant as one with such parts.
func withoutSecrets(s string) string {
	u, err := url.Parse(s)
	if err == nil && u.Host != "" {
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	}
	if strings.ContainsAny(s, "@?#") {
		return "…"
	}
	return s
}

func (v *validator) authentication(o *AuthenticationOptions, p *field.Path) {
	v.oneOf(o.ExpiredCRL, p.Child("expiredCRL"), "Refuse", "Accept")
	if w := o.Webhook; w != nil {
		p := p.Child("webhook")
		if w.ConfigFile == "" {
			v.add(field.Required(p.Child("configFile"), "want the kubeconfig that names the service"))
		}
		v.oneOf(w.Version, p.Child("version"), "v1", "v1beta1")
		if w.CacheTTL != nil && w.CacheTTL.Duration < 0 {
			v.add(field.Invalid(p.Child("cacheTTL"), w.CacheTTL.Duration.String(), "must not be negative"))
		}
	}
	if o.AnonymousPaths != nil {
		p := p.Child("anonymousPaths")
		v.unique(*o.AnonymousPaths, p)
		for i, path := range *o.AnonymousPaths {
			if path != "" && !strings.HasPrefix(path, "/") {
				v.add(field.Invalid(p.Index(i), path, "want a path that begins with /"))
			} else if strings.ContainsAny(path, "*?#") {
				v.add(field.Invalid(p.Index(i), path, "want one exact path, without wildcard, query or fragment"))
			}
		}
	}
	if issuer := o.ServiceAccountIssuer; strings.Contains(issuer, ":") { // as RFC 7519 wants of a StringOrURI
		if u, err := url.Parse(issuer); err != nil || u.Scheme == "" {
			v.add(field.Invalid(p.Child("serviceAccountIssuer"), issuer, "contains a colon, so it must be a URL"))
		}
	}
	v.unique(o.APIAudiences, p.Child("apiAudiences"))
}

func (v *validator) authorization(o *AuthorizationOptions, p *field.Path) {
	v.unique(o.Modes, p.Child("modes"))
	for i, mode := range o.Modes {
		v.oneOf(mode, p.Child("modes").Index(i), "Node", "RBAC", "ABAC", "Webhook", "AlwaysAllow", "AlwaysDeny")
	}
	if o.ConfigFile != "" && len(o.Modes) > 0 {
		v.add(field.Forbidden(p.Child("modes"), "must not be set together with authorization.configFile, which names the authorizers itself"))
	}
	for _, f := range []struct{ mode, name, value string }{
		{"ABAC", "abacPolicyFile", o.ABACPolicyFile},
		{"Webhook", "webhookConfigFile", o.WebhookConfigFile},
	} {
		asked := slices.Contains(o.Modes, f.mode)
		if f.mode == "ABAC" && o.ConfigFile != "" {
			continue // the file may name ABAC, and says nothing of its policies
		}
		switch {
		case asked && f.value == "":
			v.add(field.Required(p.Child(f.name), "mode "+f.mode+" needs it"))
		case !asked && f.value != "":
			v.add(field.Forbidden(p.Child(f.name), "has no effect: authorization.modes does not name "+f.mode))
		}
	}
}

// mostClusterName is as long as the names in exemptions may be.
const mostClusterName = 253

// ownName lets every name of a cluster be one that clouds give: an ARN too.
func (v *validator) ownName(name string, p *field.Path) {
	if len(name) > mostClusterName {
		v.add(field.TooLong(p, name, mostClusterName))
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '*' || unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		v.add(field.Invalid(p, name, "want one name, without spaces and *"))
	}
}

func (v *validator) admission(o *AdmissionOptions, p *field.Path) {
	v.unique(o.Enable, p.Child("enable"))
	v.unique(o.Disable, p.Child("disable"))
	for i, name := range o.Disable {
		if name != "" && slices.Contains(o.Enable, name) {
			v.add(field.Invalid(p.Child("disable").Index(i), name, "is named by admission.enable too"))
		}
	}
	if o.ScanRate < 0 {
		v.add(field.Invalid(p.Child("scanRate"), o.ScanRate, "want how many objects are judged in a second"))
	}
	v.ownName(o.ClusterName, p.Child("clusterName"))
	v.externalData(&o.ExternalData, p.Child("externalData"))
	p = p.Child("podSecurity")
	for _, level := range []struct{ name, value string }{
		{"enforce", o.PodSecurity.Enforce}, {"audit", o.PodSecurity.Audit}, {"warn", o.PodSecurity.Warn},
	} {
		v.oneOf(level.value, p.Child(level.name), "privileged", "baseline", "restricted")
	}
	if o.PodSecurity.ExemptNamespaces != nil {
		p := p.Child("exemptNamespaces")
		v.unique(*o.PodSecurity.ExemptNamespaces, p)
		for i, ns := range *o.PodSecurity.ExemptNamespaces {
			if ns != "" && len(validation.IsDNS1123Label(ns)) > 0 {
				v.add(field.Invalid(p.Index(i), ns, "want the name of a namespace"))
			}
		}
	}
}

func (v *validator) rest(cfg *ServeConfiguration) {
	if q := cfg.Encryption.SecretSizeWarning; q != nil && q.Sign() < 0 {
		v.add(field.Invalid(field.NewPath("encryption", "secretSizeWarning"), q.String(), "must not be negative; 0 never warns"))
	} else if q != nil {
		v.fitsInt64(q.AsInt64, q.String(), field.NewPath("encryption", "secretSizeWarning"))
	}
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"maxSizeMegabytes", cfg.Audit.MaxSizeMegabytes},
		{"maxAgeDays", cfg.Audit.MaxAgeDays},
		{"maxBackups", cfg.Audit.MaxBackups},
	} {
		if f.value < 0 {
			v.add(field.Invalid(field.NewPath("audit", f.name), f.value, "must not be negative"))
		}
	}
	v.auditStore(&cfg.Audit.Store, field.NewPath("audit", "store"))
	v.collector(cfg.Audit.OTLPEndpoint, field.NewPath("audit", "otlpEndpoint"))
	v.detection(&cfg.Detection, field.NewPath("detection"))
	v.tracing(&cfg.Tracing, field.NewPath("tracing"))
	v.logging(&cfg.Logging, field.NewPath("logging"))
}

func (v *validator) tracing(o *TracingOptions, p *field.Path) {
	v.collector(o.Endpoint, p.Child("endpoint"))
	if o.Insecure && o.CAFile != "" {
		v.add(field.Forbidden(p.Child("caFile"), "has no effect: tracing.insecure sends without TLS"))
	}
	if r := o.SamplingRatePerMillion; r != nil && (*r < 0 || *r > 1_000_000) {
		v.add(field.Invalid(p.Child("samplingRatePerMillion"), *r, "want a number from 0 to 1000000"))
	}
}

func (v *validator) logging(o *LoggingOptions, p *field.Path) {
	v.oneOf(o.Format, p.Child("format"), "text", "json")
	v.oneOf(o.Level, p.Child("level"), "error", "warning", "info", "debug")
}

// oneOf refuses a value that is set and not among those supported.
func (v *validator) oneOf(value string, p *field.Path, supported ...string) {
	if value != "" && !slices.Contains(supported, value) {
		v.add(field.NotSupported(p, value, supported))
	}
}

// unique refuses empty items and those that were there before.
func (v *validator) unique(items []string, p *field.Path) {
	seen := map[string]bool{}
	for i, item := range items {
		switch {
		case item == "":
			v.add(field.Invalid(p.Index(i), item, "must not be empty"))
		case seen[item]:
			v.add(field.Duplicate(p.Index(i), item))
		}
		seen[item] = true
	}
}

// together refuses one of two settings without the other.
func (v *validator) together(aPath *field.Path, a string, bPath *field.Path, b string) {
	switch {
	case a != "" && b == "":
		v.add(field.Required(bPath, fmt.Sprintf("%s is set, and the two go together", aPath)))
	case a == "" && b != "":
		v.add(field.Required(aPath, fmt.Sprintf("%s is set, and the two go together", bPath)))
	}
}

func (v *validator) fitsInt64(asInt64 func() (int64, bool), text string, p *field.Path) {
	if n, ok := asInt64(); !ok || n == math.MaxInt64 {
		v.add(field.Invalid(p, text, "want a whole number of bytes below 8Ei"))
	}
}

// isHost reports whether s is an IP address or a DNS name.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(validation.IsDNS1123Subdomain(s)) == 0
}
