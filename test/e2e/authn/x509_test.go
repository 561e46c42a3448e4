package authn

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestClientCertificate(t *testing.T) {
	g := shared()
	impostor := newAuthority(t, g.cluster.cert.Subject.CommonName)
	hour := time.Hour
	for _, c := range []struct {
		name string
		by   *authority
		who  identity
		why  string // "" passes
	}{
		{name: "of the cluster CA", by: g.cluster, who: identity{user: "ann", groups: []string{"devs", "ops"}}},
		{name: "of a CA in clientCAFile", by: g.corp, who: identity{user: "ben", groups: []string{"devs", "ops"}}},
		{name: "of another CA", by: newAuthority(t, "nobody"), who: identity{user: "ann"}, why: "certificate signed by unknown authority"},
		{name: "of another CA of the same name", by: impostor, who: identity{user: "ann"}, why: "certificate signed by unknown authority"},
		{name: "expired", by: g.cluster, who: identity{user: "ann", notBefore: time.Now().Add(-2 * hour), notAfter: time.Now().Add(-hour)},
			why: "certificate has expired or is not yet valid"},
		{name: "not yet valid", by: g.cluster, who: identity{user: "ann", notBefore: time.Now().Add(hour), notAfter: time.Now().Add(2 * hour)},
			why: "certificate has expired or is not yet valid"},
		{name: "for servers", by: g.cluster, who: identity{user: "ann", usage: x509.ExtKeyUsageServerAuth},
			why: "certificate specifies an incompatible key usage"},
		{name: "of the server's own name", by: g.cluster, who: identity{user: "system:apiserver"},
			why: "is the server's own and is not accepted from outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := g.certificate(t, c.by.issue(t, c.who))
			if c.why == "" {
				passesAs(t, config, c.who.user, c.who.groups...)
				return
			}
			g.refused(t, config, c.why)
		})
	}
}

// A name that is the server's own is refused whichever way it comes, and the
// audit event says so.
func TestServersOwnName(t *testing.T) {
	g := shared()
	const own = "system:apiserver"
	writeFile(t, g.tokens, "the-token-of-an-impostor,system:apiserver,1\n")
	defer writeFile(t, g.tokens, "")
	for name, config := range map[string]func() *restConfig{
		"certificate":  func() *restConfig { return g.user(t, own) },
		"static token": func() *restConfig { return g.bearer(t, "the-token-of-an-impostor") },
		"front proxy":  func() *restConfig { return g.frontProxy(t, headers{user: own}) },
	} {
		t.Run(name, func(t *testing.T) {
			const why = "is the server's own and is not accepted from outside"
			if name == "static token" {
				// The file may not have been read yet.
				awaitRefusal(t, g, config(), why)
			}
			event := g.refused(t, config(), why)
			if got := event.Annotations["authentication.gatehouse.io/refused"]; !strings.Contains(got, why) {
				t.Errorf("the audit event's reason is %q, want %q", got, why)
			}
		})
	}
}
