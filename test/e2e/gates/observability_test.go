package gates

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
	"github.com/gatehouse-io/gatehouse/test/e2e/spans"
)

// TestObservability shows traces, structured logs and the settings of TLS on
// one server that says as much as it can; nothing of it is a secret.
func TestObservability(t *testing.T) {
	t.Parallel()
	collector := spans.Start(t, nil)
	s := server.Start(t, server.Options{
		Config: fmt.Sprintf(`
tls: {minVersion: VersionTLS12}
tracing: {endpoint: "%s", samplingRatePerMillion: 1000000}
`, collector.Address),
		Args: []string{"--log-format", "json", "--log-level", "debug", "--tls-san", "api.example.org", "--tls-san", "192.0.2.7"},
	})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	const marker = "marker-in-a-secret-b41c"
	_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque("s", map[string]string{"k": marker}), create)
	passes(t, err)
	token, err := admin.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, create)
	passes(t, err)
	_, err = server.Client(t, s.TokenConfig(t, token.Status.Token)).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, create)
	passes(t, err)

	t.Run("traces", func(t *testing.T) {
		collector.Await(t, "Create", "audit-id", string(oneEvent(t, s, ns, `"resource":"secrets"`, `"verb":"create"`).AuditID))
	})
	t.Run("logs", func(t *testing.T) {
		lines := 0
		for line := range strings.Lines(s.Log()) {
			if !strings.HasPrefix(line, "{") {
				continue // the summary for people
			}
			lines++
			var entry struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" {
				t.Errorf("line is no JSON entry (%v): %s", err, line)
			}
		}
		if lines == 0 {
			t.Error("nothing is logged")
		}
	})
	t.Run("no secret in either", func(t *testing.T) {
		signature := strings.Split(token.Status.Token, ".")[2]
		for _, secret := range []string{marker, signature} {
			if strings.Contains(s.Log(), secret) {
				t.Errorf("the log holds %s", secret)
			}
			if strings.Contains(collector.Text(), secret) {
				t.Errorf("a span holds %s", secret)
			}
		}
	})
	t.Run("TLS 1.2 by setting", func(t *testing.T) {
		state, err := handshake(s, &tls.Config{MaxVersion: tls.VersionTLS12})
		passes(t, err)
		if state.Version != tls.VersionTLS12 {
			t.Errorf("version is %s", tls.VersionName(state.Version))
		}
	})
	t.Run("names by setting", func(t *testing.T) {
		state, err := handshake(s, nil)
		passes(t, err)
		for _, name := range []string{"api.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1", "kubernetes.default.svc", "10.96.0.1"} {
			if err := state.PeerCertificates[0].VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
	})
}
