package sink

import (
	"context"
	"net"
	"testing"
	"time"
)

func contextOf(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// eventually waits until something is true, and fails where it does not become so.
func eventually(t *testing.T, most time.Duration, true func() bool, otherwise ...func()) {
	t.Helper()
	for deadline := time.Now().Add(most); !true(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, f := range otherwise {
				f()
			}
			t.Fatalf("it does not happen in %v", most)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
