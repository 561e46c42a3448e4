package gates

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// grantUntil binds a user to a role until an instant.
func grantUntil(t *testing.T, admin kubernetes.Interface, ns, user, role string, end time.Time) {
	t.Helper()
	_, err := admin.RbacV1().RoleBindings(ns).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user, Annotations: map[string]string{
			v1alpha1.AnnotationExpiresAt: end.UTC().Format(time.RFC3339), v1alpha1.AnnotationReason: "ticket 42",
		}},
		Subjects: subject(user), RoleRef: clusterRole(role),
	}, create)
	passes(t, err)
}

// TestGrantEnds shows that a grant counts until its second and not after, and that
// the object goes with an Event.
func TestGrantEnds(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	end := time.Now().Add(4 * time.Second).Truncate(time.Second)
	grantUntil(t, admin, ns, "greg", "view", end)
	greg := server.Client(t, s.UserConfig(t, "greg"))
	awaitAccess(t, greg, ns, "list", "", "pods")
	for {
		asked := time.Now()
		_, err := greg.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		answered := time.Now()
		switch {
		case err == nil && asked.After(end):
			t.Fatalf("allowed %v after the end", asked.Sub(end))
		case err != nil && answered.Before(end):
			t.Fatalf("refused %v before the end: %v", end.Sub(answered), err)
		}
		if err != nil {
			refused(t, err, apierrors.IsForbidden)
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	server.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		if _, err := admin.RbacV1().RoleBindings(ns).Get(ctx, "greg", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the ended binding: %v", err)
		}
		events, err := admin.EventsV1().Events(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == "GrantExpired" && e.Regarding.Name == "greg" && strings.Contains(e.Note, "ticket 42") {
				return nil
			}
		}
		return errors.New("no Event says that the grant ended")
	})
}

// TestTokenEndsWithTheGrant shows that a token lives no longer than the access of
// who made it.
func TestTokenEndsWithTheGrant(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	awaitAccount(t, admin, ns)
	maker := customRole(t, admin, nil, rbacv1.PolicyRule{Verbs: []string{"create"}, APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}})
	end := time.Now().Add(30 * time.Minute)
	grantUntil(t, admin, ns, "tom", maker, end)
	grantUntil(t, admin, ns, "tim", maker, time.Now().Add(5*time.Minute))
	bind(t, admin, ns, "tina", maker)
	for _, user := range []string{"tom", "tim", "tina"} {
		awaitToken(t, server.Client(t, s.UserConfig(t, user)), ns)
	}
	ask := func(user string, seconds int64) (*authenticationv1.TokenRequest, error) {
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
		return server.Client(t, s.UserConfig(t, user)).CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", request, create)
	}
	answer, err := ask("tom", 7200)
	passes(t, err)
	if got := answer.Status.ExpirationTimestamp.Time; got.After(end.Add(time.Second)) || got.Before(end.Add(-time.Minute)) {
		t.Errorf("a token of two hours by a grant until %v lives until %v", end, got)
	}
	answer, err = ask("tom", 900)
	passes(t, err)
	if left := time.Until(answer.Status.ExpirationTimestamp.Time); left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("a token of 15 minutes lives %v", left)
	}
	_, err = ask("tim", 900)
	refused(t, err, apierrors.IsForbidden, "your access ends at ", "600 seconds")
	answer, err = ask("tina", 7200)
	passes(t, err)
	if left := time.Until(answer.Status.ExpirationTimestamp.Time); left < 119*time.Minute {
		t.Errorf("a token of two hours by a lasting binding lives %v", left)
	}
}

// awaitAccount waits for the namespace's own account.
func awaitAccount(t *testing.T, admin kubernetes.Interface, ns string) {
	t.Helper()
	server.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := admin.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// awaitToken waits until a user may make tokens: until the refusal, if there is
// one, is no longer that of RBAC.
func awaitToken(t *testing.T, client kubernetes.Interface, ns string) {
	t.Helper()
	server.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, create)
		if err != nil && !strings.Contains(err.Error(), "your access ends") {
			return err
		}
		return nil
	})
}

// TestEndedGrantIsNotHandedOn shows that what a grant gave cannot be given on after
// its end, although upstream's storage still finds the binding.
func TestEndedGrantIsNotHandedOn(t *testing.T) {
	s := server.Start(t, server.Options{Args: []string{"--controllers", "*,-gatehouse-grant-controller"}})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	binder := customRole(t, admin, nil, rbacv1.PolicyRule{Verbs: []string{"create"}, APIGroups: []string{rbacv1.GroupName}, Resources: []string{"rolebindings"}})
	bind(t, admin, ns, "hank", binder)
	end := time.Now().Add(3 * time.Second)
	grantUntil(t, admin, ns, "hank", "view", end)
	hank := server.Client(t, s.UserConfig(t, "hank"))
	give := func(ctx context.Context, to string) error {
		_, err := hank.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: to}, Subjects: subject(to), RoleRef: clusterRole("view"),
		}, create)
		return err
	}
	server.Eventually(t, 2*time.Second, func(ctx context.Context) error { return give(ctx, "early") })
	time.Sleep(time.Until(end.Add(1100 * time.Millisecond)))
	refused(t, give(t.Context(), "late"), apierrors.IsForbidden, "RoleBinding "+ns+"/hank, a grant of yours, has ended")
	if _, err := admin.RbacV1().RoleBindings(ns).Get(t.Context(), "hank", metav1.GetOptions{}); err != nil {
		t.Errorf("the grant was to stay, without its controller: %v", err)
	}
}
