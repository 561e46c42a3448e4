package gates

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psa "k8s.io/pod-security-admission/test"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// TestPodSecurityDefaults shows the levels of a namespace that carries no label:
// baseline enforced, restricted warned of and written down.
func TestPodSecurityDefaults(t *testing.T) {
	s := shared(t)
	admin := warnedClient(t, s.AdminConfig(t))
	ns := namespace(t, admin)
	ctx := t.Context()
	admin.take()

	t.Run("baseline is enforced", func(t *testing.T) {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, privilegedPod("bad"), create)
		refused(t, err, apierrors.IsForbidden, `violates PodSecurity "baseline:latest"`, "privileged (container \"c\" must not set securityContext.privileged=true)")
	})
	admin.take()
	t.Run("restricted is warned of and written down", func(t *testing.T) {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, plainPod("plain"), create)
		passes(t, err)
		if got := admin.take(); !strings.Contains(got, `would violate PodSecurity "restricted:latest"`) || !strings.Contains(got, "runAsNonRoot") {
			t.Errorf("warning is %q", got)
		}
		server.Eventually(t, patience, func(context.Context) error {
			if len(s.AuditEvents(t, `"resource":"pods"`, ns, `"name":"plain"`, `"verb":"create"`, `"pod-security.kubernetes.io/audit-violations":"would violate PodSecurity \"restricted:latest\"`)) == 0 {
				return notYet("no audit event with the violations")
			}
			return nil
		})
	})
	t.Run("a restricted pod draws no warning", func(t *testing.T) {
		_, err := admin.CoreV1().Pods(ns).Create(ctx, restrictedPod("good"), create)
		passes(t, err)
		if got := admin.take(); got != "" {
			t.Errorf("warning is %q", got)
		}
	})
	t.Run("kube-system is exempt", func(t *testing.T) {
		_, err := admin.CoreV1().Pods("kube-system").Create(ctx, privilegedPod("system"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		passes(t, err)
		if got := admin.take(); got != "" {
			t.Errorf("warning is %q", got)
		}
	})
	t.Run("a namespace label lets privileged in", func(t *testing.T) {
		open := namespace(t, admin, "pod-security.kubernetes.io/enforce=privileged")
		_, err := admin.CoreV1().Pods(open).Create(ctx, privilegedPod("bad"), create)
		passes(t, err)
	})
	t.Run("a namespace label asks for restricted", func(t *testing.T) {
		strict := namespace(t, admin, "pod-security.kubernetes.io/enforce=restricted")
		_, err := admin.CoreV1().Pods(strict).Create(ctx, plainPod("plain"), create)
		refused(t, err, apierrors.IsForbidden, `violates PodSecurity "restricted:latest"`)
	})
}

// TestPodSecuritySuite runs upstream's own suite, some 750 subtests.
func TestPodSecuritySuite(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	config := shared(t).AdminConfig(t)
	psa.Run(t, psa.Options{ClientConfig: config, ExemptNamespaces: []string{"kube-system"}})
}
