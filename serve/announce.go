package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/internal/version"
)

// announce waits until the server is ready and prints, once, what is on, where
// the API is and what to try next.
func announce(ready func() bool, out io.Writer, cfg *v1alpha1.ServeConfiguration, dir *dataDir, listener net.Listener, running int, begun time.Time) {
	if !ready() {
		return
	}
	fmt.Fprint(out, summary(cfg, dir, serverURL(listener), running, time.Since(begun)))
}

func awaitReady(ctx context.Context, server, caFile string) bool {
	pool := x509.NewCertPool()
	if data, err := os.ReadFile(caFile); err == nil {
		pool.AppendCertsFromPEM(data)
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		resp, err := client.Get(server + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

// summary is what a person reads when the server is up.
func summary(cfg *v1alpha1.ServeConfiguration, dir *dataDir, server string, running int, took time.Duration) string {
	var b strings.Builder
	line := func(gate, says string) { fmt.Fprintf(&b, "  %-15s %s\n", gate, says) }
	fmt.Fprintf(&b, "Gatehouse %s, Kubernetes %s: ready in %.1f s\n\n", version.Release, version.Kubernetes, took.Seconds())
	line("transport", "TLS 1."+strings.TrimPrefix(cfg.TLS.MinVersion, "VersionTLS1")+" or later")
	line("authentication", authenticationSummary(cfg))
	line("authorization", authorizationSummary(cfg))
	ps := cfg.Admission.PodSecurity
	line("admission", fmt.Sprintf("Pod Security enforce %s, warn %s; policies, webhooks, quota", ps.Enforce, ps.Warn))
	line("flow control", "API Priority and Fairness")
	line("encryption", "Secrets and ConfigMaps, "+cfg.Encryption.ConfigFile)
	line("audit", auditSummary(cfg))
	line("detection", detectionSummary(cfg))
	line("store", storeSummary(cfg))
	line("controllers", fmt.Sprintf("%d of %d", running, len(controllers)))
	fmt.Fprintf(&b, "\nAPI         %s\nkubeconfig  %s\n\nTry:  export KUBECONFIG=%s\n      kubectl auth whoami\n", server, dir.adminKubeconfig(), dir.adminKubeconfig())
	return b.String()
}

func authenticationSummary(cfg *v1alpha1.ServeConfiguration) string {
	a := cfg.Authentication
	ways := []string{"certificates", "service accounts"}
	if *a.BootstrapTokens {
		ways = append(ways, "bootstrap tokens")
	}
	if a.TokenFile != "" {
		ways = append(ways, "token file")
	}
	if a.ConfigFile != "" {
		ways = append(ways, "OIDC")
	}
	if a.Webhook != nil {
		ways = append(ways, "webhook")
	}
	ways = append(ways, "front proxy")
	says := strings.Join(ways, ", ") + "; revocation"
	if a.ClientCRLFile != "" {
		says += " with CRL"
	}
	return says
}

func authorizationSummary(cfg *v1alpha1.ServeConfiguration) string {
	says := strings.Join(cfg.Authorization.Modes, ", ")
	if cfg.Authorization.ConfigFile != "" {
		says = cfg.Authorization.ConfigFile
	}
	if cfg.Authorization.SystemMastersBypass {
		return says + "; system:masters bypasses all"
	}
	return says + "; no bypass for system:masters"
}

func auditSummary(cfg *v1alpha1.ServeConfiguration) string {
	if cfg.Audit.Store.Disabled {
		return cfg.Audit.LogFile
	}
	return cfg.Audit.LogFile + "; asked with gatehouse audit"
}

func storeSummary(cfg *v1alpha1.ServeConfiguration) string {
	if len(cfg.Etcd.Servers) > 0 {
		return "etcd at " + strings.Join(cfg.Etcd.Servers, ", ")
	}
	return "etcd in this process, fsync on, " + cfg.DataDir
}

func detectionSummary(cfg *v1alpha1.ServeConfiguration) string {
	d := &cfg.Detection
	if d.Disabled {
		return "off"
	}
	a := &d.Alerts
	told := len(a.Alertmanagers) + len(a.Webhooks) + len(a.Slack) + len(a.Syslog) + len(a.Files)
	if a.Events.Disabled != nil && !*a.Events.Disabled {
		told++
	}
	says := "rules over what is recorded; "
	switch told {
	case 0:
		says += "nobody is told: set detection.alerts, or ask gatehouse detect run"
	case 1:
		says += "one place is told"
	default:
		says += fmt.Sprintf("%d places are told", told)
	}
	if d.Response.Mode != v1alpha1.ResponseOff {
		says += fmt.Sprintf("; response %s", d.Response.Mode)
	}
	return says
}
