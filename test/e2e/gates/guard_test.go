package gates

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// guards is the resource, as the administrator of s.
func guards(t *testing.T, s *server.Server) dynamic.ResourceInterface {
	t.Helper()
	return server.Dynamic(t, s.AdminConfig(t)).Resource(v1alpha1.SchemeGroupVersion.WithResource("guards"))
}

// guardOf is a Guard with a specification in YAML.
func guardOf(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	object := map[string]any{}
	passes(t, yaml.UnmarshalStrict([]byte(spec), &object))
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "Guard",
		"metadata": map[string]any{"name": name}, "spec": object,
	}}
}

// putGuard creates a Guard and takes it away at the end of the test.
func putGuard(t *testing.T, s *server.Server, name, spec string) {
	t.Helper()
	_, err := guards(t, s).Create(t.Context(), guardOf(t, name, spec), create)
	passes(t, err)
	t.Cleanup(func() {
		err := guards(t, s).Delete(context.Background(), name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
}

// TestGuard shows that a Guard refuses what a role grants, reads included, within
// a second, tells why, and lets the excepted pass.
func TestGuard(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	for _, user := range []string{"gina", "gert"} {
		bind(t, admin, ns, user, "edit")
		awaitAccess(t, server.Client(t, s.UserConfig(t, user)), ns, "list", "", "secrets")
	}
	gina, gert := server.Client(t, s.UserConfig(t, "gina")), server.Client(t, s.UserConfig(t, "gert"))
	putGuard(t, s, "no-secrets-"+ns, `
subjects: {all: true}
except: {users: [gert], groups: ["gatehouse:admins", "system:masters"], serviceAccounts: [{namespace: kube-system, name: "*"}]}
resources: [secrets]
namespaces: [`+ns+`]
reason: secrets of this team are read by Gert alone`)
	begun := time.Now()
	server.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := gina.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			return fmt.Errorf("a guarded list ends with %v", err)
		}
		return nil
	})
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the Guard was in force after %v, more than a second", took)
	}
	_, err := gina.CoreV1().Secrets(ns).Get(ctx, "any", metav1.GetOptions{})
	refused(t, err, apierrors.IsForbidden, "Guard no-secrets-"+ns+": secrets of this team are read by Gert alone")
	_, err = gina.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})
	passes(t, err)
	_, err = gert.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
	passes(t, err)
	// Every authorization call in the server sees it: an access review too.
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: "get", Resource: "secrets"},
	}}
	answer, err := gina.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, create)
	passes(t, err)
	if answer.Status.Allowed || !answer.Status.Denied || !strings.Contains(answer.Status.Reason, "Guard no-secrets-") {
		t.Errorf("the access review says %+v", answer.Status)
	}
	server.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		g, err := guards(t, s).Get(ctx, "no-secrets-"+ns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(g.Object, "status", "conditions")
		if err != nil || len(conditions) != 1 || conditions[0].(map[string]any)["reason"] != v1alpha1.GuardInForce {
			return fmt.Errorf("the conditions are %v, %v", conditions, err)
		}
		return nil
	})
	passes(t, guards(t, s).Delete(ctx, "no-secrets-"+ns, metav1.DeleteOptions{}))
	server.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := gina.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		return err
	})
}

// TestGuardAudits shows that a Guard of mode audit refuses nothing and leaves a
// trace.
func TestGuardAudits(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	bind(t, admin, ns, "greta", "view")
	greta := server.Client(t, s.UserConfig(t, "greta"))
	awaitAccess(t, greta, ns, "list", "", "pods")
	putGuard(t, s, "look-"+ns, `
subjects: {users: [greta]}
resources: [pods]
namespaces: [`+ns+`]
mode: audit
reason: would this hurt?`)
	server.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := greta.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		passes(t, err)
		if found := s.AuditEvents(t, ns, `"gatehouse.io/guard-audit"`); len(found) == 0 || !strings.Contains(found[0], "look-"+ns) {
			return fmt.Errorf("no audit event names the Guard: %v", found)
		}
		return nil
	})
}

// TestGuardIsChecked shows that a Guard which would not work, or that nobody could
// take away again, is refused when it is written.
func TestGuardIsChecked(t *testing.T) {
	s := shared(t)
	for _, c := range []struct {
		name, spec string
		is         func(error) bool
		says       []string
	}{
		{"bad-cel", "subjects: {all: true}\nresources: [pods]\ncondition: request.nothing == 1\nreason: r", apierrors.IsInvalid, []string{"condition", "nothing"}},
		{"bad-zone", "subjects: {all: true}\nresources: [pods]\nwindows: [{days: [Monday], timeZone: Mars/Olympus}]\nreason: r", apierrors.IsInvalid, []string{"Mars/Olympus"}},
		{"nobody", "subjects: {}\nresources: [pods]\nreason: r", apierrors.IsInvalid, []string{"name at least one"}},
		{"shut", "subjects: {all: true}\nresources: [\"*\"]\nreason: r", apierrors.IsForbidden, []string{"would leave nobody who could delete Guard shut", "Group gatehouse:admins"}},
	} {
		_, err := guards(t, s).Create(t.Context(), guardOf(t, c.name, c.spec), create)
		refused(t, err, c.is, c.says...)
	}
}

// TestGuardLockOutByUpdate shows that an update is checked as a creation is.
func TestGuardLockOutByUpdate(t *testing.T) {
	s := shared(t)
	putGuard(t, s, "lock", "subjects: {all: true}\nresources: [guards]\nverbs: [frobnicate]\nreason: r")
	_, err := guards(t, s).Patch(t.Context(), "lock", types.MergePatchType, []byte(`{"spec":{"verbs":["delete"]}}`), metav1.PatchOptions{})
	refused(t, err, apierrors.IsForbidden, "would leave nobody")
}
