package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	pluginwebhook "k8s.io/apiserver/plugin/pkg/audit/webhook"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

const planted = "hunter2"

type sink struct {
	mu     sync.Mutex
	events []*audit.Event
	fail   int // how many Appends fail first
	hold   chan struct{}
}

func (s *sink) Append(ctx context.Context, events []*audit.Event) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("disk full of " + planted)
	}
	s.events = append(s.events, events...)
	return nil
}

func handler(s audit.Sink, change func(*Options)) *Handler {
	o := Options{Sink: s, Redactor: redact.New(redact.Options{Key: []byte("k")})}
	if change != nil {
		change(&o)
	}
	return New(o)
}

func event(id string) string {
	return `{"level":"RequestResponse","auditID":"` + id + `","stage":"ResponseComplete","verb":"create","user":{"username":"jane"},"objectRef":{"resource":"secrets"},"requestObject":{"kind":"Secret","data":{"a":"` + planted + `"}},"stageTimestamp":"2026-10-01T12:00:00.000000Z"}`
}

func list(items ...string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[` + strings.Join(items, ",") + `]}`
}

func post(t *testing.T, h http.Handler, body string) (*httptest.ResponseRecorder, metav1.Status) {
	t.Helper()
	r := httptest.NewRequest("POST", "/audit", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var status metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil || status.Kind != "Status" || int(status.Code) != w.Code {
		t.Errorf("HTTP %d with %s: %v", w.Code, w.Body, err)
	}
	if strings.Contains(w.Body.String(), planted) {
		t.Errorf("the answer quotes: %s", w.Body)
	}
	return w, status
}

func TestKeepsAndRedacts(t *testing.T) {
	s := &sink{}
	h := handler(s, nil)
	if w, _ := post(t, h, list(event("a"), event("b"))); w.Code != 200 || len(s.events) != 2 || h.Counts().Kept != 2 {
		t.Fatalf("HTTP %d, %d events", w.Code, len(s.events))
	}
	if e := s.events[0]; e.Source != "webhook" || e.ID != "a" || bytes.Contains(e.Request, []byte(planted)) {
		t.Errorf("kept %+v", e)
	}
	if w, _ := post(t, h, list()); w.Code != 200 {
		t.Errorf("an empty list: HTTP %d", w.Code)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	s := &sink{}
	var told int
	h := handler(s, func(o *Options) {
		o.Unreadable = func(n int, err error) {
			told += n
			if strings.Contains(err.Error(), planted) {
				t.Errorf("quotes: %v", err)
			}
		}
	})
	for _, bad := range []string{``, `x`, `{`, `[]`, `{"kind":"Pod","a":"` + planted + `"}`, list(event("a"))[:100], `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}`, list(`{"auditID":{"` + planted + `":1}}`)} {
		if w, status := post(t, h, bad); w.Code != 400 || status.Reason != metav1.StatusReasonBadRequest || len(s.events) != 0 {
			t.Errorf("%q: HTTP %d, %s, %d events", bad, w.Code, status.Reason, len(s.events))
		}
	}
	told = 0
	if w, _ := post(t, h, list(event("a"), `{"auditID":5}`, `7`, event("b"))); w.Code != 200 || len(s.events) != 2 || told != 2 {
		t.Errorf("a list that is bad in part: HTTP %d, %d events, told of %d", w.Code, len(s.events), told)
	}
	for _, c := range []struct {
		method, kind string
		code         int
	}{{"GET", "application/json", 405}, {"POST", "application/yaml", 415}, {"POST", "application/json; charset=utf-8", 200}, {"POST", "", 200}} {
		r := httptest.NewRequest(c.method, "/audit", strings.NewReader(list(event("c"))))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != c.code {
			t.Errorf("%s of %q: HTTP %d, want %d", c.method, c.kind, w.Code, c.code)
		}
	}
}

func TestPressure(t *testing.T) {
	s := &sink{fail: 1}
	h := handler(s, func(o *Options) { o.MaxBody = 4 << 10; o.MaxConcurrent = 1; o.Patience = 50 * time.Millisecond })
	if w, status := post(t, h, list(event("a"))); w.Code != 503 || w.Header().Get("Retry-After") != "5" || status.Details.RetryAfterSeconds != 5 || len(s.events) != 0 {
		t.Errorf("HTTP %d, %+v", w.Code, status)
	}
	if w, _ := post(t, h, list(event(strings.Repeat("a", 5<<10)))); w.Code != 413 {
		t.Errorf("too long: HTTP %d", w.Code)
	}
	unknown := httptest.NewRequest("POST", "/audit", struct{ *bytes.Reader }{bytes.NewReader([]byte(list(event(strings.Repeat("a", 5<<10)))))})
	unknown.ContentLength = -1
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, unknown); w.Code != 413 {
		t.Errorf("too long, of unknown length: HTTP %d", w.Code)
	}
	s.hold = make(chan struct{})
	first := make(chan int)
	go func() {
		w, _ := post(t, h, list(event("b")))
		first <- w.Code
	}()
	for {
		h.mu.Lock()
		n := h.lists
		h.mu.Unlock()
		if n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if w, _ := post(t, h, list(event("c"))); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("HTTP %d while another list is kept", w.Code)
	}
	if code := <-first; code != 503 {
		t.Errorf("HTTP %d of a Sink that takes too long", code)
	}
	close(s.hold)
	if w, _ := post(t, h, list(event("c"))); w.Code != 200 || h.pending != 0 || h.lists != 0 {
		t.Errorf("HTTP %d afterwards, %d bytes pending", w.Code, h.pending)
	}
	if c := h.Counts(); c.Failed != 2 || c.Refused != 3 || c.Kept != 1 {
		t.Errorf("counts %+v", c)
	}
}

// kubeconfig is one as --audit-webhook-config-file takes.
func kubeconfig(t *testing.T, server *httptest.Server) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": server.URL + "/audit", "certificate-authority-data": ca}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "c", "user": "u"}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{}}},
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Upstream's own backend posts to it, and posts again what was not acknowledged.
func TestUpstreamsBackend(t *testing.T) {
	s := &sink{fail: 2}
	h := handler(s, nil)
	var posts int
	mux := http.NewServeMux()
	mux.HandleFunc("/audit", func(w http.ResponseWriter, r *http.Request) {
		if posts++; posts == 1 {
			http.Error(w, "not yet", http.StatusBadGateway)
			return
		}
		h.ServeHTTP(retryNow{w}, r)
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	backend, err := pluginwebhook.NewBackend(kubeconfig(t, server), auditv1.SchemeGroupVersion, wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 6}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var events []*auditinternal.Event
	for i := range 400 {
		events = append(events, &auditinternal.Event{
			Level: "RequestResponse", AuditID: types.UID(fmt.Sprint("id", i)), Stage: "ResponseComplete", Verb: "create", RequestURI: "/api/v1/secrets?a=é\u2028",
			User: authenticationv1.UserInfo{Username: "jane", Groups: []string{"g"}}, ObjectRef: &auditinternal.ObjectReference{Resource: "secrets"}, ResponseStatus: &metav1.Status{Code: 201},
			RequestObject:  &runtime.Unknown{Raw: []byte(`{"kind":"Secret","data":{"a":"` + planted + `"}}`), ContentType: runtime.ContentTypeJSON},
			StageTimestamp: metav1.NewMicroTime(time.Unix(int64(i), 5000)), Annotations: map[string]string{audit.AnnotationDecision: "allow"},
		})
	}
	if !backend.ProcessEvents(events...) {
		t.Fatal("upstream's backend gave up")
	}
	if len(s.events) != 400 || posts < 4 || h.Counts().Failed != 2 {
		t.Fatalf("%d events after %d posts, %+v", len(s.events), posts, h.Counts())
	}
	for i, e := range s.events {
		if e.ID != fmt.Sprint("id", i) || e.User != "jane" || e.Code != 201 || e.Decision() != "allow" || !e.Time.Equal(time.Unix(int64(i), 5000)) || e.URI != "/api/v1/secrets?a=é\u2028" || bytes.Contains(e.Request, []byte(planted)) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
}

// retryNow takes out how long to wait, so that a test does not.
type retryNow struct{ http.ResponseWriter }

func (w retryNow) WriteHeader(code int) {
	w.Header().Del("Retry-After")
	w.ResponseWriter.WriteHeader(code)
}

func FuzzPost(f *testing.F) {
	f.Add([]byte(list(event("a"), event("b"))))
	f.Add([]byte(list(`{"auditID":5}`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &sink{}
		w := httptest.NewRecorder()
		handler(s, nil).ServeHTTP(w, httptest.NewRequest("POST", "/audit", bytes.NewReader(body)))
		if w.Code != 200 && len(s.events) > 0 {
			t.Fatalf("HTTP %d, and %d events were kept", w.Code, len(s.events))
		}
	})
}
