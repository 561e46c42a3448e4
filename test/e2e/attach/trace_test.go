package attach

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
	"github.com/gatehouse-io/gatehouse/test/e2e/spans"
)

// TestTrace has an API server that traces ask gatehouse attach, which samples nothing of
// its own: what attach makes of a request is in the trace of the request, which has the
// ID of its audit event.
func TestTrace(t *testing.T) {
	gatehouse, err := server.Binary()
	passes(t, err)
	c := spans.Start(t, nil)
	s := server.Start(t, server.Options{Config: fmt.Sprintf("admission: {disable: [GatehousePolicy]}\ntracing: {endpoint: %q, samplingRatePerMillion: 1000000}", c.Address)})
	dir, address := t.TempDir(), server.FreeAddress(t)
	write(t, filepath.Join(dir, "attach.yaml"), fmt.Appendf(nil, `apiVersion: gatehouse.io/v1alpha1
kind: AttachConfiguration
listen: %s
cluster: {kubeconfig: %s}
tls: {dataDir: tls}
authentication: {bootstrapTokens: true}
audit: {store: {dataDir: events}}
tracing: {endpoint: %q, samplingRatePerMillion: 0}
logging: {level: debug}
`, address, s.Kubeconfig(), c.Address))
	attached := launch(t, gatehouse, "attach", "--config", filepath.Join(dir, "attach.yaml"))
	insecure := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	server.Eventually(t, 30*time.Second, func(context.Context) error {
		answer, err := insecure.Get("https://" + address + "/readyz")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})

	t.Run("by the API server", func(t *testing.T) {
		ca, err := os.ReadFile(filepath.Join(dir, "tls", "attach-ca.pem"))
		passes(t, err)
		admin := s.Admin(t)
		url := "https://" + address + "/validate"
		fail, none := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
		_, err = admin.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "attach"},
			Webhooks: []admissionregistrationv1.ValidatingWebhook{{
				Name: "validate.gatehouse.io", ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: ca},
				Rules: []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				}},
				FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			}},
		}, metav1.CreateOptions{})
		passes(t, err)
		_, err = server.Dynamic(t, s.AdminConfig(t)).Resource(v1alpha1.SchemeGroupVersion.WithResource("builtinpolicies")).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "gatehouse.io/v1alpha1", "kind": "BuiltinPolicies", "metadata": map[string]any{"name": "all"},
			"spec": map[string]any{"policies": []any{map[string]any{"name": "DisallowHostPID", "action": "Enforce"}}},
		}}, metav1.CreateOptions{})
		passes(t, err)
		_, err = admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "open", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
		}}, metav1.CreateOptions{})
		passes(t, err)
		server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
			_, err := admin.CoreV1().Pods("open").Create(ctx, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{HostPID: true, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err == nil || !strings.Contains(err.Error(), "DisallowHostPID") {
				return fmt.Errorf("a pod of the host's processes: %v", err)
			}
			return nil
		})
		judged := c.Await(t, "admission validate GatehousePolicy", "gatehouse.gate.verdict", "deny")
		if got := judged.Attribute("gatehouse.gate.sources"); judged.Mount != "attach" || got != "BuiltinPolicies all DisallowHostPID" {
			t.Errorf("the span of the policies is from %s, and says %s", judged.Mount, got)
		}
		// The API server's part of the trace comes when its request has ended.
		server.Eventually(t, 30*time.Second, func(context.Context) error {
			var calls, roots, receives int
			id := ""
			for _, span := range c.Trace(judged.TraceId) {
				switch {
				case span.Mount == "serve" && len(span.ParentSpanId) == 0:
					roots++
					id = span.Attribute("gatehouse.audit.id")
				case span.Name == "Call validating webhook":
					calls++
				case span.Mount == "attach" && span.Name == "POST /validate":
					receives++
				}
			}
			if roots != 1 || calls != 1 || receives != 1 {
				return fmt.Errorf("the trace has %d roots, %d calls and %d reviews", roots, calls, receives)
			}
			if events := s.AuditEvents(t, id, `"resource":"pods"`, `"verb":"create"`); len(events) != 1 {
				return fmt.Errorf("%d audit events have the trace's audit ID %q", len(events), id)
			}
			return nil
		})
	})
	t.Run("endpoints", func(t *testing.T) {
		const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
		const token = "abcdef.fedcba9876543210"
		for path, asked := range map[string]struct{ body, span, verdict string }{
			"/authorize":    {`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"x","nonResourceAttributes":{"verb":"get","path":"/x"}}}`, "authorization", "no_opinion"},
			"/authenticate": {`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"` + token + `"}}`, "authentication", "no_opinion"},
			"/audit":        {`{"apiVersion":"audit.k8s.io/v1","kind":"EventList","items":[]}`, "audit", "allow"},
		} {
			send := func(traceparent string) string {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+path, strings.NewReader(asked.body))
				passes(t, err)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Traceparent", traceparent)
				answer, err := insecure.Do(r)
				passes(t, err)
				defer answer.Body.Close()
				said, _ := io.ReadAll(answer.Body)
				if answer.StatusCode != http.StatusOK {
					t.Errorf("%s: %s %s", path, answer.Status, said)
				}
				return answer.Header.Get("Audit-Id")
			}
			unsampled := send("00-" + theirs + "-00f067aa0ba902b7-00")
			id := send("00-" + theirs + "-00f067aa0ba902b7-01")
			span := c.Await(t, asked.span, "gatehouse.audit.id", id)
			if hex.EncodeToString(span.TraceId) != theirs || span.Attribute("gatehouse.gate.verdict") != asked.verdict || span.Mount != "attach" {
				t.Errorf("%s: %s %v", path, span.Mount, span.Span)
			}
			if len(c.Find(asked.span, "gatehouse.audit.id", unsampled)) > 0 {
				t.Errorf("%s: what its sender does not sample is traced", path)
			}
		}
		if strings.Contains(c.Text(), token) || strings.Contains(attached.log.String(), token) {
			t.Error("a span or the log holds the token")
		}
	})
}
