package attach

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

const (
	hostPID = `apiVersion: gatehouse.io/v1alpha1
kind: BuiltinPolicies
metadata: {name: all}
spec: {policies: [{name: DisallowHostPID}]}
`
	goodPod = `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "NAME"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"hostPID": WANTED, "containers": [{"name": "c", "image": "i"}]}}}}`
)

// TestAClusterRestartsWithoutGatehouse stops the webhooks of a cluster whose
// failurePolicy is Fail, and then the API server: it comes back, what must start can be
// started, and nothing else gets past the policies. When Gatehouse is back, so is
// everything else.
func TestAClusterRestartsWithoutGatehouse(t *testing.T) {
	s := newStock(t)
	gatehouse, err := server.Binary()
	passes(t, err)
	address, health := server.FreeAddress(t), server.FreeAddress(t)
	settings := s.path("attach.yaml")
	write(t, settings, []byte(`apiVersion: gatehouse.io/v1alpha1
kind: AttachConfiguration
cluster: {kubeconfig: `+s.path("admin.kubeconfig")+`}
listen: "`+address+`"
healthListen: "`+health+`"
tls: {dataDir: `+s.path("attach")+`}
admission: {webhooks: Managed, url: "https://`+address+`"}
limits: {reviewTimeout: 2s}
`))
	attached := launch(t, gatehouse, "attach", "--config", settings)
	s.serve("--authorization-mode=RBAC")
	admin := s.path("admin.kubeconfig")
	printed := printManifests(t, "--data-dir", s.path("attach"), "--server", "https://"+address, "--folder", s.dir)
	if out, err := s.kubectl(admin, printed.text, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply the manifests: %v\n%s", err, out)
	}
	ready := func(context.Context) error { return ask(health, "/readyz?verbose", http.StatusOK) }
	server.Eventually(t, 60*time.Second, ready)
	if out, err := s.kubectl(admin, "", "create", "namespace", "shop"); err != nil {
		t.Fatal(out)
	}
	server.Eventually(t, time.Minute, func(context.Context) error {
		out, err := s.kubectl(admin, hostPID, "apply", "-f", "-")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	// apply is what kubectl says of a Deployment.
	apply := func(namespace, name, pid string) (string, error) {
		return s.kubectl(admin, strings.NewReplacer("NAME", name, "WANTED", pid).Replace(goodPod), "apply", "-n", namespace, "-f", "-")
	}
	judged := func(context.Context) error {
		if out, err := apply("shop", "bad", "true"); err == nil || !strings.Contains(out, "DisallowHostPID") {
			return errors.New("it is not judged: " + out)
		}
		return nil
	}
	server.Eventually(t, time.Minute, judged)
	if out, err := apply("shop", "good", "false"); err != nil {
		t.Fatal(out)
	}

	attached.kill()
	refused := func(when string) {
		t.Helper()
		if out, err := apply("shop", "bad", "true"); err == nil || strings.Contains(out, "created") {
			t.Errorf("%s, what a policy refuses gets in: %s", when, out)
		}
		if out, err := apply("shop", "other", "false"); err == nil || !strings.Contains(out, "failed calling webhook") {
			t.Errorf("%s, what nobody has judged gets in: %s", when, out)
		}
	}
	started := func(when string) {
		t.Helper()
		for _, namespace := range []string{"kube-system", "gatehouse-system"} {
			if out, err := apply(namespace, "starts", "true"); err != nil {
				t.Errorf("%s, nothing can be started in %s: %s", when, namespace, out)
			}
		}
		for _, args := range [][]string{{"create", "namespace", "new"}, {"create", "configmap", "c", "-n", "shop"}, {"create", "serviceaccount", "s", "-n", "shop"}} {
			if out, err := s.kubectl(admin, "", args...); err != nil && !strings.Contains(out, "already exists") {
				t.Errorf("%s, kubectl %v: %s", when, args, out)
			}
		}
	}
	refused("without Gatehouse")
	started("without Gatehouse")

	s.api.kill()
	s.api = s.api.again(t)
	server.Eventually(t, server.ReadyTimeout, func(context.Context) error {
		out, err := s.kubectl(admin, "", "get", "--raw", "/readyz")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	refused("after a restart without Gatehouse")
	started("after a restart without Gatehouse")

	attached.again(t)
	server.Eventually(t, 60*time.Second, ready)
	server.Eventually(t, time.Minute, judged)
	if out, err := apply("shop", "other", "false"); err != nil {
		t.Error(out)
	}
	// And a policy that is too much can be taken away, whether Gatehouse runs or not.
	if out, err := s.kubectl(admin, "", "delete", "builtinpolicies", "all"); err != nil {
		t.Error(out)
	}
}
