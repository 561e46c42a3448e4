package authn

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// A certificate that a list names is refused on the connection it has open.
func TestCRL(t *testing.T) {
	g := shared()
	const hour = time.Hour
	corpEmpty, clusterEmpty := g.corp.crl(t, hour), g.cluster.crl(t, hour)
	writeFile(t, g.crl, corpEmpty.pem()+clusterEmpty.pem())

	cora, carl := g.corp.issue(t, identity{user: "cora"}), g.cluster.issue(t, identity{user: "carl"})
	for _, c := range []struct {
		name string
		by   *authority
		cert *credential
		file func(ofIssuer revocationList) string
	}{
		{"in PEM, of the cluster CA", g.cluster, carl, func(l revocationList) string { return corpEmpty.pem() + l.pem() }},
		{"in PEM, of a CA in clientCAFile", g.corp, cora, func(l revocationList) string { return l.pem() + clusterEmpty.pem() }},
		{"in DER", g.cluster, carl, func(l revocationList) string { return string(l) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := g.connect(t, g.certificate(t, c.cert))
			stands := g.connect(t, g.certificate(t, c.by.issue(t, identity{user: "neighbour"})))
			writeFile(t, g.crl, c.file(c.by.crl(t, hour, c.cert)))
			want := fmt.Sprintf("CRL/%s: keyCompromise (certificate %X of %q)", g.crl, c.cert.cert.SerialNumber, c.cert.cert.Issuer.String())
			if reason := live.awaitRevoked(t); reason != want {
				t.Errorf("the audit event says %q, want %q", reason, want)
			}
			if status, info := stands.ask(t); status != 201 || info.Conn != stands.conn {
				t.Errorf("the neighbour's request on its own connection: status %d", status)
			}
			writeFile(t, g.crl, c.file(c.by.crl(t, hour)))
			live.awaitLetIn(t)
			// The next case writes lists anew; they must not be older than these.
			corpEmpty, clusterEmpty = g.corp.crl(t, hour), g.cluster.crl(t, hour)
		})
	}
	t.Run("an older list does not take the place of a newer one", func(t *testing.T) {
		live := g.connect(t, g.certificate(t, cora))
		older, newer := g.corp.crl(t, hour), g.corp.crl(t, hour, cora)
		writeFile(t, g.crl, newer.pem()+clusterEmpty.pem())
		live.awaitRevoked(t)
		mark := len(g.Log())
		writeFile(t, g.crl, older.pem()+clusterEmpty.pem())
		g.awaitLog(t, mark, "which is older than")
		g.refused(t, g.certificate(t, cora), "keyCompromise")
		writeFile(t, g.crl, g.corp.crl(t, hour).pem()+clusterEmpty.pem())
		live.awaitLetIn(t)
	})
	t.Run("a list of another CA is not taken", func(t *testing.T) {
		live := g.connect(t, g.certificate(t, cora))
		writeFile(t, g.crl, g.corp.crl(t, hour, cora).pem()+clusterEmpty.pem())
		live.awaitRevoked(t)
		impostor := newAuthority(t, "corp")
		impostor.lists = g.corp.lists + 100
		mark := len(g.Log())
		writeFile(t, g.crl, impostor.crl(t, hour).pem()+clusterEmpty.pem())
		g.awaitLog(t, mark, g.crl)
		g.refused(t, g.certificate(t, cora), "keyCompromise")
		writeFile(t, g.crl, g.corp.crl(t, hour).pem()+clusterEmpty.pem())
		live.awaitLetIn(t)
	})
	t.Run("an expired list refuses every certificate of its CA, and no other", func(t *testing.T) {
		live, stands := g.connect(t, g.certificate(t, cora)), g.connect(t, g.certificate(t, carl))
		writeFile(t, g.crl, g.corp.crl(t, -time.Minute).pem()+clusterEmpty.pem())
		if reason := live.awaitRevoked(t); !strings.Contains(reason, "expired at") {
			t.Errorf("the audit event says %q, want that the list has expired", reason)
		}
		if status, info := stands.ask(t); status != 201 || info.Conn != stands.conn {
			t.Errorf("a certificate of the cluster CA on its own connection: status %d", status)
		}
		writeFile(t, g.crl, g.corp.crl(t, hour).pem()+clusterEmpty.pem())
		live.awaitLetIn(t)
	})
	t.Run("a list expires while it is in force", func(t *testing.T) {
		writeFile(t, g.crl, g.corp.crl(t, 3*time.Second).pem()+clusterEmpty.pem())
		soonRefused(t, 2*soon, g.certificate(t, cora))
		writeFile(t, g.crl, g.corp.crl(t, hour).pem()+clusterEmpty.pem())
		soonPassesAs(t, soon, g.certificate(t, cora), "cora")
	})
}

// A server does not start with a list that it cannot believe.
func TestCRLRefusesTheStart(t *testing.T) {
	for _, c := range []struct{ name, file, says string }{
		{"of another CA", newAuthority(t, "another").crl(t, time.Hour).pem(), "clients.crl"},
		{"no list at all", "not a list", "clients.crl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "gh-crl-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			writeFile(t, filepath.Join(dir, "clients.crl"), c.file)
			s := server.Launch(t, server.Options{Dir: filepath.Join(dir, "data"), Config: "authentication: {clientCRLFile: clients.crl}"})
			if code := s.Wait(t, server.ReadyTimeout); code == 0 {
				t.Error("exit code 0")
			}
			for _, want := range []string{"error: ", "hint: ", c.says} {
				if !strings.Contains(s.Log(), want) {
					t.Errorf("does not say %q:\n%s", want, s.Log())
				}
			}
			if strings.Contains(s.Log(), "goroutine ") {
				t.Errorf("shows a stack:\n%s", s.Log())
			}
		})
	}
}
