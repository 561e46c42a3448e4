package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// await waits for an alert of a rule whose summary or message has a text, and tells how
// long that was.
func await(t *testing.T, m *server.Alertmanager, rule, has string) (server.Told, time.Duration) {
	t.Helper()
	begun := time.Now()
	for deadline := begun.Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all, err := m.Alerts(t.Context(), rule)
		must(t, err)
		for _, a := range all {
			if mentions(&a, has) {
				return a, time.Since(begun)
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("within %v no alert of %s mentions %s: %+v", patience, rule, has, all)
		}
	}
}

func mentions(a *server.Told, text string) bool {
	for _, in := range a.Annotations {
		if strings.Contains(in, text) {
			return true
		}
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
