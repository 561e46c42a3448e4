package authn

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// connection is one HTTP/2 connection that is open and let in.
type connection struct {
	g         *gatehouse
	client    *http.Client
	userAgent string
	conn      net.Conn
}

// connect opens a connection of its own and checks that it is let in.
func (g *gatehouse) connect(t testing.TB, config *rest.Config) *connection {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		t.Fatal(err)
	}
	c := &connection{g: g, client: &http.Client{Transport: wrapped, Timeout: 10 * time.Second}, userAgent: uniqueName("live")}
	status, info := c.ask(t)
	if status != http.StatusCreated {
		t.Fatalf("not let in before the revocation: status %d", status)
	}
	c.conn = info.Conn
	if status, again := c.ask(t); status != http.StatusCreated || !again.Reused || again.Conn != c.conn {
		t.Fatalf("second request: status %d, on the same connection: %v", status, again.Reused)
	}
	return c
}

// ask sends a request and returns its status and the connection it went over.
func (c *connection) ask(t testing.TB) (int, httptrace.GotConnInfo) {
	t.Helper()
	var got httptrace.GotConnInfo
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { got = info }})
	const body = `{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.g.URL+"/apis/authentication.k8s.io/v1/selfsubjectreviews", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatalf("protocol %s, want HTTP/2", resp.Proto)
	}
	return resp.StatusCode, got
}

// awaitRevoked sends requests until one is refused, each over the connection
// that was open before, and returns the reason that its audit event gives.
func (c *connection) awaitRevoked(t testing.TB) string {
	t.Helper()
	begun, requests := time.Now(), 0
	for {
		status, info := c.ask(t)
		requests++
		if !info.Reused || info.Conn != c.conn {
			t.Fatalf("request %d went over another connection", requests)
		}
		if status == http.StatusUnauthorized {
			break
		}
		if status != http.StatusCreated || time.Since(begun) > soon {
			t.Fatalf("status %d after %v, want 401", status, time.Since(begun))
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("refused after %v, by request %d over the same connection", time.Since(begun).Round(time.Millisecond), requests)
	return c.g.auditEvent(t, c.userAgent).Annotations["authentication.gatehouse.io/revoked"]
}

// awaitLetIn waits until the credential counts again. The server has closed the
// connection it refused, so this is over another.
func (c *connection) awaitLetIn(t testing.TB) {
	t.Helper()
	logLatency(t, "let in again", func() {
		server.Eventually(t, soon, func(context.Context) error {
			if status, _ := c.ask(t); status != http.StatusCreated {
				return fmt.Errorf("status %d, want 201", status)
			}
			return nil
		})
	})
}
