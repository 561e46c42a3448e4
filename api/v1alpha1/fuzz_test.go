package v1alpha1

import (
	"errors"
	"testing"
)

// seeds are files of every sort, the odd ones above all.
var seeds = map[string]string{
	"header": header,
	"json":   `{"apiVersion":"gatehouse.io/v1alpha1","kind":"ServeConfiguration","tls":{"sans":["a"]}}`,
	"all": header + `
listen: "[::1]:6443"
advertiseAddress: 192.0.2.10
dataDir: /var/lib/gatehouse
serviceClusterIPRange: fd00::/112
controllers: ["*", -ttl]
tls: {sans: ["*.example.com"], minVersion: VersionTLS12, certFile: a, keyFile: b}
etcd:
  servers: [https://etcd-0:2379]
  caFile: ca
  prefix: /registry
  quotaBackend: 1.5Gi
authentication:
  bootstrapTokens: false
  webhook: {configFile: w, version: v1, cacheTTL: 1h2m3.004s}
  anonymousPaths: []
  apiAudiences: [a, b]
authorization: {modes: [Webhook, ABAC], abacPolicyFile: a, webhookConfigFile: w, systemMastersBypass: true}
admission:
  enable: [A]
  podSecurity: {enforce: privileged, exemptNamespaces: [kube-system, x]}
encryption: {secretSizeWarning: 0}
audit: {maxAgeDays: 1, maxBackups: -1}
detection:
  rules: ["*", -exec]
  runbookBaseURL: https://runbooks.example.com
  alerts:
    groupWait: 5s
    alertmanagers: [{url: "https://am:9093", caFile: a, bearerTokenFile: b, minSeverity: high}]
    webhooks: [{url: "https://hook/?a={b},[c]", secretFile: s}, {url: "https://hook/2", secretFile: s}]
    slack: [{urlFile: u}]
    syslog: [{network: udp, address: "h:514"}]
    files: [{path: alerts.jsonl}]
    events: {disabled: false}
  response: {mode: DryRun, duration: 5m, rules: [{rule: exec, create: Revocation}]}
tracing: {endpoint: "localhost:4317", samplingRatePerMillion: 0}
logging: {format: json}
featureGates: {"yes": true, B: false, "": true, "a b": true}
`,
	"strings": header + `
listen: "on"
dataDir: "#no\ttab\n\0\x7f\u2028\U0001F600 'x' \"y\" "
tls: {sans: [null, "null"]}
controllers: ["~", "", "1", "1_0", "0x1", "1:30", "2001-01-01", ".inf", "<<", "-", "- a", "a: b", "a #b", "!x", "&a", "é", "\\", "=", "%"]
`,
	"words":     header + "controllers: [\"~\", \"\", \"1\", \"1_0\", \"0x1\", \"1:30\", \"2001-01-01\", \".inf\", \"<<\", \"-\", \"a: b\", \"a #b\", \"!x\", \"&a\", é, \"\\\\\", \"=\", \"%\", y, \"\\0\\x7f\\u2028\\u0085\\ufeff\\U0001F600\"]\n",
	"block":     header + "dataDir: |\n   a\n    b\n\nlisten: >-\n  c\n  d\n",
	"items":     header + "detection: {alerts: {files: [{}, {path: \"a: b\"}], slack: []}, response: {rules: [{rule: x}]}}\n",
	"no items":  header + "detection: {alerts: {files: [null, a], slack: {}}}\n",
	"sizes":     header + "etcd: {quotaBackend: 1e3}\nencryption: {secretSizeWarning: 12345678901234567890}\n",
	"small":     header + "etcd: {quotaBackend: 0.5n}\nencryption: {secretSizeWarning: -.5}\n",
	"webhook":   header + "authentication: {webhook: {}}\n",
	"unknown":   header + "auditt: {policyFile: a}\n",
	"alias":     header + "tls: &a {certFile: *a}\n",
	"repeated":  header + "listen: a\nlisten: b\n",
	"documents": header + "---\n" + header,
	"tab":       header + "tls:\n\tsans: []\n",
	"comments":  header + "# a\ntls: # b\n  # c\n  sans: # d\n  # e\n  - a # f\n# g\n",
}

// FuzzParse holds that parsing never panics, that it fails with a FieldError,
// and that what is accepted survives Print.
func FuzzParse(f *testing.F) {
	for _, data := range seeds {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, source, err := ParseServeConfiguration("f.yaml", data)
		if err != nil {
			var e *FieldError
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("not a FieldError: %#v", err)
			}
			return
		}
		_ = source.Locate(Validate(cfg))
		checkRoundTrip(t, cfg)
	})
}
