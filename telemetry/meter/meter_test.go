package meter_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/gatehouse-io/gatehouse/telemetry/meter"
)

// told is what a registry with these tells.
func told(t *testing.T, decided []*meter.Decisions, families ...meter.Family) func(want string, names ...string) {
	t.Helper()
	registry := metrics.NewKubeRegistry()
	err := meter.Registry{Register: registry.Register, CustomRegister: registry.CustomRegister}.Add(decided, families...)
	if err != nil {
		t.Fatal(err)
	}
	return func(want string, names ...string) {
		t.Helper()
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
	}
}

func TestAuthorizer(t *testing.T) {
	decided := meter.NewDecisions("authz", meter.AuthorizationVerdicts...)
	expect := told(t, []*meter.Decisions{decided})
	for _, c := range []struct {
		authorizer.Decision
		error
	}{
		{authorizer.DecisionAllow, nil}, {authorizer.DecisionAllow, errors.New("of another part")},
		{authorizer.DecisionDeny, nil},
		{authorizer.DecisionNoOpinion, nil}, {authorizer.DecisionNoOpinion, nil}, {authorizer.DecisionNoOpinion, nil},
		{authorizer.DecisionNoOpinion, errors.New("x")}, {authorizer.DecisionDeny, errors.New("x")},
	} {
		a := decided.Authorizer(authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
			return c.Decision, "why", c.error
		}))
		if d, why, err := a.Authorize(t.Context(), nil); d != c.Decision || why != "why" || err != c.error {
			t.Errorf("decided %v %q %v", d, why, err)
		}
	}
	expect(`
# HELP gatehouse_authz_decisions_total [ALPHA] Decisions by what they were.
# TYPE gatehouse_authz_decisions_total counter
gatehouse_authz_decisions_total{verdict="allow"} 2
gatehouse_authz_decisions_total{verdict="deny"} 1
gatehouse_authz_decisions_total{verdict="error"} 2
gatehouse_authz_decisions_total{verdict="no_opinion"} 3
`, "gatehouse_authz_decisions_total")
}

func TestAuthenticators(t *testing.T) {
	decided := meter.NewDecisions("authn", meter.AuthenticationVerdicts...)
	expect := told(t, []*meter.Decisions{decided})
	revoked := errors.New("revoked")
	is := func(err error) bool { return err == revoked }
	as := func(name string) *authenticator.Response {
		return &authenticator.Response{User: &user.DefaultInfo{Name: name}}
	}
	for _, c := range []struct {
		response *authenticator.Response
		ok       bool
		err      error
	}{{as("jane"), true, nil}, {as(user.Anonymous), true, nil}, {nil, false, nil}, {nil, true, nil}, {nil, false, revoked}, {nil, false, errors.New("x")}} {
		request := decided.Requests(authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
			return c.response, c.ok, c.err
		}), is)
		if r, ok, err := request.AuthenticateRequest(nil); r != c.response || ok != c.ok || err != c.err {
			t.Errorf("answered %v %v %v", r, ok, err)
		}
		token := decided.Tokens(authenticator.TokenFunc(func(context.Context, string) (*authenticator.Response, bool, error) {
			return c.response, c.ok, c.err
		}), is)
		if r, ok, err := token.AuthenticateToken(t.Context(), ""); r != c.response || ok != c.ok || err != c.err {
			t.Errorf("answered %v %v %v", r, ok, err)
		}
	}
	expect(`
# HELP gatehouse_authn_decisions_total [ALPHA] Decisions by what they were.
# TYPE gatehouse_authn_decisions_total counter
gatehouse_authn_decisions_total{verdict="anonymous"} 2
gatehouse_authn_decisions_total{verdict="authenticated"} 2
gatehouse_authn_decisions_total{verdict="error"} 2
gatehouse_authn_decisions_total{verdict="revoked"} 2
gatehouse_authn_decisions_total{verdict="unknown"} 4
`, "gatehouse_authn_decisions_total")
}

func TestReloads(t *testing.T) {
	var reloads meter.Reloads
	expect := told(t, nil, reloads.Families()...)
	reloads.Watch("audit policy")
	reloads.Count("token file", errors.New("bad"))
	reloads.Count("token file", nil)
	reloads.Count("token file", errors.New("bad"))
	expect(`
# HELP gatehouse_settings_reloads_total [ALPHA] Changed settings files, by what the file is and whether it was taken.
# TYPE gatehouse_settings_reloads_total counter
gatehouse_settings_reloads_total{file="audit policy",result="refused"} 0
gatehouse_settings_reloads_total{file="audit policy",result="taken"} 0
gatehouse_settings_reloads_total{file="token file",result="refused"} 2
gatehouse_settings_reloads_total{file="token file",result="taken"} 1
# HELP gatehouse_settings_stale [ALPHA] 1 where the settings file that is on disk is not in force, because it was refused.
# TYPE gatehouse_settings_stale gauge
gatehouse_settings_stale{file="audit policy"} 0
gatehouse_settings_stale{file="token file"} 1
`)
}

// TestCertificates serves one certificate, and then has another on disk.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tls.crt")
	first, second := issue(t, 2_000_000_000), issue(t, 2_100_000_000)
	put := func(c tls.Certificate) {
		t.Helper()
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The server asks for a certificate of the client, as attach may; none is sent.
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{first}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	put(first)
	watched := meter.NewCertificates(
		meter.Certificate{Name: "serving", File: file, Address: listener.Addr().String()},
		meter.Certificate{Name: "ca", File: file},
		meter.Certificate{Name: "gone", File: filepath.Join(dir, "none")},
		meter.Certificate{Name: "no file"},
	)
	expect := told(t, nil, watched.Families()...)
	text := func(disk, unserved, failures string) string {
		return strings.NewReplacer("DISK", disk, "UNSERVED", unserved, "FAILURES", failures).Replace(`
# HELP gatehouse_pki_certificate_check_failures_total [ALPHA] Looks at a certificate, on disk or as it is served, that failed.
# TYPE gatehouse_pki_certificate_check_failures_total counter
gatehouse_pki_certificate_check_failures_total FAILURES
# HELP gatehouse_pki_certificate_expiry_timestamp_seconds [ALPHA] When the certificate on disk ends.
# TYPE gatehouse_pki_certificate_expiry_timestamp_seconds gauge
gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="ca"} DISK
gatehouse_pki_certificate_expiry_timestamp_seconds{certificate="serving"} DISK
# HELP gatehouse_pki_certificate_unserved [ALPHA] 1 where the certificate on disk is not the one that clients are shown.
# TYPE gatehouse_pki_certificate_unserved gauge
gatehouse_pki_certificate_unserved{certificate="serving"} UNSERVED
# HELP gatehouse_pki_served_certificate_expiry_timestamp_seconds [ALPHA] When the certificate that clients are shown ends.
# TYPE gatehouse_pki_served_certificate_expiry_timestamp_seconds gauge
gatehouse_pki_served_certificate_expiry_timestamp_seconds{certificate="serving"} 2e+09
`)
	}
	watched.Look(t.Context())
	expect(text("2e+09", "0", "1"))
	put(second)
	watched.Look(t.Context())
	expect(text("2.1e+09", "1", "2"))
}

func issue(t *testing.T, ends int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(ends), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(ends, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCountingAllocatesNothing keeps the cost of a counted decision at no memory.
func TestCountingAllocatesNothing(t *testing.T) {
	decided := meter.NewDecisions("authz", meter.AuthorizationVerdicts...)
	told(t, []*meter.Decisions{decided})
	if n := testing.AllocsPerRun(1000, func() { decided.End(decided.Begin(), meter.Allowed) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecisions(b *testing.B) {
	decided := meter.NewDecisions("authz", meter.AuthorizationVerdicts...)
	registry := metrics.NewKubeRegistry()
	if err := (meter.Registry{Register: registry.Register, CustomRegister: registry.CustomRegister}).Add([]*meter.Decisions{decided}); err != nil {
		b.Fatal(err)
	}
	b.Run("counted", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			decided.End(decided.Begin(), meter.Allowed)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				decided.End(decided.Begin(), meter.Allowed)
			}
		})
	})
}
