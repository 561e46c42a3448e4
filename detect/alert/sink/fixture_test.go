package sink

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// hostile is what a client may call something.
const hostile = "x\x1b[2J\r\nALERT <!channel> <https://evil|ok> `*b*` @here & \"]\\ \u202egnp.exe\u0000\xff =1+1"

var now = time.Date(2026, 11, 26, 10, 0, 0, 123456000, time.UTC)

// told is an Alert with everything in it, and in each place that a client writes, text.
func told(text string) alert.Alert {
	return alert.Alert{
		ID: "0123456789abcdef0123456789abcdef", Status: alert.Firing, Cause: alert.CauseNew, Cluster: "prod", At: now,
		RunbookURL: "https://runbooks.example.com/secret-list",
		Finding: detect.Finding{
			Fingerprint: "00f1e2d3c4b5a697", Rule: "secret-list", Title: "Somebody reads all Secrets of a namespace", Severity: v1alpha1.SeverityHigh,
			Attack: v1alpha1.DetectionAttack{Techniques: []string{"T1552.007"}}, Message: "Read by " + text, First: now.Add(-time.Minute), Last: now.Add(-time.Second), Count: 3,
			Events: []string{"a-1", text}, Key: []string{text}, Subject: detect.Subject{User: "user " + text, As: text, Address: "192.0.2.7", UserAgent: text},
			Object: detect.Object{Verb: "list", Resource: "secrets", Namespace: "shop", Name: text},
			Began:  &detect.Began{User: text, Certainty: "likely"}, Quiet: time.Hour,
		},
		Context: alert.Context{
			Related: []alert.Related{{AuditID: "r-1", At: now, User: text, Code: 200, Object: detect.Object{Verb: "get", Resource: "pods", Name: text}}}, RelatedMore: 2,
			Reach:    &alert.Reach{Identity: text, Can: []string{"get secrets, by " + text}, More: 1, Incomplete: true},
			Problems: []string{"no " + text},
		},
	}
}

func resolved(a alert.Alert) alert.Alert {
	a.Status, a.Cause, a.At = alert.Resolved, alert.CauseOver, now.Add(time.Hour)
	return a
}

// harmless fails where a text could steer what shows it.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r < 0x20 && r != '\n' || r == 0x7f || r == '\u202e' {
			t.Errorf("%s has %q: %q", what, r, text)
			return
		}
	}
	if strings.Contains(text, "\nALERT") {
		t.Errorf("%s has a line that a client began: %q", what, text)
	}
}

// receiver is a server that remembers what it got.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	heads  []http.Header
	paths  []string
	answer func(w http.ResponseWriter)
}

func receive(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.heads, r.paths = append(r.bodies, body), append(r.heads, request.Header), append(r.paths, request.URL.RequestURI())
		if r.answer != nil {
			r.answer(w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// made makes the one sink of the settings.
func made(t *testing.T, settings v1alpha1.AlertOptions) alert.Sink {
	t.Helper()
	all, err := New(Options{Alerts: settings, Host: "host one", Clock: standing{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d sinks", len(all))
	}
	return all[0]
}

// standing is a clock that stands.
type standing struct{}

func (standing) Now() time.Time                  { return now }
func (standing) Since(t time.Time) time.Duration { return now.Sub(t) }

func send(t *testing.T, s alert.Sink, alerts ...alert.Alert) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return s.Send(ctx, alerts)
}

func mustSend(t *testing.T, s alert.Sink, alerts ...alert.Alert) {
	t.Helper()
	if err := send(t, s, alerts...); err != nil {
		t.Fatal(err)
	}
}
