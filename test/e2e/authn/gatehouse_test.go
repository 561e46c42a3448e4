package authn

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// sayEverything has the server log as much as it can: nothing of it may be a secret.
var sayEverything = []string{"--log-level", "debug"}

// gatehouse is a running server and the files and services it trusts.
type gatehouse struct {
	*server.Server

	// cluster is the server's own CA; corp is the one of clientCAFile.
	cluster, corp *authority

	// crl, tokens and issuers are the paths of the files it reads again when they
	// change.
	crl, tokens, issuers string

	// staff and partners are the identity providers it knows from the start.
	staff, partners *provider

	// reviewer is its token review service.
	reviewer *reviewer
}

const everyWayIn = `
authentication:
  clientCAFile: corp.crt
  clientCRLFile: clients.crl
  tokenFile: tokens.csv
  configFile: issuers.yaml
  webhook: {configFile: reviewer.kubeconfig, cacheTTL: 1s}
`

// shared is the server most tests use, with every way in switched on.
var shared = sync.OnceValue(func() *gatehouse {
	dir, err := os.MkdirTemp("", "gh-authn-")
	if err != nil {
		panic(err)
	}
	run.Cleanup(func() { os.RemoveAll(dir) })
	g := &gatehouse{
		corp:     newAuthority(run, "corp"),
		crl:      filepath.Join(dir, "clients.crl"),
		tokens:   filepath.Join(dir, "tokens.csv"),
		issuers:  filepath.Join(dir, "issuers.yaml"),
		staff:    newProvider(run),
		partners: newProvider(run),
		reviewer: newReviewer(run),
	}
	writeFile(run, filepath.Join(dir, "corp.crt"), g.corp.pem())
	writeFile(run, g.crl, g.corp.crl(run, time.Hour).pem())
	writeFile(run, g.tokens, "")
	writeFile(run, g.issuers, issuersFile(staffIssuer(g.staff), partnerIssuer(g.partners)))
	writeFile(run, filepath.Join(dir, "reviewer.kubeconfig"), g.reviewer.kubeconfig())

	g.Server = server.Start(run, server.Options{Dir: filepath.Join(dir, "data"), Config: everyWayIn, Args: sayEverything})
	g.cluster = loadAuthority(run, g.Path("pki", "cluster-ca"))
	run.started = g
	return g
})

// bearer presents a token.
func (g *gatehouse) bearer(t testing.TB, token string) *rest.Config {
	present(token)
	return g.TokenConfig(t, token)
}

// certificate presents a certificate.
func (g *gatehouse) certificate(t testing.TB, c *credential) *rest.Config {
	config := g.AnonymousConfig(t)
	config.CertData, config.KeyData = c.certPEM, c.keyPEM
	return config
}

// user is a client with a fresh certificate of the cluster CA.
func (g *gatehouse) user(t testing.TB, name string, groups ...string) *rest.Config {
	return g.certificate(t, g.cluster.issue(t, identity{user: name, groups: groups}))
}

// writeFile replaces a file in one step, as an editor or a kubelet does.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

var names struct {
	sync.Mutex
	last int
}

// uniqueName is prefix and a number that no other name of this run has.
func uniqueName(prefix string) string {
	names.Lock()
	defer names.Unlock()
	names.last++
	return fmt.Sprintf("%s-%d", prefix, names.last)
}
