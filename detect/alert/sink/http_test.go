package sink

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

const (
	key    = "0123456789abcdef0123456789abcdef"
	newKey = "fedcba9876543210fedcba9876543210"
	token  = "s3cr3t-bearer-token"
	path   = "/services/T00/B00/s3cr3tslackpath"
)

// httpSinks are one of each sort, which lead to a server. Each has a secret.
func httpSinks(t *testing.T, url string) map[string]alert.Sink {
	return map[string]alert.Sink{
		"alertmanager": made(t, v1alpha1.AlertOptions{Alertmanagers: []v1alpha1.AlertmanagerSink{{URL: url + "/", BearerTokenFile: write(t, "token", token+"\n")}}}),
		"webhook":      made(t, v1alpha1.AlertOptions{Webhooks: []v1alpha1.WebhookSink{{URL: url + path + "?q=1", SecretFile: write(t, "key", key+"\n")}}}),
		"slack":        made(t, v1alpha1.AlertOptions{Slack: []v1alpha1.SlackSink{{URLFile: write(t, "url", url+path+"\n")}}}),
	}
}

func TestAlertmanagerBody(t *testing.T) {
	r := receive(t)
	s := httpSinks(t, r.URL)["alertmanager"]
	skewed := told("")
	skewed.Finding.Fingerprint, skewed.Finding.First = "skewed", now.Add(2*time.Hour)
	mustSend(t, s, told(hostile), resolved(skewed))
	if r.paths[0] != "/api/v2/alerts" || r.heads[0].Get("Authorization") != "Bearer "+token {
		t.Errorf("got %s %v", r.paths[0], r.heads[0])
	}
	var got []postable
	if err := json.Unmarshal(r.bodies[0], &got); err != nil || len(got) != 2 {
		t.Fatalf("%v: %s", err, r.bodies[0])
	}
	a := got[0]
	if len(a.Labels) != 5 || a.Labels["alertname"] != "secret-list" || a.Labels["severity"] != "high" || a.Labels["cluster"] != "prod" || a.Labels["fingerprint"] != "00f1e2d3c4b5a697" {
		t.Errorf("labels are %v", a.Labels)
	}
	for name, text := range a.Annotations {
		harmless(t, name, text)
		if len(text) > longText {
			t.Errorf("%s has %d bytes", name, len(text))
		}
	}
	for name, want := range map[string]string{"count": "3", "runbook_url": "https://runbooks.example.com/secret-list", "first_seen": "2026-11-26T09:59:00Z", "attack": "T1552.007", "address": "192.0.2.7"} {
		if a.Annotations[name] != want {
			t.Errorf("%s is %q", name, a.Annotations[name])
		}
	}
	for _, name := range []string{"related", "reach", "events", "unknown", "began"} {
		if a.Annotations[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if !a.StartsAt.Equal(now.Add(-time.Minute)) || !a.EndsAt.Equal(now.Add(5*time.Minute)) {
		t.Errorf("from %v to %v", a.StartsAt, a.EndsAt)
	}
	if got[1].StartsAt.After(got[1].EndsAt) {
		t.Error("it ends before it begins, and Alertmanager would refuse it")
	}
}

// TestAlertmanagerHearsOfWhatIsOver holds that what was told and over while it was down is
// still notified of.
func TestAlertmanagerHearsOfWhatIsOver(t *testing.T) {
	r := receive(t)
	s := httpSinks(t, r.URL)["alertmanager"]
	mustSend(t, s, told("a"), resolved(told("a")))
	mustSend(t, s, resolved(told("a")))
	var first, second []postable
	json.Unmarshal(r.bodies[0], &first)
	json.Unmarshal(r.bodies[1], &second)
	if len(first) != 1 || !first[0].EndsAt.Equal(now.Add(believed*resend)) {
		t.Errorf("got %s", r.bodies[0])
	}
	if len(second) != 1 || !second[0].EndsAt.Equal(now.Add(time.Hour)) {
		t.Errorf("got %s", r.bodies[1])
	}
}

func TestWebhookIsSigned(t *testing.T) {
	r := receive(t)
	file := write(t, "key", key+"\r\n"+newKey+"\n")
	s := made(t, v1alpha1.AlertOptions{Webhooks: []v1alpha1.WebhookSink{{URL: r.URL + path, SecretFile: file}}})
	mustSend(t, s, told(hostile), resolved(told("b")))
	head, body := r.heads[0], r.bodies[0]
	for _, k := range []string{key, newKey} {
		if err := Verify(head, body, [][]byte{[]byte("another key of some length"), []byte(k)}, now.Add(time.Minute), 5*time.Minute); err != nil {
			t.Error(err)
		}
	}
	for what, err := range map[string]error{
		"another key":  Verify(head, body, [][]byte{[]byte(key + "x")}, now, time.Minute),
		"no key":       Verify(head, body, nil, now, time.Minute),
		"another body": Verify(head, append([]byte(" "), body...), [][]byte{[]byte(key)}, now, time.Minute),
		"too old":      Verify(head, body, [][]byte{[]byte(key)}, now.Add(6*time.Minute), 5*time.Minute),
		"from ahead":   Verify(head, body, [][]byte{[]byte(key)}, now.Add(-6*time.Minute), 5*time.Minute),
		"nothing":      Verify(http.Header{}, body, [][]byte{[]byte(key)}, now, time.Minute),
		"another time": Verify(http.Header{TimestampHeader: {"1764151201"}, SignatureHeader: head[SignatureHeader]}, body, [][]byte{[]byte(key)}, time.Unix(1764151201, 0), time.Minute),
	} {
		if err == nil {
			t.Errorf("%s: it is verified", what)
		}
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil || m.Version != "1" || len(m.Alerts) != 2 || m.Alerts[0].Finding.Fingerprint != "00f1e2d3c4b5a697" || m.Alerts[1].Status != alert.Resolved {
		t.Errorf("%v: %s", err, body)
	}
	// The file is read each time.
	if err := os.WriteFile(file, []byte(newKey), 0o600); err != nil {
		t.Fatal(err)
	}
	mustSend(t, s, told("c"))
	if strings.Contains(r.heads[1].Get(SignatureHeader), ",") {
		t.Error("the old key is still used")
	}
}

// TestOpensslVerifies holds that the signature is what docs/alerts.md says, by a program
// that nobody here wrote.
func TestOpensslVerifies(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl")
	}
	r := receive(t)
	mustSend(t, httpSinks(t, r.URL)["webhook"], told(hostile))
	verify := exec.Command(openssl, "dgst", "-sha256", "-hmac", key)
	verify.Stdin = strings.NewReader(r.heads[0].Get(TimestampHeader) + "." + string(r.bodies[0]))
	out, err := verify.Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	if got, want := r.heads[0].Get(SignatureHeader), "v1="+fields[len(fields)-1]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSlackBody(t *testing.T) {
	r := receive(t)
	other := told(hostile)
	other.Finding.Fingerprint = "second"
	third := told("x")
	third.Finding.Rule, third.Finding.Title = "exec", "A command <b>"
	mustSend(t, httpSinks(t, r.URL)["slack"], told(hostile), other, third, resolved(third))
	var m slackMessage
	if err := json.Unmarshal(r.bodies[0], &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Attachments) != 3 || len(m.Attachments[0].Fields) != 0 || strings.Count(m.Attachments[0].Text, "•") != 2 || !strings.Contains(m.Text, "[high] A command &lt;b&gt; on prod") {
		t.Errorf("got %s", r.bodies[0])
	}
	mustSend(t, httpSinks(t, r.URL)["slack"], told(hostile))
	json.Unmarshal(r.bodies[1], &m)
	texts := map[string]string{"text": m.Text}
	for _, a := range m.Attachments {
		texts["fallback"], texts["title"], texts["attachment"] = a.Fallback, a.Title, a.Text
		for _, f := range a.Fields {
			texts[f.Title] = f.Value
		}
	}
	if texts["fingerprint"] != "`00f1e2d3c4b5a697`" || texts["reach"] == "" || texts["related"] == "" {
		t.Errorf("got %v", texts)
	}
	for name, text := range texts {
		harmless(t, name, text)
		if strings.ContainsAny(text, "<>") {
			t.Errorf("%s has marks of Slack: %s", name, text)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if i, j := strings.Index(line, "@here"), strings.Index(line, "`"); i >= 0 && (j < 0 || j > i || strings.Count(line[:i], "`")%2 == 0) {
				t.Errorf("%s has a client's text outside of a code span: %s", name, line)
			}
		}
	}
}

// TestFailures holds what is tried again, and that no error has a secret.
func TestFailures(t *testing.T) {
	r := receive(t)
	elsewhere := receive(t)
	for _, c := range []struct {
		code           int
		refused, later bool
	}{
		{200, false, false}, {202, false, false}, {400, true, false}, {413, true, false}, {422, true, false},
		{302, false, false}, {401, false, false}, {403, false, false}, {404, false, false}, {429, false, true}, {500, false, false}, {503, false, true},
	} {
		r.answer = func(w http.ResponseWriter) {
			if c.later {
				w.Header().Set("Retry-After", "17")
			}
			if c.code == 302 {
				w.Header().Set("Location", elsewhere.URL)
			}
			w.WriteHeader(c.code)
			w.Write([]byte("you sent " + token + path + key))
		}
		for name, s := range httpSinks(t, r.URL) {
			err := send(t, s, told("a"))
			if (err == nil) != (c.code < 300) {
				t.Errorf("%s %d: %v", name, c.code, err)
			}
			if _, ok := errors.AsType[*alert.RefusedError](err); ok != c.refused {
				t.Errorf("%s %d: refused is %v", name, c.code, ok)
			}
			if later, ok := errors.AsType[*alert.LaterError](err); ok != c.later || ok && later.After != 17*time.Second {
				t.Errorf("%s %d: %v", name, c.code, err)
			}
			secretless(t, err)
		}
	}
	if len(elsewhere.bodies) > 0 {
		t.Error("a redirect was followed")
	}
	down := httptest.NewServer(nil)
	down.Close()
	for name, s := range httpSinks(t, down.URL) {
		err := send(t, s, told("a"))
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v", name, err)
		}
		secretless(t, err)
	}
}

func secretless(t *testing.T, err error) {
	t.Helper()
	for _, s := range []string{token, "s3cr3t", key, newKey} {
		if err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("the error has a secret: %v", err)
		}
	}
}

func TestTLS(t *testing.T) {
	r := receive(t)
	secure := httptest.NewTLSServer(r.Config.Handler)
	defer secure.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	url := write(t, "url", secure.URL+path)
	file := write(t, "ca", ca)
	s := made(t, v1alpha1.AlertOptions{Slack: []v1alpha1.SlackSink{{URLFile: url, CAFile: file}}})
	mustSend(t, s, told("a"))
	err := send(t, made(t, v1alpha1.AlertOptions{Slack: []v1alpha1.SlackSink{{URLFile: url}}}), told("a"))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
	secretless(t, err)
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := send(t, s, told("a")); err == nil {
		t.Error("the file is not read again")
	}
}

func TestNewRefuses(t *testing.T) {
	short, none, ca := write(t, "short", "hunter2"), write(t, "none", "\n"), write(t, "ca", "no PEM")
	odd := write(t, "odd", "https//hooks.example.com/s3cr3t")
	for _, c := range []struct {
		settings v1alpha1.AlertOptions
		want     string
	}{
		{v1alpha1.AlertOptions{Webhooks: []v1alpha1.WebhookSink{{SecretFile: short}}}, "webhooks[0].secretFile: read keys: a key in " + short + " has fewer than 16 bytes"},
		{v1alpha1.AlertOptions{Webhooks: []v1alpha1.WebhookSink{{SecretFile: none}}}, "is empty"},
		{v1alpha1.AlertOptions{Slack: []v1alpha1.SlackSink{{URLFile: odd}}}, "slack[0].urlFile: read secret: " + odd + " does not hold one URL"},
		{v1alpha1.AlertOptions{Slack: []v1alpha1.SlackSink{{URLFile: none}}}, "is empty"},
		{v1alpha1.AlertOptions{Alertmanagers: []v1alpha1.AlertmanagerSink{{CAFile: ca}}}, "alertmanagers[0].caFile"},
		{v1alpha1.AlertOptions{Alertmanagers: []v1alpha1.AlertmanagerSink{{BearerTokenFile: "/nowhere"}}}, "no such file"},
		{v1alpha1.AlertOptions{Syslog: []v1alpha1.SyslogSink{{CAFile: ca}}}, "syslog[0].caFile"},
		{v1alpha1.AlertOptions{Events: v1alpha1.EventsSinkOptions{Disabled: new(bool)}}, "no cluster"},
	} {
		_, err := New(Options{Alerts: c.settings})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, c.want)
		}
		secretless(t, err)
	}
}

// TestNamesAreNoSecrets holds that what a sink is called can be logged.
func TestNamesAreNoSecrets(t *testing.T) {
	for _, s := range httpSinks(t, "https://hooks.example.com") {
		if name := s.Traits().Name; strings.Contains(name, "s3cr3t") {
			t.Errorf("got %q", name)
		}
	}
}
