package v1alpha1

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultAuditSync is how often audit events are forced to the disk.
const defaultAuditSync = 100 * time.Millisecond

// DefaultDataDir returns the data directory of the user whose environment
// getenv reads: $XDG_DATA_HOME/gatehouse, or else ~/.local/share/gatehouse. A
// relative XDG_DATA_HOME counts as not set, as the XDG Base Directory
// Specification wants it.
func DefaultDataDir(getenv func(string) string) (string, error) {
	if d := getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "gatehouse"), nil
	}
	if d := getenv("HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, ".local", "share", "gatehouse"), nil
	}
	return "", errors.New("choose data directory: neither XDG_DATA_HOME nor HOME is set to an absolute path; set dataDir")
}

// SetDefaults fills in the documented default of every field that is not set.
// The environment is read through getenv (os.Getenv outside tests), and only
// for the data directory; where it names none the error says so and all other
// defaults are set still.
//
// Left unset are the fields whose default is "none", encryption.configFile,
// which serve generates, and advertiseAddress where listen is not an address
// that others could reach.
func SetDefaults(cfg *ServeConfiguration, getenv func(string) string) error {
	cfg.APIVersion, cfg.Kind = SchemeGroupVersion.String(), serveConfigurationKind

	setDefault(&cfg.Listen, "127.0.0.1:6443")
	setDefault(&cfg.AdvertiseAddress, reachable(cfg.Listen))
	setDefault(&cfg.ServiceClusterIPRange, "10.96.0.0/16")
	setDefaultPointer(&cfg.Controllers, []string{"*"})

	setDefault(&cfg.TLS.MinVersion, "VersionTLS13")

	setDefault(&cfg.Etcd.Prefix, "/registry")
	if len(cfg.Etcd.Servers) == 0 {
		setDefaultPointer(&cfg.Etcd.QuotaBackend, resource.MustParse("8Gi"))
	}

	authn := &cfg.Authentication
	setDefault(&authn.ExpiredCRL, "Refuse")
	setDefaultPointer(&authn.BootstrapTokens, true)
	if w := authn.Webhook; w != nil {
		setDefault(&w.Version, "v1")
		setDefaultPointer(&w.CacheTTL, metav1.Duration{Duration: 2 * time.Minute})
	}
	setDefaultPointer(&authn.AnonymousPaths, []string{"/healthz", "/livez", "/readyz"})
	setDefault(&authn.ServiceAccountIssuer, "https://kubernetes.default.svc.cluster.local")
	if len(authn.APIAudiences) == 0 {
		authn.APIAudiences = []string{authn.ServiceAccountIssuer}
	}

	if len(cfg.Authorization.Modes) == 0 && cfg.Authorization.ConfigFile == "" {
		cfg.Authorization.Modes = []string{"Node", "RBAC"}
	}

	setDefault(&cfg.Admission.PodSecurity.Enforce, "baseline")
	setDefault(&cfg.Admission.PodSecurity.Audit, "restricted")
	setDefault(&cfg.Admission.PodSecurity.Warn, "restricted")
	setDefaultPointer(&cfg.Admission.PodSecurity.ExemptNamespaces, []string{"kube-system"})
	setDefault(&cfg.Admission.ScanRate, 1000)

	setDefaultPointer(&cfg.Encryption.SecretSizeWarning, resource.MustParse("64Ki"))

	setDefault(&cfg.Audit.MaxSizeMegabytes, 100)
	setDefault(&cfg.Audit.MaxAgeDays, 30)
	setDefault(&cfg.Audit.MaxBackups, 10)
	cfg.Admission.ExternalData.setDefaults()
	cfg.Audit.Store.setDefaults()
	cfg.Detection.setDefaults()

	setDefaultPointer(&cfg.Tracing.SamplingRatePerMillion, 10000)

	setDefault(&cfg.Logging.Format, "text")
	setDefault(&cfg.Logging.Level, "warning")

	// Last, since it may fail.
	if cfg.DataDir == "" {
		dir, err := DefaultDataDir(getenv)
		if err != nil {
			return err
		}
		cfg.DataDir = dir
	}
	setDefault(&cfg.Audit.LogFile, filepath.Join(cfg.DataDir, "audit", "audit.log"))
	if !cfg.Audit.Store.Disabled {
		setDefault(&cfg.Audit.Store.DataDir, filepath.Join(cfg.DataDir, "audit", "store"))
		cfg.Detection.setDataDir(cfg.DataDir) // there is nothing else to look at
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

func setDefaultPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// reachable returns the IP address of a listen address, where other hosts may
// be able to reach it under that; else "".
func reachable(listen string) string {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() {
		return ""
	}
	return ip.String()
}
