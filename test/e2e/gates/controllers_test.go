package gates

import (
	"context"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// TestTTLAfterFinished shows that a Job that has ended goes by itself.
func TestTTLAfterFinished(t *testing.T) {
	admin := shared(t).Admin(t)
	jobs := admin.BatchV1().Jobs(namespace(t, admin))
	ctx := t.Context()
	pod := restrictedPod("")
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	job, err := jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j"},
		Spec:       batchv1.JobSpec{TTLSecondsAfterFinished: new(int32(1)), Template: corev1.PodTemplateSpec{Spec: pod.Spec}},
	}, create)
	passes(t, err)
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	job.Status.StartTime, job.Status.CompletionTime = &now, &now
	for _, kind := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	_, err = jobs.UpdateStatus(ctx, job, metav1.UpdateOptions{})
	passes(t, err)
	server.Eventually(t, patience, func(ctx context.Context) error {
		if _, err := jobs.Get(ctx, "j", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return notYet("job is still there: %v", err)
		}
		return nil
	})
}

// TestBootstrapSigner shows that cluster-info is signed with each bootstrap
// token that may sign, and no longer when the token is gone.
func TestBootstrapSigner(t *testing.T) {
	admin := shared(t).Admin(t)
	ctx := t.Context()
	_, err := admin.CoreV1().ConfigMaps("kube-public").Create(ctx, configMap("cluster-info", map[string]string{"kubeconfig": "apiVersion: v1\nkind: Config\n"}), create)
	passes(t, err)
	secret := opaque("bootstrap-token-abcdef", map[string]string{
		"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true",
	})
	secret.Type = corev1.SecretTypeBootstrapToken
	_, err = admin.CoreV1().Secrets("kube-system").Create(ctx, secret, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = admin.CoreV1().ConfigMaps("kube-public").Delete(context.Background(), "cluster-info", metav1.DeleteOptions{})
		_ = admin.CoreV1().Secrets("kube-system").Delete(context.Background(), secret.Name, metav1.DeleteOptions{})
	})
	signed := func(want bool) {
		t.Helper()
		server.Eventually(t, patience, func(ctx context.Context) error {
			info, err := admin.CoreV1().ConfigMaps("kube-public").Get(ctx, "cluster-info", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got := info.Data["jws-kubeconfig-abcdef"]; (got != "") != want {
				return notYet("signature is %q", got)
			}
			return nil
		})
	}
	signed(true)
	passes(t, admin.CoreV1().Secrets("kube-system").Delete(ctx, secret.Name, metav1.DeleteOptions{}))
	signed(false)
}

// TestTokenCleaner shows that an expired bootstrap token is removed.
func TestTokenCleaner(t *testing.T) {
	admin := shared(t).Admin(t)
	secret := opaque("bootstrap-token-expire", map[string]string{
		"token-id": "expire", "token-secret": "0123456789abcdef", "expiration": time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339),
	})
	secret.Type = corev1.SecretTypeBootstrapToken
	_, err := admin.CoreV1().Secrets("kube-system").Create(t.Context(), secret, create)
	passes(t, err)
	server.Eventually(t, patience, func(ctx context.Context) error {
		if _, err := admin.CoreV1().Secrets("kube-system").Get(ctx, secret.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return notYet("token is still there: %v", err)
		}
		return nil
	})
}

func TestUnknownControllerIsRefused(t *testing.T) {
	stdout, stderr, code := server.Command(t, "serve", "--data-dir", t.TempDir(), "--listen", server.FreeAddress(t), "--controllers", "*,-nope")
	if code != 2 && code != 4 {
		t.Errorf("exit code is %d", code)
	}
	if !strings.Contains(stderr, `error: controller "nope" is not known`) || !strings.Contains(stderr, "hint: known: namespace-controller, ") || strings.Contains(stderr, "goroutine ") {
		t.Errorf("it says:\n%s", stderr)
	}
	if stdout != "" {
		t.Errorf("stdout is %q", stdout)
	}
}
