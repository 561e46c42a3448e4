package v1alpha1

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
)

const attachHeader = "apiVersion: gatehouse.io/v1alpha1\nkind: AttachConfiguration\n"

func printedAttach(t testing.TB, cfg *AttachConfiguration) string {
	t.Helper()
	var b bytes.Buffer
	if err := PrintAttach(&b, cfg); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAttachDefaultsAreValidAndPrintBack(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": "",
		"all": `
listen: 0.0.0.0:8443
healthListen: "[::]:8081"
cluster: {kubeconfig: /k, context: c, namespace: n}
tls: {sans: [a.example, 192.0.2.1], minVersion: VersionTLS12, secretName: s}
client: {caFile: /ca, names: [kube-apiserver-kubelet-client]}
authentication: {tokenFile: /t, bootstrapTokens: true, configFile: /c, audiences: [a, b], revocations: false}
limits: {requestSize: 1Mi, concurrentReviews: 7, reviewTimeout: 3s}
logging: {format: json, level: debug}
`,
	} {
		cfg, _, err := ParseAttachConfiguration(name, []byte(attachHeader+body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		SetAttachDefaults(cfg)
		if errs := ValidateAttach(cfg); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
		text := printedAttach(t, cfg)
		again, _, err := ParseAttachConfiguration("printed.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%s: what is printed does not parse: %v\n%s", name, err, text)
		}
		if !equality.Semantic.DeepEqual(cfg, again) {
			t.Errorf("%s: got back %+v, want %+v", name, again, cfg)
		}
	}
}

func TestAttachValues(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"listen: nowhere", "a.yaml:3:9: listen: "},
		{"healthListen: 127.0.0.1:8443", "healthListen: duplicate value"},
		{"cluster: {context: c}", "cluster.kubeconfig: required value"},
		{"cluster: {namespace: A_b}", "cluster.namespace: "},
		{"tls: {certFile: /a}", "tls.keyFile: required value"},
		{"tls: {certFile: /a, keyFile: /b, secretName: s}", "tls.secretName: forbidden"},
		{"tls: {dataDir: /d, secretName: s}", "tls.secretName: forbidden"},
		{"tls: {sans: [a b]}", "tls.sans[0]: "},
		{"client: {names: [a]}", "client.caFile: required value"},
		{"client: {caFile: /a, names: [a, a]}", "client.names[1]: duplicate value"},
		{"authentication: {audiences: [\"\"]}", "authentication.audiences[0]: "},
		{"admission: {clusterName: \"dev eu\"}", "admission.clusterName: invalid value"},
		{"admission: {clusterName: " + strings.Repeat("a", 254) + "}", "admission.clusterName: "},
		{"limits: {requestSize: 0}", "limits.requestSize: "},
		{"limits: {requestSize: 100E}", "limits.requestSize: "},
		{"limits: {concurrentReviews: -1}", "limits.concurrentReviews: "},
		{"limits: {reviewTimeout: 0s}", "limits.reviewTimeout: "},
		{"logging: {level: loud}", "logging.level: "},
		{"tracing: {endpoint: \"http://c:4317\"}", "tracing.endpoint: "},
		{"tracing: {insecure: true, caFile: /ca}", "tracing.caFile: forbidden"},
		{"tracing: {samplingRatePerMillion: 1000001}", "tracing.samplingRatePerMillion: "},
	} {
		cfg, source, err := ParseAttachConfiguration("a.yaml", []byte(attachHeader+c.body+"\n"))
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		SetAttachDefaults(cfg)
		err = source.Locate(ValidateAttach(cfg))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.body, err, c.want)
		}
	}
}

func TestAttachIsReadAsStrictly(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{attachHeader + "client: {caFiel: /a}", `did you mean "client.caFile"?`},
		{header, `kind: want "AttachConfiguration", have "ServeConfiguration"`},
		{"", `"kind: AttachConfiguration"`},
	} {
		if _, _, err := ParseAttachConfiguration("a.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestAttachFields holds that every path is resolved, and every field documented
// or after one whose comment speaks of both.
func TestAttachFields(t *testing.T) {
	cfg := &AttachConfiguration{Detection: oneSinkEach()}
	known := map[*string]bool{}
	for _, p := range attachPaths(cfg) {
		known[p] = true
	}
	for _, p := range fieldPaths(attachConfigurationType, "") {
		if attachFieldDocs[p] == "" && p != "apiVersion" && p != "kind" && p != "tls.keyFile" {
			t.Errorf("%s has no comment", p)
		}
		v := at(cfg, p)
		path := strings.HasSuffix(p, "File") || strings.HasSuffix(p, "Dir") || strings.HasSuffix(p, "kubeconfig") || strings.HasSuffix(p, "files[].path")
		if s, ok := v.Addr().Interface().(*string); path != (ok && known[s]) {
			t.Errorf("%s: that it is resolved is %v, want %v", p, !path, path)
		}
	}
}

func FuzzParseAttach(f *testing.F) {
	f.Add([]byte(attachHeader + "limits: {requestSize: 1Mi, reviewTimeout: 3s}\n"))
	f.Add([]byte(attachHeader + "client: {names: [a, null]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, source, err := ParseAttachConfiguration("f.yaml", data)
		if err != nil {
			return
		}
		_ = source.Locate(ValidateAttach(cfg))
		text := printedAttach(t, cfg)
		again, _, err := ParseAttachConfiguration("printed.yaml", []byte(text))
		if err != nil || !equality.Semantic.DeepEqual(cfg, again) {
			t.Fatalf("printed and parsed again: %v\n%s", err, text)
		}
	})
}
