package authn

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const lenientSettings = `
authentication: {clientCAFile: corp.crt, clientCRLFile: clients.crl, expiredCRL: Accept}
authorization: {systemMastersBypass: true}
`

// lenient is a server with the two settings that open a gate.
var lenient = sync.OnceValue(func() *gatehouse {
	dir, err := os.MkdirTemp("", "gh-authn-")
	if err != nil {
		panic(err)
	}
	run.Cleanup(func() { os.RemoveAll(dir) })
	g := &gatehouse{corp: newAuthority(run, "corp"), crl: filepath.Join(dir, "clients.crl")}
	writeFile(run, filepath.Join(dir, "corp.crt"), g.corp.pem())
	writeFile(run, g.crl, g.corp.crl(run, time.Hour).pem())
	g.Server = server.Start(run, server.Options{Dir: filepath.Join(dir, "data"), Config: lenientSettings})
	g.cluster = loadAuthority(run, g.Path("pki", "cluster-ca"))
	return g
})

func TestExpiredCRLAccepted(t *testing.T) {
	g := lenient()
	revoked, good := g.corp.issue(t, identity{user: "cora"}), g.corp.issue(t, identity{user: "cleo"})
	live := g.connect(t, g.certificate(t, revoked))
	writeFile(t, g.crl, g.corp.crl(t, -time.Minute, revoked).pem())
	live.awaitRevoked(t)
	passesAs(t, g.certificate(t, good), "cleo")
}
