package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// remote is a real HTTPS server that answers what it is told to.
type remote struct {
	*httptest.Server
	calls  atomic.Int32
	answer func(w http.ResponseWriter, r *http.Request, keys []string)
}

func serve(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, keys []string)) *remote {
	t.Helper()
	s := &remote{answer: answer}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		var q request
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Kind != "ProviderRequest" {
			http.Error(w, "?", http.StatusBadRequest)
			return
		}
		s.answer(w, r, q.Request.Keys)
	}))
	t.Cleanup(s.Close)
	return s
}

// echo answers with each key.
func echo(w http.ResponseWriter, _ *http.Request, keys []string) {
	var a response
	a.Response.Idempotent = true
	for _, k := range keys {
		a.Response.Items = append(a.Response.Items, Item{Key: k, Value: "of " + k})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ProviderResponse", "response": a.Response})
}

func (s *remote) object(url string) *unstructured.Unstructured {
	bundle := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "Provider", "metadata": map[string]any{"name": "p"},
		"spec": map[string]any{"url": url, "timeout": int64(1), "caBundle": bundle}}}
}

func (s *remote) client(t testing.TB, opts Options) *Client {
	t.Helper()
	url := s.URL + "/lookup?token=hidden"
	p, err := Read(s.object(url))
	if err != nil {
		t.Fatal(err)
	}
	opts.Allowed = []Allowed{{"p", url}}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.Serve([]*Provider{p})
	return c
}

func TestAsk(t *testing.T) {
	s := serve(t, echo)
	now := time.Unix(1_700_000_000, 0)
	c := s.client(t, Options{Now: func() time.Time { return now }})
	ask := func(keys ...string) string {
		t.Helper()
		a, err := c.Session().Ask(context.Background(), "p", keys)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(a.Items, a.Idempotent, a.Status)
	}
	if got := ask("a", "b"); got != "[{a of a } {b of b }] true 200" || s.calls.Load() != 1 {
		t.Errorf("%s after %d calls", got, s.calls.Load())
	}
	if got := ask("b", "c"); got != "[{b of b } {c of c }] true 200" || s.calls.Load() != 2 {
		t.Errorf("the cache does not help: %s after %d calls", got, s.calls.Load())
	}
	if ask("a", "b", "c"); s.calls.Load() != 2 {
		t.Errorf("%d calls for what is known", s.calls.Load())
	}
	now = now.Add(3 * time.Minute)
	if ask("a"); s.calls.Load() != 3 {
		t.Errorf("%d calls: an old answer is given", s.calls.Load())
	}
}

// Nobody is asked who is not allowed, by name and by address.
func TestAllowed(t *testing.T) {
	s := serve(t, echo)
	moved, err := Read(s.object(s.URL + "/elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	for _, allowed := range [][]Allowed{nil, {{"p", s.URL}}, {{"q", s.URL + "/elsewhere"}}} {
		c, err := New(Options{Allowed: allowed})
		if err != nil {
			t.Fatal(err)
		}
		c.Serve([]*Provider{moved})
		session := c.Session()
		_, err = session.Ask(context.Background(), "p", []string{"a"})
		if !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), "externalData.providers") || session.TakeRefusal() == nil || session.TakeRefusal() != nil {
			t.Errorf("%v: %v", allowed, err)
		}
	}
	if s.calls.Load() > 0 {
		t.Error("it was asked")
	}
}

// What comes back is hostile.
func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, keys []string)
		opts   Options
		want   string
	}{
		"not JSON":  {func(w http.ResponseWriter, _ *http.Request, _ []string) { fmt.Fprint(w, "<html>") }, Options{}, "no ProviderResponse"},
		"no answer": {func(http.ResponseWriter, *http.Request, []string) { panic(http.ErrAbortHandler) }, Options{}, "cannot be reached"},
		"too much":  {func(w http.ResponseWriter, _ *http.Request, _ []string) { fmt.Fprint(w, strings.Repeat(" ", 2<<20)) }, Options{}, "more than the 1048576 bytes"},
		"deep":      {func(w http.ResponseWriter, _ *http.Request, _ []string) { fmt.Fprint(w, strings.Repeat("[", 100_000)) }, Options{}, "no ProviderResponse"},
		"too slow":  {func(_ http.ResponseWriter, r *http.Request, _ []string) { <-r.Context().Done() }, Options{MaxTime: 50 * time.Millisecond}, "takes too long"},
		"redirects": {func(w http.ResponseWriter, r *http.Request, _ []string) {
			http.Redirect(w, r, "https://example.org", http.StatusTemporaryRedirect)
		}, Options{}, "with status 307, is no ProviderResponse"},
		"never ends": {func(w http.ResponseWriter, r *http.Request, _ []string) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, Options{MaxBytes: 1000}, "more than the 1000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.answer)
			s.Config.ErrorLog = nil
			client := s.client(t, c.opts)
			_, err := client.Session().Ask(context.Background(), "p", []string{"a"})
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, new(*RefusedError)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("the address is told: %v", err)
			}
		})
	}
}

func TestBudget(t *testing.T) {
	s := serve(t, echo)
	session := s.client(t, Options{MaxCalls: 2, CacheTTL: -1}).Session()
	for i := range 3 {
		_, err := session.Ask(context.Background(), "p", []string{"a"})
		if (err != nil) != (i == 2) || i == 2 && !strings.Contains(err.Error(), "2 times, and may not ask more") {
			t.Errorf("call %d: %v", i, err)
		}
	}
	session = s.client(t, Options{MaxBytes: 200, CacheTTL: -1}).Session()
	var err error
	for i := 0; err == nil && i < 10; i++ {
		_, err = session.Ask(context.Background(), "p", []string{"a"})
	}
	if err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("after 200 bytes: %v", err)
	}
	session = s.client(t, Options{}).Session()
	if _, err := session.Ask(context.Background(), "p", make([]string, 1001)); err == nil {
		t.Error("1001 keys are asked for")
	}
	if _, err := session.Ask(context.Background(), "p", []string{strings.Repeat("k", 17<<10)}); err == nil {
		t.Error("a key of 17 KiB is asked for")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := session.Ask(ended, "p", []string{"new"}); err == nil {
		t.Error("a request that has ended asks")
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := serve(t, echo)
	c := s.client(t, Options{CacheEntries: 10, CacheBytes: 10_000, MaxCalls: 1000})
	session := c.Session()
	for i := range 100 {
		if _, err := session.Ask(context.Background(), "p", []string{fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.cache.known) != 10 || c.cache.order.Len() != 10 || c.cache.bytes > 10_000 {
		t.Errorf("%d entries, %d bytes", len(c.cache.known), c.cache.bytes)
	}
	if _, err := session.Ask(context.Background(), "p", []string{strings.Repeat("k", 9_900)}); err != nil {
		t.Fatal(err)
	}
	if c.cache.bytes > 10_000 {
		t.Errorf("%d bytes", c.cache.bytes)
	}
}

func TestWrongProviders(t *testing.T) {
	s := serve(t, echo)
	for field, c := range map[string]struct {
		value any
		want  string
	}{
		"url":                   {"http://x", "https://"},
		"timeout":               {int64(-1), "spec.timeout"},
		"caBundle":              {"", "spec.caBundle"},
		"insecureTLSSkipVerify": {true, "not supported"},
		"x":                     {1, "unknown field"},
	} {
		o := s.object(s.URL)
		o.Object["spec"].(map[string]any)[field] = c.value
		if _, err := Read(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, bundle := range []string{"%", base64.StdEncoding.EncodeToString([]byte("no PEM"))} {
		o := s.object(s.URL)
		o.Object["spec"].(map[string]any)["caBundle"] = bundle
		if _, err := Read(o); err == nil {
			t.Errorf("%q is read", bundle)
		}
	}
	o := s.object("https://[")
	if _, err := Read(o); err == nil {
		t.Error("an address that is none is read")
	}
}

// A server whose certificate another authority vouches for is not asked.
func TestAnotherAuthority(t *testing.T) {
	s := serve(t, echo)
	c := s.client(t, Options{})
	p := *(*c.providers.Load())["p"].Provider
	p.roots, p.bundle = x509.NewCertPool(), "another"
	c.Serve([]*Provider{&p})
	if _, err := c.Session().Ask(context.Background(), "p", []string{"a"}); err == nil || !strings.Contains(err.Error(), "cannot be reached") || s.calls.Load() > 0 {
		t.Errorf("%v after %d calls", err, s.calls.Load())
	}
}

// The program shows its certificate where it has one.
func TestClientCertificate(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, keys []string) {
		if len(r.TLS.PeerCertificates) == 0 {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		echo(w, r, keys)
	})
	s.TLS.ClientAuth = tls.RequestClientCert
	certFile, keyFile := keyPair(t)
	if _, err := s.client(t, Options{}).Session().Ask(context.Background(), "p", []string{"a"}); err == nil {
		t.Error("nobody is asked for")
	}
	if _, err := s.client(t, Options{CertFile: certFile, KeyFile: keyFile}).Session().Ask(context.Background(), "p", []string{"a"}); err != nil {
		t.Error(err)
	}
	if _, err := New(Options{CertFile: certFile}); err == nil {
		t.Error("half a certificate is taken")
	}
	if _, err := New(Options{CertFile: keyFile, KeyFile: keyFile}); err == nil {
		t.Error("no certificate is taken")
	}
}

func keyPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
