package monitoring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/testutil"

	"github.com/gatehouse-io/gatehouse/telemetry/dashboard"
	"github.com/gatehouse-io/gatehouse/telemetry/rule"
	"github.com/gatehouse-io/gatehouse/test/e2e/kept"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const selector = `job=~"gatehouse-.*"`

// patience is how long a query may give nothing: rates need some scrapes, and rules some
// evaluations.
const patience = 2 * time.Minute

// TestMonitoring is one run of everything, since a start of it all takes a while.
func TestMonitoring(t *testing.T) {
	s := server.Start(t, server.Options{Config: "detection: {alerts: {files: [{path: " + filepath.Join(t.TempDir(), "findings.jsonl") + "}]}}"})
	attach := startAttach(t, s)
	server.ObjectsOf(t, s.AdminConfig(t)).Apply(t, objects(t, settled)...)
	p := startPrometheus(t, scrapes(t, s, attach))
	ctx, cancel := context.WithCancel(context.Background())
	var busy sync.WaitGroup
	busy.Go(func() { traffic(ctx, t, s, attach) })
	t.Cleanup(func() { cancel(); busy.Wait() })

	t.Run("up", func(t *testing.T) {
		server.Eventually(t, patience, func(context.Context) error {
			up, err := p.query(`up{` + selector + `} == 1`)
			if err == nil && len(up) != 2 {
				err = fmt.Errorf("up are %v", up)
			}
			return err
		})
	})
	t.Run("dashboards", func(t *testing.T) { everyQuery(t, p) })
	// Of labels whose values conditions name, those that are of Gatehouse's own.
	t.Run("labels", func(t *testing.T) {
		for _, q := range []string{
			`gatehouse_alert_sends_total{sink_type="file",result="success"} > 0`, `gatehouse_alert_sends_total{result="failure"} == 0`,
			`gatehouse_authn_decisions_total{verdict="revoked"} > 0`, `gatehouse_authn_decisions_total{verdict="unknown"}`, `gatehouse_authn_decisions_total{verdict="error"} > 0`,
			`gatehouse_authz_decisions_total{verdict="error"} == 0`, `gatehouse_authz_guard_refusals_total > 0`,
			`gatehouse_policy_results_total{result="deny"} > 0`, `gatehouse_policy_results_total{result="error"} == 0`,
			`gatehouse_audit_store_appended_events_total{result="kept"} > 0`, `gatehouse_audit_store_appended_events_total{result="dropped"} == 0`,
			`gatehouse_detect_rules{state="blind"} > 0`, `gatehouse_detect_rules{state="refused"} == 0`, `gatehouse_detect_findings_total{severity="medium"} > 0`,
			`gatehouse_secret_key_first_seen_timestamp_seconds{key="encryption"} > 0`, `gatehouse_secret_key_first_seen_timestamp_seconds{key="service-account"} > 0`,
			`gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="cluster-ca"} > 0`, `gatehouse_attach_requests_total{endpoint="/audit",code="200"} > 0`,
		} {
			server.Eventually(t, patience, func(context.Context) error {
				found, err := p.query(q)
				if err == nil && len(found) == 0 {
					err = fmt.Errorf("no series of %s", q)
				}
				return err
			})
		}
	})
	t.Run("rules", func(t *testing.T) { everyRule(t, p) })
	served := scrape(t, s.AdminConfig(t), s.URL)
	attached := scrape(t, &rest.Config{Host: attach, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, attach)
	t.Run("serve's metrics", func(t *testing.T) { lint(t, served) })
	t.Run("attach's metrics", func(t *testing.T) { lint(t, attached) })
	t.Run("names", func(t *testing.T) { everyName(t, p) })
	t.Run("a certificate that is not served", func(t *testing.T) { unserved(t, s, p) })
}

// unserved has another certificate on disk than clients are shown, which nobody else
// would notice before the one that is shown ends.
func unserved(t *testing.T, s *server.Server, p *prometheus) {
	file := s.Path("pki", "serving.crt")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(s.Path("pki", "front-proxy-client.crt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { write(t, file, string(good)) })
	for _, c := range []struct {
		text []byte
		want float64
	}{{good, 0}, {other, 1}, {good, 0}} {
		write(t, file, string(c.text))
		server.Eventually(t, patience, func(context.Context) error {
			found, err := p.query(`gatehouse_pki_certificate_unserved{job="gatehouse-serve",certificate="serving"}`)
			if err == nil && (len(found) != 1 || found[0].number != c.want) {
				err = fmt.Errorf("want %v, have %v", c.want, found)
			}
			return err
		})
	}
}

// startAttach runs gatehouse attach for the cluster of s, with all it can answer.
func startAttach(t *testing.T, s *server.Server) (url string) {
	t.Helper()
	bin, err := server.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, address := t.TempDir(), server.FreeAddress(t)
	const token = "a-token-of-the-file"
	kept.Secret(token)
	write(t, filepath.Join(dir, "tokens.csv"), token+",ci,ci-1\n")
	write(t, filepath.Join(dir, "attach.yaml"), fmt.Sprintf(`
apiVersion: gatehouse.io/v1alpha1
kind: AttachConfiguration
listen: %s
cluster: {kubeconfig: %s}
tls: {dataDir: tls}
authentication: {tokenFile: tokens.csv}
audit: {store: {dataDir: events}}
`, address, s.Kubeconfig()))
	run(t, bin, "attach", "--config", filepath.Join(dir, "attach.yaml"))
	return "https://" + address
}

// scrapes is the configuration of a Prometheus that watches both, as docs/monitoring.md
// has it.
func scrapes(t *testing.T, s *server.Server, attach string) string {
	t.Helper()
	admin, ctx, dir := s.Admin(t), t.Context(), t.TempDir()
	if _, err := admin.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "metrics"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:monitoring"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "metrics"}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := admin.CoreV1().ServiceAccounts("default").CreateToken(ctx, "metrics", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "token"), token.Status.Token)
	if out, stderr, code := server.Command(t, "print", "alerts", "--selector", selector, "-o", dir); code != 0 || !strings.Contains(out, "gatehouse-rules.yaml") {
		t.Fatalf("print alerts: %s%s", out, stderr)
	}
	return fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%[1]s/gatehouse-rules.yaml]
scrape_configs:
- job_name: gatehouse-serve
  scheme: https
  authorization: {credentials_file: %[1]s/token}
  tls_config: {ca_file: %[2]s}
  static_configs: [{targets: ["%[3]s"]}]
- job_name: gatehouse-attach
  scheme: https
  tls_config: {insecure_skip_verify: true}
  static_configs: [{targets: ["%[4]s"]}]
`, dir, s.Path("pki", "cluster-ca.crt"), strings.TrimPrefix(s.URL, "https://"), strings.TrimPrefix(attach, "https://"))
}

// everyQuery has each query of each dashboard give a series.
func everyQuery(t *testing.T, p *prometheus) {
	all, err := dashboard.All(dashboard.Options{Selector: selector})
	if err != nil {
		t.Fatal(err)
	}
	chosen := strings.NewReplacer("$instance", ".*", "$__rate_interval", "10s")
	for i := range all {
		empty := map[string]error{}
		for _, q := range all[i].Queries() {
			empty[chosen.Replace(q)] = errors.New("not asked")
		}
		if len(empty) == 0 {
			t.Errorf("%s has no queries", all[i].ID)
		}
		asked := len(empty)
		for deadline := time.Now().Add(patience); len(empty) > 0 && time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
			for q := range empty {
				found, err := p.query(q)
				if empty[q] = err; err == nil && len(found) > 0 {
					delete(empty, q)
				}
			}
		}
		for q, err := range empty {
			t.Errorf("%s: no series (%v): %s", all[i].ID, err, q)
		}
		t.Logf("%s: %d of %d queries give a series", all[i].ID, asked-len(empty), asked)
	}
}

// noisy are alerts that what the test does sets off.
var noisy = []string{"GatehouseRevokedCredentialUsed"}

// everyRule has each rule evaluated without an error, and no alert fire of a server that
// fares well.
func everyRule(t *testing.T, p *prometheus) {
	var all []ruleState
	server.Eventually(t, patience, func(context.Context) (err error) {
		if all, err = p.rules(); err != nil {
			return err
		}
		for _, r := range all {
			if r.Health != "ok" {
				return fmt.Errorf("%s: health is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
		return nil
	})
	alerts := 0
	for _, r := range all {
		if r.Type == "alerting" {
			alerts++
		}
		if r.State == "firing" && !slices.Contains(noisy, r.Name) {
			found, _ := p.query(`ALERTS{alertname="` + r.Name + `"}`)
			t.Errorf("%s fires: %v", r.Name, found)
		}
	}
	if alerts != len(rule.Names()) {
		t.Errorf("%d alerts are evaluated, of %d", alerts, len(rule.Names()))
	}
}

// mostSeries is how many series a metric of Gatehouse may have after a short test: labels
// are bounded by what there is of gates, kinds and policies, not by who comes.
const mostSeries = 1500

// lint holds the metrics of Gatehouse to the conventions.
func lint(t *testing.T, text []byte) {
	var own bytes.Buffer
	for line := range bytes.Lines(text) {
		name := bytes.TrimPrefix(bytes.TrimPrefix(line, []byte("# HELP ")), []byte("# TYPE "))
		if bytes.HasPrefix(name, []byte("gatehouse_")) {
			own.Write(line)
		}
	}
	problems, err := promlint.New(bytes.NewReader(own.Bytes())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	ours := testutil.NewMetrics()
	if err := testutil.ParseMetrics(own.String(), &ours); err != nil {
		t.Fatal(err)
	}
	convention := regexp.MustCompile(`^gatehouse_[a-z]+_[a-z0-9_]+$`)
	for name, samples := range ours {
		if len(samples) == 0 {
			continue
		}
		if !convention.MatchString(name) {
			t.Errorf("%s is no gatehouse_<subsystem>_<noun>_<unit>", name)
		}
		if len(samples) > mostSeries {
			t.Errorf("%s has %d series", name, len(samples))
		}
		for _, sample := range samples {
			for label, value := range sample.Metric {
				if slices.Contains([]string{"user", "username", "group", "namespace", "ns", "name", "object", "token"}, string(label)) {
					t.Errorf("%s has a label %s", name, label)
				}
				if slices.Contains([]string{"jane", "mallory", "default"}, string(value)) {
					t.Errorf("%s has the label %s=%q", name, label, value)
				}
			}
		}
	}
	if len(ours) < 20 {
		t.Errorf("only %d metrics are Gatehouse's", len(ours))
	}
	t.Logf("%d metrics of Gatehouse", len(ours))
}

// rare are metrics that are there only once something has happened that does not happen
// here, or with settings that are not used here, each with where it is from. Of all
// others a misspelled name would be found.
var rare = map[string]string{
	"apiserver_admission_webhook_admission_duration_seconds":         "k8s.io/apiserver/pkg/admission/metrics: with a webhook",
	"apiserver_admission_webhook_rejection_count":                    "k8s.io/apiserver/pkg/admission/metrics: with a webhook",
	"apiserver_admission_webhook_fail_open_count":                    "k8s.io/apiserver/pkg/admission/metrics: with a webhook",
	"apiserver_authorization_webhook_evaluations_total":              "k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics: with a webhook",
	"apiserver_authorization_webhook_evaluations_fail_open_total":    "k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics: with a webhook",
	"apiserver_audit_error_total":                                    "k8s.io/apiserver/pkg/audit: an error",
	"apiserver_encryption_config_controller_automatic_reloads_total": "k8s.io/apiserver/pkg/server/options/encryptionconfig/metrics: a changed file",
	"apiserver_flowcontrol_rejected_requests_total":                  "k8s.io/apiserver/pkg/util/flowcontrol/metrics: a full queue",
	"etcd_request_errors_total":                                      "k8s.io/apiserver/pkg/storage/etcd3/metrics: an error",
	"gatehouse_authn_crl_next_update_timestamp_seconds":              "serve: with authentication.clientCRLFile",
	"gatehouse_audit_export_events_total":                            "audit/trail: with audit.otlpEndpoint",
	"gatehouse_audit_export_dropped_events_total":                    "audit/trail: with audit.otlpEndpoint",
	"gatehouse_audit_publish_waiting_segments":                       "audit/trail: with audit.store.publish",
	"gatehouse_audit_publish_segments_total":                         "audit/trail: with audit.store.publish",
	"gatehouse_audit_publish_failures_total":                         "audit/trail: with audit.store.publish",
}

// metricName is a name before its matchers.
var metricName = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{`)

// everyName finds names in queries and conditions that no server tells.
func everyName(t *testing.T, p *prometheus) {
	var told []string
	if err := p.ask("/api/v1/label/__name__/values", nil, &told); err != nil {
		t.Fatal(err)
	}
	var texts []string
	all, err := dashboard.All(dashboard.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		texts = append(texts, all[i].Queries()...)
	}
	groups, err := rule.Groups(rule.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for i := range g.Alerts {
			texts = append(texts, g.Alerts[i].Condition)
		}
		for _, r := range g.Recordings {
			texts = append(texts, r.Query)
		}
	}
	names := map[string]bool{}
	for _, text := range texts {
		for _, found := range metricName.FindAllStringSubmatch(text, -1) {
			names[found[1]] = true
		}
	}
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if slices.Contains(told, name) {
			continue
		}
		base := name
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			if b, ok := strings.CutSuffix(name, suffix); ok && rare[b] != "" {
				base = b
			}
		}
		if rare[base] == "" {
			t.Errorf("%s is told by no server", name)
		}
		used[base] = true
	}
	for name := range rare {
		if !used[name] && !names[name] {
			t.Errorf("%s is asked for by nobody", name)
		}
	}
}
