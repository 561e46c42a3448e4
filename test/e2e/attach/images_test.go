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

const imagePolicies = `apiVersion: gatehouse.io/v1alpha1
kind: BuiltinPolicies
metadata: {name: all}
spec:
  policies:
  - {name: DisallowHostPID}
  - {name: TrustedRepositories, trustedRepositories: {images: ['registry.example.org/*']}}
---
apiVersion: gatehouse.io/v1alpha1
kind: Exception
metadata: {name: mirror}
spec:
  policies: [{name: TrustedRepositories}]
  match: {images: ['mirror.example.org/web:*']}
  reason: it moves
  owner: sre
  expiresAt: "2999-01-01T00:00:00Z"
`

// TestImagePolicyWebhook has the plugin ImagePolicyWebhook of a stock API server ask
// about images: no other webhook is registered.
func TestImagePolicyWebhook(t *testing.T) {
	s := newStock(t)
	gatehouse, err := server.Binary()
	passes(t, err)
	address, health := server.FreeAddress(t), server.FreeAddress(t)
	attached := launch(t, gatehouse, "attach", "--kubeconfig", s.path("admin.kubeconfig"), "--data-dir", s.path("attach"), "--listen", address, "--health-listen", health)
	server.Eventually(t, 30*time.Second, func(context.Context) error { return ask(health, "/livez", http.StatusOK) })
	printed := printManifests(t, "--data-dir", s.path("attach"), "--server", "https://"+address, "--folder", s.dir)
	write(t, s.path("images.kubeconfig"), []byte(printed.files["images.kubeconfig"]))
	write(t, s.path("image-policy.yaml"), []byte("imagePolicy: {kubeConfigFile: "+s.path("images.kubeconfig")+", allowTTL: 1, denyTTL: 1, retryBackoff: 100, defaultAllow: false}\n"))
	write(t, s.path("admission.yaml"), []byte("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{name: ImagePolicyWebhook, path: "+s.path("image-policy.yaml")+"}]\n"))
	s.serve("--authorization-mode=RBAC", "--enable-admission-plugins=ImagePolicyWebhook", "--disable-admission-plugins=ServiceAccount", "--admission-control-config-file="+s.path("admission.yaml"))
	admin := s.path("admin.kubeconfig")
	if out, err := s.kubectl(admin, printed.text, "apply", "-f", "-"); err != nil {
		t.Fatalf("apply the manifests: %v\n%s", err, out)
	}
	server.Eventually(t, 60*time.Second, func(context.Context) error { return ask(health, "/readyz?verbose", http.StatusOK) })
	if out, err := s.kubectl(admin, "", "create", "namespace", "shop"); err != nil {
		t.Fatal(out)
	}
	server.Eventually(t, time.Minute, func(context.Context) error {
		out, err := s.kubectl(admin, imagePolicies, "apply", "-f", "-")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	run := func(name, image string, hostPID bool) (string, error) {
		pod := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "NAME"}, "spec": {"hostPID": WANTED, "containers": [{"name": "a", "image": "registry.example.org/side:1"}, {"name": "c", "image": "IMAGE"}]}}`
		wanted := map[bool]string{true: "true", false: "false"}[hostPID]
		return s.kubectl(admin, strings.NewReplacer("NAME", name, "WANTED", wanted, "IMAGE", image).Replace(pod), "create", "-n", "shop", "-f", "-")
	}
	server.Eventually(t, time.Minute, func(context.Context) error {
		if out, err := run("foreign", "docker.io/nginx:1", false); err == nil || !strings.Contains(out, "image policy webhook backend denied one or more images") || !strings.Contains(out, "TrustedRepositories") {
			_, _ = s.kubectl(admin, "", "delete", "pod", "-n", "shop", "foreign", "--ignore-not-found", "--force")
			return errors.New("it is not judged: " + out)
		}
		return nil
	})
	// What is wrong with anything but the images is not this endpoint's to say.
	for name, image := range map[string]string{"good": "registry.example.org/web:1", "excepted": "mirror.example.org/web:1"} {
		if out, err := run(name, image, true); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
	if out, err := run("excepted-not", "mirror.example.org/other:1", false); err == nil || !strings.Contains(out, "TrustedRepositories") {
		t.Errorf("an image that no Exception names: %s", out)
	}
	attached.kill()
	if out, err := run("unjudged", "registry.example.org/web:2", false); err == nil {
		t.Errorf("without Gatehouse, what nobody has judged gets in: %s", out)
	}
}
