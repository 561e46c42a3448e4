package gates

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
	"github.com/gatehouse-io/gatehouse/test/e2e/spans"
)

// tracedRequest is a request over HTTP and what came of it.
type tracedRequest struct {
	code int
	id   string // audit ID
}

// requested sends a request.
func requested(t *testing.T, s *server.Server, config *rest.Config, method, path, body, traceparent string) tracedRequest {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	passes(t, err)
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	passes(t, err)
	r.Header.Set("Content-Type", "application/json")
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	answer, err := client.Do(r)
	passes(t, err)
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	passes(t, err)
	return tracedRequest{answer.StatusCode, answer.Header.Get("Audit-Id")}
}

// treeOf waits until the trace of a request has settled, and returns its spans by name, its
// root under "". There is one root, every other span is below it, and none is from
// another trace.
func treeOf(t *testing.T, c *spans.Collector, id string, also ...string) map[string]spans.Span {
	t.Helper()
	var root spans.Span
	byName := map[string]spans.Span{}
	server.Eventually(t, patience, func(context.Context) error {
		first := c.Find("authentication", "gatehouse.audit.id", id)
		if len(first) != 1 {
			return notYet("%d spans of the authentication of %s", len(first), id)
		}
		clear(byName)
		all := c.Trace(first[0].TraceId)
		known := map[string]bool{}
		for _, span := range all {
			known[string(span.SpanId)] = true
		}
		roots := 0
		for _, span := range all {
			if !known[string(span.ParentSpanId)] {
				roots++
				root = span
			}
			byName[span.Name] = span
		}
		byName[""] = root
		for _, name := range append(also, "audit") {
			if _, ok := byName[name]; !ok {
				return notYet("no span %q of %s yet", name, id)
			}
		}
		if roots != 1 {
			return notYet("the trace has %d roots", roots)
		}
		return nil
	})
	if root.Kind.String() != "SPAN_KIND_SERVER" || root.Attribute("gatehouse.audit.id") != id {
		t.Errorf("the root is %v", root.Span)
	}
	for name, span := range byName {
		if span.Attribute("gatehouse.gate.name") != "" && span.Attribute("gatehouse.audit.id") != id {
			t.Errorf("%s is not about %s: %v", name, id, span.Span)
		}
	}
	return byName
}

// said holds a span's attributes against those wanted.
func said(t *testing.T, span spans.Span, want map[string]string) {
	t.Helper()
	for key, part := range want {
		if got := span.Attribute("gatehouse." + key); !strings.Contains(got, part) || part == "" && got != "" {
			t.Errorf("%s: %s is %q, want %q", span.Name, key, got, part)
		}
	}
}

// TestTrace holds one trace a request, over TLS to the collector, with a span for each
// gate, against what became of the request and the audit log.
func TestTrace(t *testing.T) {
	t.Parallel()
	identity := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(identity.Close)
	c := spans.Start(t, &tls.Config{Certificates: identity.TLS.Certificates, NextProtos: []string{"h2"}})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	passes(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: identity.Certificate().Raw}), 0o600))
	s := server.Start(t, server.Options{Config: fmt.Sprintf("tracing: {endpoint: %q, caFile: %q, samplingRatePerMillion: 1000000}", c.Address, ca)})
	admin := s.AdminConfig(t)
	ns := namespace(t, server.Client(t, admin))
	const marker = "marker-in-a-secret-5d21"
	inNamespace := "/api/v1/namespaces/" + ns + "/"

	t.Run("a Secret is made", func(t *testing.T) {
		a := requested(t, s, admin, "POST", inNamespace+"secrets?fieldManager=x", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"k":"`+marker+`"}}`, "")
		if a.code != http.StatusCreated {
			t.Fatalf("HTTP %d", a.code)
		}
		tree := treeOf(t, c, a.id, "authorization", "Create", "Create etcd3", "encryption", "etcdserverpb.KV/Txn", "admission mutate GatehousePolicy", "admission validate GatehousePolicy")
		said(t, tree["authentication"], map[string]string{"gate.verdict": "allow", "gate.part": "client certificate"})
		said(t, tree["authorization"], map[string]string{"gate.verdict": "allow", "gate.part": "RBAC", "gate.sources": "ClusterRoleBinding gatehouse:", "gate.reason": "RBAC: allowed"})
		said(t, tree["encryption"], map[string]string{"gate.verdict": "mutate", "gate.part": "secretbox"})
		said(t, tree["admission validate GatehousePolicy"], map[string]string{"gate.verdict": "allow", "admission.phase": "validate"})
		said(t, tree["audit"], map[string]string{"gate.verdict": "allow", "audit.stage": "ResponseComplete"})
		if event := oneEvent(t, s, a.id); string(event.AuditID) != a.id || event.Verb != "create" {
			t.Errorf("event %+v", event)
		}
		if got := tree[""].Name; got != "POST /api/v1/namespaces/{:namespace}/secrets" {
			t.Errorf("the root is %s", got)
		}
		// What is written to etcd is within the handler, and what it is encrypted by within that.
		if !bytes.Equal(tree["Create etcd3"].ParentSpanId, tree["Create"].SpanId) || !bytes.Equal(tree["encryption"].ParentSpanId, tree["Create etcd3"].SpanId) {
			t.Error("encryption is not within the write to etcd, or that not within the handler")
		}
	})
	t.Run("nobody may", func(t *testing.T) {
		a := requested(t, s, s.UserConfig(t, "nina"), "GET", inNamespace+"secrets", "", "")
		tree := treeOf(t, c, a.id, "authorization")
		said(t, tree["authorization"], map[string]string{"gate.verdict": "no_opinion"})
		if a.code != http.StatusForbidden || tree[""].Attribute("http.response.status_code") != "403" {
			t.Errorf("HTTP %d, and %s in the trace", a.code, tree[""].Attribute("http.response.status_code"))
		}
		oneEvent(t, s, a.id)
	})
	t.Run("nobody is", func(t *testing.T) {
		const token = "a-token-nobody-knows-77e1"
		a := requested(t, s, s.TokenConfig(t, token), "GET", inNamespace+"secrets", "", "")
		tree := treeOf(t, c, a.id)
		said(t, tree["authentication"], map[string]string{"gate.verdict": "deny"})
		if a.code != http.StatusUnauthorized || tree[""].Attribute("http.response.status_code") != "401" {
			t.Errorf("HTTP %d, and %s in the trace", a.code, tree[""].Attribute("http.response.status_code"))
		}
		if strings.Contains(c.Text(), token) {
			t.Error("a span holds the token")
		}
		oneEvent(t, s, a.id)
	})
	t.Run("a policy refuses", func(t *testing.T) {
		policies := server.Dynamic(t, admin).Resource(v1alpha1.SchemeGroupVersion.WithResource("builtinpolicies"))
		_, err := policies.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "gatehouse.io/v1alpha1", "kind": "BuiltinPolicies", "metadata": map[string]any{"name": "all"},
			"spec": map[string]any{"policies": []any{map[string]any{"name": "DisallowHostPID", "action": "Enforce"}}},
		}}, create)
		passes(t, err)
		open := namespace(t, server.Client(t, admin), "pod-security.kubernetes.io/enforce=privileged")
		pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"hostPID":true,"containers":[{"name":"c","image":"i"}]}}`
		var a tracedRequest
		server.Eventually(t, patience, func(context.Context) error {
			if a = requested(t, s, admin, "POST", "/api/v1/namespaces/"+open+"/pods?dryRun=All", pod, ""); a.code != http.StatusForbidden {
				return notYet("HTTP %d", a.code)
			}
			return nil
		})
		tree := treeOf(t, c, a.id, "admission validate GatehousePolicy")
		said(t, tree["admission validate GatehousePolicy"], map[string]string{"gate.verdict": "deny", "gate.part": "GatehousePolicy", "gate.sources": "BuiltinPolicies all DisallowHostPID", "gate.reason": "hostPID"})
		baseline := requested(t, s, admin, "POST", inNamespace+"pods", pod, "")
		tree = treeOf(t, c, baseline.id)
		said(t, tree["admission validate PodSecurity"], map[string]string{"gate.verdict": "deny", "gate.part": "PodSecurity", "gate.reason": "violates PodSecurity"})
		passes(t, policies.Delete(t.Context(), "all", metav1.DeleteOptions{}))
	})
	t.Run("whose traceparent counts", func(t *testing.T) {
		const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
		traceparent := "00-" + theirs + "-00f067aa0ba902b7-01"
		a := requested(t, s, s.UserConfig(t, "prometheus", "system:monitoring"), "GET", "/livez", "", traceparent)
		if got := hex.EncodeToString(c.Await(t, "authentication", "gatehouse.audit.id", a.id).TraceId); got != theirs {
			t.Errorf("who monitors is in trace %s", got)
		}
		a = requested(t, s, s.UserConfig(t, "nina"), "GET", inNamespace+"pods", "", traceparent)
		tree := treeOf(t, c, a.id)
		if got := hex.EncodeToString(tree[""].TraceId); got == theirs || len(tree[""].Links) != 1 || hex.EncodeToString(tree[""].Links[0].TraceId) != theirs {
			t.Errorf("anybody is in trace %s, with links %v", got, tree[""].Links)
		}
	})
	if strings.Contains(c.Text(), marker) {
		t.Error("a span holds a Secret's value")
	}
}

// TestDeadCollector has a collector that takes connections and never answers: requests
// are as fast as ever, the log says it, and the server stops in time.
func TestDeadCollector(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	passes(t, err)
	defer silent.Close()
	s := server.Start(t, server.Options{Config: fmt.Sprintf("tracing: {endpoint: %q, samplingRatePerMillion: 1000000}", silent.Addr())})
	admin := s.Admin(t)
	const requests = 300
	began := time.Now()
	for range requests {
		_, err := admin.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
		passes(t, err)
	}
	// Each that waited for the collector would take as long as an export may: seconds.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%d requests took %v", requests, took)
	}
	passes(t, silent.Close())
	server.Eventually(t, 2*patience, func(context.Context) error {
		if !strings.Contains(s.Log(), "Traces cannot be sent to the collector at "+silent.Addr().String()) {
			return notYet("the log does not say that traces are lost")
		}
		return nil
	})
	began = time.Now()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
