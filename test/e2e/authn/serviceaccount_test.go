package authn

import (
	"context"
	"errors"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// account is a service account in a namespace of its own.
type account struct {
	g               *gatehouse
	admin           kubernetes.Interface
	namespace, name string
}

func (g *gatehouse) newAccount(t testing.TB) *account {
	t.Helper()
	a := &account{g: g, admin: g.Admin(t), namespace: uniqueName("accounts"), name: "robot"}
	_, err := a.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.create(t, a.name)
	return a
}

func (a *account) create(t testing.TB, name string) {
	t.Helper()
	_, err := a.admin.CoreV1().ServiceAccounts(a.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (a *account) user() string { return "system:serviceaccount:" + a.namespace + ":" + a.name }

// token asks for one by TokenRequest.
func (a *account) token(t testing.TB, spec authenticationv1.TokenRequestSpec) string {
	t.Helper()
	answer, err := a.admin.CoreV1().ServiceAccounts(a.namespace).
		CreateToken(t.Context(), a.name, &authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	present(answer.Status.Token)
	return answer.Status.Token
}

func (a *account) newPod(t testing.TB) *corev1.Pod {
	t.Helper()
	pod, err := a.admin.CoreV1().Pods(a.namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: uniqueName("pod")},
		Spec:       corev1.PodSpec{ServiceAccountName: a.name, Containers: []corev1.Container{{Name: "c", Image: "registry.example/c"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod
}

func (a *account) newSecret(t testing.TB, secret *corev1.Secret) *corev1.Secret {
	t.Helper()
	secret.Name = uniqueName("secret")
	secret, err := a.admin.CoreV1().Secrets(a.namespace).Create(t.Context(), secret, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// legacyToken makes a Secret of the old kind and waits until it is filled.
func (a *account) legacyToken(t testing.TB) (token, secret string) {
	t.Helper()
	made := a.newSecret(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.ServiceAccountNameKey: a.name}},
		Type:       corev1.SecretTypeServiceAccountToken,
	})
	server.Eventually(t, soon, func(ctx context.Context) error {
		now, err := a.admin.CoreV1().Secrets(a.namespace).Get(ctx, made.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if token = string(now.Data[corev1.ServiceAccountTokenKey]); token == "" {
			return errors.New("the Secret holds no token yet")
		}
		return nil
	})
	present(token)
	return token, made.Name
}

func TestServiceAccountToken(t *testing.T) {
	g := shared()
	a := g.newAccount(t)
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + a.namespace}
	plain := a.token(t, authenticationv1.TokenRequestSpec{})

	t.Run("a token passes", func(t *testing.T) { passesAs(t, g.bearer(t, plain), a.user(), groups...) })
	t.Run("a token bound to a Pod says which", func(t *testing.T) {
		pod := a.newPod(t)
		token := a.token(t, authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name}})
		who := passesAs(t, g.bearer(t, token), a.user(), groups...)
		if got := who.Extra["authentication.kubernetes.io/pod-name"]; len(got) != 1 || got[0] != pod.Name {
			t.Errorf("extra names the pod %v, want %s", got, pod.Name)
		}
	})
	t.Run("a token in a Secret passes", func(t *testing.T) {
		token, _ := a.legacyToken(t)
		passesAs(t, g.bearer(t, token), a.user(), groups...)
	})
	t.Run("a token of another audience is for that audience alone", func(t *testing.T) {
		token := a.token(t, authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}})
		g.refused(t, g.bearer(t, token), "token audiences")
		review, err := a.admin.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"vault"}}}, metav1.CreateOptions{})
		if err != nil || !review.Status.Authenticated || review.Status.User.Username != a.user() {
			t.Errorf("a TokenReview for vault says %+v, %v; want authenticated as %s", review.Status, err, a.user())
		}
	})

	issuer := loadKey(t, g.Path("pki", "service-account.key"))
	passesAs(t, g.bearer(t, resign(t, plain, issuer, nil)), a.user()) // so that what follows is refused for what it says
	for _, c := range []struct {
		name, token, why string
	}{
		{"expired", resign(t, plain, issuer, map[string]any{"iat": hoursAgo(3), "nbf": hoursAgo(3), "exp": hoursAgo(2)}), "token has expired"},
		{"not yet valid", resign(t, plain, issuer, map[string]any{"nbf": hoursAgo(-1)}), "not valid yet"},
		{"another issuer", resign(t, plain, issuer, map[string]any{"iss": "https://elsewhere.example"}), ""},
		{"another key", resign(t, plain, newKey(t), nil), "invalid"},
		{"no signature", plain[:strings.LastIndex(plain, ".")+1], "invalid"},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) { g.refused(t, g.bearer(t, c.token), c.why) })
	}
}

// A token ends with what it is bound to. All are deleted first and then awaited,
// since each may be in the cache for a while.
func TestServiceAccountTokenEndsWithItsObject(t *testing.T) {
	t.Parallel()
	g := shared()
	a, leaver := g.newAccount(t), g.newAccount(t)
	core := a.admin.CoreV1()
	pod, secret := a.newPod(t), a.newSecret(t, &corev1.Secret{})
	legacy, legacySecret := a.legacyToken(t)
	bound := func(kind, name string) authenticationv1.TokenRequestSpec {
		return authenticationv1.TokenRequestSpec{BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: kind, APIVersion: "v1", Name: name}}
	}
	now := *metav1.NewDeleteOptions(0)
	cases := []struct {
		name, token, user string
		end               func(context.Context) error
	}{
		{"Pod", a.token(t, bound("Pod", pod.Name)), a.user(),
			func(ctx context.Context) error { return core.Pods(a.namespace).Delete(ctx, pod.Name, now) }},
		{"Secret", a.token(t, bound("Secret", secret.Name)), a.user(),
			func(ctx context.Context) error { return core.Secrets(a.namespace).Delete(ctx, secret.Name, now) }},
		{"Secret that holds it", legacy, a.user(),
			func(ctx context.Context) error { return core.Secrets(a.namespace).Delete(ctx, legacySecret, now) }},
		{"ServiceAccount", leaver.token(t, authenticationv1.TokenRequestSpec{}), leaver.user(),
			func(ctx context.Context) error {
				return core.ServiceAccounts(leaver.namespace).Delete(ctx, leaver.name, now)
			}},
	}
	for _, c := range cases {
		passesAs(t, g.bearer(t, c.token), c.user)
	}
	for _, c := range cases {
		if err := c.end(t.Context()); err != nil {
			t.Fatalf("delete %s: %v", c.name, err)
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { soonRefused(t, afterCache, g.bearer(t, c.token)) })
	}
	t.Run("a new account of the name does not revive it", func(t *testing.T) {
		leaver.create(t, leaver.name)
		g.refused(t, g.bearer(t, cases[3].token), "does not match claim")
		passesAs(t, g.bearer(t, leaver.token(t, authenticationv1.TokenRequestSpec{})), leaver.user())
	})
}
