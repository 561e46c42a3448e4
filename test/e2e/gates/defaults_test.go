package gates

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestServiceAccountAdmission shows that a pod gets its namespace's account and
// a bound token, and that an account which is not there is refused.
func TestServiceAccountAdmission(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	pod, err := admin.CoreV1().Pods(ns).Create(t.Context(), plainPod("p"), create)
	passes(t, err)
	if pod.Spec.ServiceAccountName != "default" {
		t.Errorf("service account is %q", pod.Spec.ServiceAccountName)
	}
	if len(pod.Spec.Volumes) != 1 || pod.Spec.Volumes[0].Projected == nil || pod.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken == nil {
		t.Errorf("volumes are %v, want a projected token", pod.Spec.Volumes)
	}
	other := plainPod("q")
	other.Spec.ServiceAccountName = "nobody"
	_, err = admin.CoreV1().Pods(ns).Create(t.Context(), other, create)
	refused(t, err, apierrors.IsForbidden, `error looking up service account `+ns+`/nobody`)
}

// TestAlwaysPullImagesIsOff shows that a pull policy is left as it is by default.
func TestAlwaysPullImagesIsOff(t *testing.T) {
	admin := shared(t).Admin(t)
	pod := plainPod("p")
	pod.Spec.Containers[0].ImagePullPolicy = corev1.PullNever
	pod, err := admin.CoreV1().Pods(namespace(t, admin)).Create(t.Context(), pod, create)
	passes(t, err)
	if got := pod.Spec.Containers[0].ImagePullPolicy; got != corev1.PullNever {
		t.Errorf("pull policy is %s", got)
	}
}

func TestLimitRanger(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	_, err := admin.CoreV1().LimitRanges(ns).Create(ctx, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "l"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type:           corev1.LimitTypeContainer,
			Default:        corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
			DefaultRequest: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi")},
			Max:            corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
		}}},
	}, create)
	passes(t, err)

	server.Eventually(t, patience, func(ctx context.Context) error {
		pod, err := admin.CoreV1().Pods(ns).Create(ctx, plainPod("p"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		r := pod.Spec.Containers[0].Resources
		if r.Limits.Memory().String() != "64Mi" || r.Requests.Memory().String() != "32Mi" {
			return notYet("resources are %v", r)
		}
		return nil
	})
	big := plainPod("big")
	big.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
	_, err = admin.CoreV1().Pods(ns).Create(ctx, big, create)
	refused(t, err, apierrors.IsForbidden, "maximum memory usage per Container is 128Mi, but limit is 1Gi")
}

func TestPriority(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	class, err := admin.SchedulingV1().PriorityClasses().Create(ctx, &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "urgent-"}, Value: 1000,
	}, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = admin.SchedulingV1().PriorityClasses().Delete(context.Background(), class.Name, metav1.DeleteOptions{})
	})
	pod := plainPod("p")
	pod.Spec.PriorityClassName = class.Name
	pod, err = admin.CoreV1().Pods(ns).Create(ctx, pod, create)
	passes(t, err)
	if pod.Spec.Priority == nil || *pod.Spec.Priority != 1000 {
		t.Errorf("priority is %v", pod.Spec.Priority)
	}
	other := plainPod("q")
	other.Spec.PriorityClassName = "nobody"
	_, err = admin.CoreV1().Pods(ns).Create(ctx, other, create)
	refused(t, err, apierrors.IsForbidden, "no PriorityClass with name nobody was found")
}

// TestResourceQuota shows the quota counted, enforced, and given back by the
// controller when what used it is gone.
func TestResourceQuota(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	_, err := admin.CoreV1().ResourceQuotas(ns).Create(ctx, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "q"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/secrets": resource.MustParse("1")}},
	}, create)
	passes(t, err)
	used := func(want string) {
		t.Helper()
		server.Eventually(t, patience, func(ctx context.Context) error {
			q, err := admin.CoreV1().ResourceQuotas(ns).Get(ctx, "q", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got, ok := q.Status.Used["count/secrets"]; !ok || got.String() != want {
				return notYet("used is %v, want %s", q.Status.Used, want)
			}
			return nil
		})
	}
	used("0")
	_, err = admin.CoreV1().Secrets(ns).Create(ctx, opaque("one", nil), create)
	passes(t, err)
	used("1")
	_, err = admin.CoreV1().Secrets(ns).Create(ctx, opaque("two", nil), create)
	refused(t, err, apierrors.IsForbidden, "exceeded quota: q, requested: count/secrets=1, used: count/secrets=1, limited: count/secrets=1")
	passes(t, admin.CoreV1().Secrets(ns).Delete(ctx, "one", metav1.DeleteOptions{}))
	used("0")
	_, err = admin.CoreV1().Secrets(ns).Create(ctx, opaque("two", nil), create)
	passes(t, err)
}
