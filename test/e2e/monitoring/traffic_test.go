package monitoring

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// settled are objects that give every gate something to do.
const settled = `
apiVersion: gatehouse.io/v1alpha1
kind: BuiltinPolicies
metadata: {name: all}
spec:
  policies:
  - {name: DisallowHostPID, action: Enforce}
---
apiVersion: gatehouse.io/v1alpha1
kind: Guard
metadata: {name: no-leases-of-jane}
spec:
  subjects: {users: [jane]}
  verbs: [list]
  resources: [configmaps]
  reason: a test
---
apiVersion: gatehouse.io/v1alpha1
kind: Revocation
metadata: {name: mallory}
spec:
  user: {name: mallory, issuedBefore: "2100-01-01T00:00:00Z"}
  reason: a test
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-empty-configmaps}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]}
  validations: [{expression: "has(object.data)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-empty-configmaps}
spec: {policyName: no-empty-configmaps, validationActions: [Deny]}
`

func objects(t *testing.T, text string) (all []*unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq(text, "---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// traffic is what comes again and again, twice a second, until ctx ends.
func traffic(ctx context.Context, t *testing.T, s *server.Server, attach string) {
	config := s.AdminConfig(t)
	config.WarningHandler = rest.NoWarnings{} // Pod Security has one for each pod
	admin := server.Client(t, config)
	jane, mallory := server.Client(t, s.UserConfig(t, "jane")), server.Client(t, s.UserConfig(t, "mallory"))
	stranger, anonymous := server.Client(t, s.TokenConfig(t, "nobody-knows-this")), server.Client(t, s.AnonymousConfig(t))
	reviews := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	var n atomic.Int64
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		name := fmt.Sprintf("m-%d", n.Add(1))
		use(ctx, admin, name)
		_, _ = jane.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})    // no role
		_, _ = jane.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{}) // a Guard
		_, _ = mallory.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})    // revoked
		_, _ = stranger.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		_, _ = anonymous.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		for path, body := range reviewsOf(name) {
			resp, err := reviews.Post(attach+path, "application/json", bytes.NewReader([]byte(body)))
			if err == nil {
				resp.Body.Close()
			}
		}
	}
}

// use is what somebody with every right does.
func use(ctx context.Context, client kubernetes.Interface, name string) {
	core, meta := client.CoreV1(), metav1.ObjectMeta{Name: name}
	_, _ = core.Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	_, _ = core.Secrets("default").Get(ctx, name, metav1.GetOptions{})
	_, _ = core.Secrets("default").List(ctx, metav1.ListOptions{}) // what detection finds
	_, _ = core.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
	_, _ = core.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name + "-empty"}}, metav1.CreateOptions{})
	_, _ = core.ConfigMaps("default").List(ctx, metav1.ListOptions{})
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	_, _ = core.Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	host := pod.DeepCopy()
	host.Name, host.Spec.HostPID = name+"-host", true
	_, _ = core.Pods("default").Create(ctx, host, metav1.CreateOptions{})
	zero := int64(0)
	now := metav1.DeleteOptions{GracePeriodSeconds: &zero}
	_ = core.Pods("default").Delete(ctx, name, now)
	_ = core.Secrets("default").Delete(ctx, name, now)
	_ = core.ConfigMaps("default").Delete(ctx, name, now)
}

// reviewsOf are what an API server asks gatehouse attach, and the events it posts.
func reviewsOf(name string) map[string]string {
	pod := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"spec":{"hostPID":true,"containers":[{"name":"c","image":"i"}]}}`
	admission := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"` + name + `","kind":{"version":"v1","kind":"Pod"},"resource":{"version":"v1","resource":"pods"},"name":"p","namespace":"default","operation":"CREATE","userInfo":{"username":"jane"},"object":` + pod + `}}`
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	return map[string]string{
		"/authorize":    `{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"jane","resourceAttributes":{"verb":"list","resource":"secrets","namespace":"default"}}}`,
		"/authenticate": `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":"a-token-of-the-file"}}`,
		"/validate":     admission,
		"/mutate":       admission,
		"/audit": `{"apiVersion":"audit.k8s.io/v1","kind":"EventList","items":[{"level":"Metadata","auditID":"` + name + `","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/default/secrets","verb":"list",` +
			`"user":{"username":"jane"},"sourceIPs":["192.0.2.1"],"userAgent":"t","objectRef":{"resource":"secrets","namespace":"default","apiVersion":"v1"},"responseStatus":{"code":200},"requestReceivedTimestamp":"` + now + `","stageTimestamp":"` + now + `"}]}`,
	}
}

// scrape reads /metrics as a client of config.
func scrape(t *testing.T, config *rest.Config, url string) []byte {
	t.Helper()
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s, %v", resp.Status, err)
	}
	return text.Bytes()
}
