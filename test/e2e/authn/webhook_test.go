package authn

import (
	"encoding/base64"
	"testing"
)

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestTokenReviewService(t *testing.T) {
	t.Parallel()
	g := shared()
	t.Run("a token it knows passes", func(t *testing.T) {
		who := passesAs(t, g.bearer(t, reviewedToken), "reviewed:rosa", "reviewed:ops")
		if who.UID != "r-1" {
			t.Errorf("UID is %q, want r-1", who.UID)
		}
	})
	t.Run("refused: a token it does not know", func(t *testing.T) {
		before := g.reviewer.asked.Load()
		g.refused(t, g.bearer(t, "a-token-that-nobody-knows"), "")
		if g.reviewer.asked.Load() == before {
			t.Error("it was not asked")
		}
	})
	t.Run("refused: it is down", func(t *testing.T) {
		g.reviewer.down.Store(true)
		defer g.reviewer.down.Store(false)
		g.refused(t, g.bearer(t, "a-token-in-the-dark"), "EOF")
		// What it vouched for counts no longer than the cache keeps it.
		soonRefused(t, 4*afterCache, g.bearer(t, reviewedToken))
	})
	soonPassesAs(t, soon, g.bearer(t, reviewedToken), "reviewed:rosa")
}
