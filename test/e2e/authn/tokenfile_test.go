package authn

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func TestTokenFile(t *testing.T) {
	g := shared()
	defer writeFile(t, g.tokens, "")
	tom, tina := g.bearer(t, "the-token-of-tom"), g.bearer(t, "the-token-of-tina")
	g.refused(t, tom, "")

	writeFile(t, g.tokens, "the-token-of-tom,tom,tom-1,\"devs,ops\"\n")
	soonPassesAs(t, soon, tom, "tom", "devs", "ops")
	if who := passesAs(t, tom, "tom"); who.UID != "tom-1" {
		t.Errorf("UID is %q, want tom-1", who.UID)
	}
	g.refused(t, tina, "")

	t.Run("a bad file changes nothing, and is reported", func(t *testing.T) {
		mark := len(g.Log())
		writeFile(t, g.tokens, "the-token-of-tom,tom,tom-1\nthe-token-of-tina,tina\n")
		g.awaitLog(t, mark, g.tokens+":2")
		passesAs(t, tom, "tom")
		g.refused(t, tina, "")
	})
	t.Run("a token that is taken out is refused", func(t *testing.T) {
		writeFile(t, g.tokens, "the-token-of-tina,tina,tina-1\n")
		soonRefused(t, soon, tom)
		passesAs(t, tina, "tina")
	})
}

// awaitRefusal waits until the credential is refused for this reason.
func awaitRefusal(t testing.TB, g *gatehouse, config *rest.Config, why string) {
	t.Helper()
	mark := len(g.Log())
	server.Eventually(t, soon, func(ctx context.Context) error {
		if _, err := whoAmI(ctx, t, config); err == nil {
			return fmt.Errorf("let in")
		}
		if !strings.Contains(g.Log()[mark:], why) {
			return fmt.Errorf("the log does not say %q", why)
		}
		return nil
	})
}
