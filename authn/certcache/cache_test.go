package certcache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	testclock "k8s.io/utils/clock/testing"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// asked counts how often the authenticators were asked.
type asked struct {
	times int
	err   error
	no    bool
}

func (a *asked) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	a.times++
	if a.err != nil || a.no {
		return nil, false, a.err
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: "jane"}}, true, nil
}

func request(header http.Header, certs ...*x509.Certificate) *http.Request {
	if header == nil {
		header = http.Header{}
	}
	return &http.Request{Header: header, TLS: &tls.ConnectionState{PeerCertificates: certs}}
}

func newCache(t *testing.T, a *asked) (*Cache, *testclock.FakeClock) {
	t.Helper()
	clock := testclock.NewFakeClock(start)
	c, err := New(a, Options{Clock: clock, ProxyHeaders: []string{"X-Remote-User", "x-remote-extra-"}})
	if err != nil {
		t.Fatal(err)
	}
	return c, clock
}

func cert(raw string, ends time.Duration) *x509.Certificate {
	return &x509.Certificate{Raw: []byte(raw), NotAfter: start.Add(ends)}
}

func TestAnAcceptanceIsRememberedForItsTime(t *testing.T) {
	a := &asked{}
	c, clock := newCache(t, a)
	leaf := cert("leaf", time.Hour)
	for _, step := range []struct {
		later time.Duration
		want  int
	}{{0, 1}, {0, 1}, {9 * time.Second, 1}, {2 * time.Second, 2}} {
		clock.Step(step.later)
		resp, ok, err := c.AuthenticateRequest(request(nil, leaf))
		if err != nil || !ok || resp.User.GetName() != "jane" {
			t.Fatalf("got %v %v %v", resp, ok, err)
		}
		if a.times != step.want {
			t.Errorf("asked %d times, want %d", a.times, step.want)
		}
	}
}

func TestNothingIsRememberedPastACertificatesEnd(t *testing.T) {
	for name, chain := range map[string][]*x509.Certificate{
		"leaf":         {cert("leaf", 3*time.Second)},
		"intermediate": {cert("leaf", time.Hour), cert("ca", 3*time.Second)},
	} {
		a := &asked{}
		c, clock := newCache(t, a)
		c.AuthenticateRequest(request(nil, chain...))
		clock.Step(3 * time.Second)
		c.AuthenticateRequest(request(nil, chain...))
		if a.times != 2 {
			t.Errorf("%s: asked %d times, want 2", name, a.times)
		}
	}
}

func TestOtherCredentialsAreNotAnsweredFor(t *testing.T) {
	leaf := cert("leaf", time.Hour)
	for name, header := range map[string]http.Header{
		"bearer token":       {"Authorization": {"Bearer x"}},
		"websocket token":    {"Sec-Websocket-Protocol": {"base64url.bearer.authorization.k8s.io.eA"}},
		"proxy user":         {"X-Remote-User": {"mallory"}},
		"proxy extra prefix": {"X-Remote-Extra-Scopes": {"all"}},
	} {
		a := &asked{}
		c, _ := newCache(t, a)
		c.AuthenticateRequest(request(nil, leaf))
		c.AuthenticateRequest(request(header, leaf))
		c.AuthenticateRequest(request(header, leaf))
		if a.times != 3 {
			t.Errorf("%s: asked %d times, want each time", name, a.times)
		}
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	for name, a := range map[string]*asked{"error": {err: errors.New("expired")}, "no": {no: true}} {
		c, _ := newCache(t, a)
		for range 2 {
			if _, ok, _ := c.AuthenticateRequest(request(nil, cert("leaf", time.Hour))); ok {
				t.Errorf("%s: accepted", name)
			}
		}
		if a.times != 2 {
			t.Errorf("%s: asked %d times, want 2", name, a.times)
		}
	}
}

func TestChainsAreToldApart(t *testing.T) {
	a := &asked{}
	c, _ := newCache(t, a)
	h := time.Hour
	for _, chain := range [][]*x509.Certificate{
		{cert("ab", h)}, {cert("a", h), cert("b", h)}, {cert("b", h), cert("a", h)}, {cert("a", h)}, {cert("abc", h)}, {cert("a", h), cert("bc", h)}, {cert("ab", h), cert("c", h)},
	} {
		c.AuthenticateRequest(request(nil, chain...))
	}
	if a.times != 7 {
		t.Errorf("asked %d times for 7 chains", a.times)
	}
}

func TestRequestsWithoutCertificatePass(t *testing.T) {
	a := &asked{}
	c, _ := newCache(t, a)
	for _, req := range []*http.Request{{Header: http.Header{}}, request(nil)} {
		c.AuthenticateRequest(req)
	}
	if a.times != 2 {
		t.Errorf("asked %d times, want 2", a.times)
	}
}
