package gates

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	imagepolicyv1alpha1 "k8s.io/api/imagepolicy/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// staticPolicy is a policy that lies in a file and not in the API (KEP-5793).
const staticPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: no-secret-name.static.k8s.io
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [configmaps]
  validations:
  - expression: "object.metadata.name != 'secret'"
    message: a secret belongs into a Secret
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: no-secret-name.static.k8s.io
spec:
  policyName: no-secret-name.static.k8s.io
  validationActions: [Deny]
`

const staticMutation = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: stamp.static.k8s.io
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [configmaps]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: "Object{metadata: Object.metadata{annotations: {'example.org/stamp': 'from-a-file'}}}"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: stamp.static.k8s.io
spec:
  policyName: stamp.static.k8s.io
`

const staticWebhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: down.static.k8s.io
webhooks:
- name: down.static.k8s.io
  clientConfig: {url: "https://127.0.0.1:1/review"}
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [podtemplates]
  sideEffects: None
  admissionReviewVersions: [v1]
  timeoutSeconds: 2
`

// admissionConfig gives settings to the plugins that take them.
const admissionConfig = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  configuration:
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    kind: Configuration
    limits:
    - {type: Namespace, qps: 1, burst: 2}
- name: ImagePolicyWebhook
  path: image-policy.yaml
- name: ValidatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ValidatingAdmissionPolicyConfiguration
    staticManifestsDir: %[1]s/validating
- name: MutatingAdmissionPolicy
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: MutatingAdmissionPolicyConfiguration
    staticManifestsDir: %[1]s/mutating
- name: ValidatingAdmissionWebhook
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    staticManifestsDir: %[1]s/webhooks
`

// judge lets images of example.org in.
func judge(r *imagepolicyv1alpha1.ImageReview) {
	r.Status.Allowed = true
	for _, c := range r.Spec.Containers {
		if !strings.HasPrefix(c.Image, "example.org/") {
			r.Status = imagepolicyv1alpha1.ImageReviewStatus{Reason: c.Image + " is of unknown origin"}
		}
	}
}

// TestAdmissionSettings shows the plugins that are off by default, and those
// that take settings, on one server that has them all.
func TestAdmissionSettings(t *testing.T) {
	t.Parallel()
	images := answering(t, judge)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"admission.yaml":         fmt.Sprintf(admissionConfig, dir),
		"image-policy.yaml":      fmt.Sprintf("imagePolicy: {kubeConfigFile: %q, allowTTL: 30, denyTTL: 30, retryBackoff: 50, defaultAllow: false}\n", images.kubeconfig(t)),
		"validating/policy.yaml": staticPolicy,
		"mutating/policy.yaml":   staticMutation,
		"webhooks/webhook.yaml":  staticWebhook,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, name), text)
	}
	s := server.Start(t, server.Options{Config: fmt.Sprintf(`
admission:
  enable: [AlwaysPullImages, EventRateLimit, ImagePolicyWebhook]
  disable: [LimitRanger]
  configFile: %s/admission.yaml
  podSecurity: {enforce: restricted, audit: privileged, warn: privileged, exemptNamespaces: [default]}
encryption:
  secretSizeWarning: 0
`, dir)})
	admin := warnedClient(t, s.AdminConfig(t))
	ns := namespace(t, admin)
	ctx := t.Context()
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

	t.Run("PodSecurity levels", func(t *testing.T) {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, plainPod("p"), create)
		refused(t, err, apierrors.IsForbidden, `violates PodSecurity "restricted:latest"`)
		_, err = admin.CoreV1().Pods("default").Create(ctx, privilegedPod("p"), dry)
		passes(t, err)
	})
	t.Run("AlwaysPullImages", func(t *testing.T) {
		pod := restrictedPod("p")
		pod.Spec.Containers[0].ImagePullPolicy = corev1.PullNever
		pod, err := admin.CoreV1().Pods(ns).Create(ctx, pod, dry)
		passes(t, err)
		if got := pod.Spec.Containers[0].ImagePullPolicy; got != corev1.PullAlways {
			t.Errorf("pull policy is %s", got)
		}
	})
	t.Run("EventRateLimit", func(t *testing.T) {
		var err error
		for i := 0; i < 10 && err == nil; i++ {
			_, err = admin.CoreV1().Events(ns).Create(ctx, &corev1.Event{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "e-"}, InvolvedObject: corev1.ObjectReference{Namespace: ns}, Reason: "Test",
			}, create)
		}
		refused(t, err, apierrors.IsTooManyRequests, "limit reached on type Namespace")
	})
	t.Run("static ValidatingAdmissionPolicy", func(t *testing.T) {
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("secret", nil), create)
		refused(t, err, apierrors.IsInvalid, "no-secret-name.static.k8s.io", "a secret belongs into a Secret")
		got, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("other", nil), create)
		passes(t, err)
		if got.Annotations["example.org/stamp"] != "from-a-file" {
			t.Errorf("the static MutatingAdmissionPolicy has set %v", got.Annotations)
		}
	})
	t.Run("a static policy is not the API's to delete", func(t *testing.T) {
		policies := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
		list, err := policies.List(ctx, metav1.ListOptions{})
		passes(t, err)
		if len(list.Items) != 0 {
			t.Errorf("the API lists %d policies", len(list.Items))
		}
		err = policies.Delete(ctx, "no-secret-name.static.k8s.io", metav1.DeleteOptions{})
		refused(t, err, apierrors.IsNotFound)
		_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("secret", nil), create)
		refused(t, err, apierrors.IsInvalid, "a secret belongs into a Secret")
	})
	t.Run("static webhook", func(t *testing.T) {
		template := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "t"}, Template: corev1.PodTemplateSpec{Spec: restrictedPod("p").Spec}}
		_, err := admin.CoreV1().PodTemplates(ns).Create(ctx, template, create)
		refused(t, err, apierrors.IsInternalError, `failed calling webhook "down.static.k8s.io"`)
	})
	t.Run("no Secret size warning", func(t *testing.T) {
		admin.take()
		_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque("big", map[string]string{"k": strings.Repeat("x", 128<<10)}), create)
		passes(t, err)
		if got := admin.take(); got != "" {
			t.Errorf("warning is %q", got)
		}
	})
	t.Run("ImagePolicyWebhook", func(t *testing.T) {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, restrictedPod("good"), create)
		passes(t, err)
		bad := restrictedPod("bad")
		bad.Spec.Containers[0].Image = "evil.example.com/app:1"
		_, err = admin.CoreV1().Pods(ns).Create(ctx, bad, create)
		refused(t, err, apierrors.IsForbidden, "image policy webhook backend denied one or more images: evil.example.com/app:1 is of unknown origin")
	})
	t.Run("ImagePolicyWebhook is down", func(t *testing.T) {
		images.Close()
		pod := restrictedPod("late")
		pod.Spec.Containers[0].Image = "example.org/not-asked-before:1"
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := admin.CoreV1().Pods(ns).Create(ctx, pod, dry)
			if !apierrors.IsForbidden(err) {
				return notYet("want a refusal, got %v", err)
			}
			return nil
		})
	})
}
