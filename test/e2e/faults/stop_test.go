package faults

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// stopLimit is how long a stop may take.
const stopLimit = 10 * time.Second

// ponder lets a webhook have its say over ConfigMaps of one name after a while.
// asked has an element for each review that has begun.
func ponder(t *testing.T, s *server.Server, name string, takes time.Duration) (asked chan struct{}) {
	t.Helper()
	asked = make(chan struct{}, 10)
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		asked <- struct{}{}
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
		review.Request = nil
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(func() { hook.CloseClientConnections(); hook.Close() })
	fail, none, seconds := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, int32(30)
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: name + ".example.org", FailurePolicy: &fail, SideEffects: &none, TimeoutSeconds: &seconds,
			AdmissionReviewVersions: []string{"v1"},
			MatchConditions:         []admissionregistrationv1.MatchCondition{{Name: "name", Expression: fmt.Sprintf("object.metadata.name.startsWith('%s')", name)}},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &hook.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}
	if _, err := s.Admin(t).AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// In force once a dry run is asked about.
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _ = s.Admin(t).CoreV1().ConfigMaps("default").Create(ctx, configMap(name+"-probe"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		select {
		case <-asked:
			return nil
		default:
			return fmt.Errorf("the webhook is not asked")
		}
	})
	return asked
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// A stop lets a request that is under way finish, and waits for none that never will.
func TestStop(t *testing.T) {
	s := server.Start(t, server.Options{})
	client := s.Admin(t)
	watch, err := client.CoreV1().ConfigMaps("").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	soon, never := ponder(t, s, "soon", 2*time.Second), ponder(t, s, "never", time.Minute)
	answers := make(chan error, 2)
	for _, name := range []string{"soon", "never"} {
		go func() {
			_, err := client.CoreV1().ConfigMaps("default").Create(context.Background(), configMap(name), metav1.CreateOptions{})
			answers <- err
		}()
	}
	<-soon
	<-never
	halfSaid(t, s)

	begun := time.Now()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	within(t, stopLimit, "the stop", begun)
	noTrace(t, s.Log())
	if err := <-answers; err != nil {
		t.Errorf("a request of two seconds that was under way is not answered: %v", err)
	}
	if err := <-answers; err == nil {
		t.Error("a request that never ends is answered")
	}

	again := s.Restart(t) // same directory, same address, at once
	if _, err := again.Admin(t).CoreV1().ConfigMaps("default").Get(t.Context(), "soon", metav1.GetOptions{}); err != nil {
		t.Errorf("what the stopped server answered last is gone: %v", err)
	}
}

// halfSaid opens a request whose body never comes to its end.
func halfSaid(t *testing.T, s *server.Server) {
	t.Helper()
	config, err := rest.TLSConfigFor(s.AdminConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	if err != nil {
		t.Fatal(err)
	}
}

// A stop that is asked for while the server starts is a stop like any other.
func TestStopInStart(t *testing.T) {
	for _, after := range []time.Duration{250, 400, 550, 700, 850, 1000} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			s := server.Launch(t, server.Options{})
			time.Sleep(after)
			begun := time.Now()
			if code := s.Stop(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
			within(t, stopLimit, "the stop", begun)
			noTrace(t, s.Log())
		})
	}
}

// A server whose etcd does not answer stops all the same.
func TestStopWithoutEtcd(t *testing.T) {
	c := startCluster(t)
	s := server.Start(t, server.Options{Args: c.flags()})
	c.line.freeze(true)
	defer c.line.freeze(false)
	time.Sleep(time.Second)
	begun := time.Now()
	if code := s.Stop(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	within(t, stopLimit, "the stop", begun)
	noTrace(t, s.Log())
}
