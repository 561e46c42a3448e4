package attach

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

var revocations = v1alpha1.SchemeGroupVersion.WithResource("revocations")

// watchedObjects is a cluster without objects of Gatehouse's kinds.
func watchedObjects() *dynamicfake.FakeDynamicClient {
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		revocations: "RevocationList", v1alpha1.SchemeGroupVersion.WithResource("guards"): "GuardList",
	})
}

// eventually tries until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

// TestTokens puts together what /authenticate asks, and revokes.
func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.csv")
	if err := os.WriteFile(file, []byte("jane-token,jane,7,\"devs\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: "bootstrap.kubernetes.io/token",
		Data: map[string][]byte{"token-id": []byte("abcdef"), "token-secret": []byte("0123456789abcdef"), "usage-bootstrap-authentication": []byte("true")},
	})
	objects := watchedObjects()
	cfg := defaults().Authentication
	cfg.TokenFile, cfg.BootstrapTokens = file, true
	tokens, checks, err := newTokens(t.Context(), &cfg, client, objects, nil)
	if err != nil || len(checks) != 2 {
		t.Fatalf("got %v %v", checks, err)
	}
	for _, c := range checks {
		eventually(t, c.Name, func() bool { return c.Ready() == nil })
	}
	who := func(token string, audiences ...string) string {
		resp, ok, err := tokens.AuthenticateToken(authenticator.WithAudiences(context.Background(), audiences), token)
		if err != nil {
			return err.Error()
		}
		if !ok {
			return ""
		}
		return resp.User.GetName()
	}
	api := cfg.Audiences[0]
	for _, c := range []struct{ token, audience, want string }{
		{"jane-token", api, "jane"},
		{"jane-token", "elsewhere", ""},
		{"abcdef.0123456789abcdef", api, "system:bootstrap:abcdef"},
		{"abcdef.0123456789abcdee", api, ""},
		{"unknown", api, ""},
	} {
		if got := who(c.token, c.audience); got != c.want {
			t.Errorf("%s for %s: %q, want %q", c.token, c.audience, got, c.want)
		}
	}
	lost := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gatehouse.io/v1alpha1", "kind": "Revocation", "metadata": map[string]any{"name": "lost"},
		"spec": map[string]any{"reason": "laptop lost", "user": map[string]any{"name": "jane", "issuedBefore": "2999-01-01T00:00:00Z"}},
	}}
	if _, err := objects.Resource(revocations).Create(t.Context(), lost, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token is refused", func() bool { return strings.Contains(who("jane-token", api), "Revocation/lost: laptop lost") })
	if got := who("abcdef.0123456789abcdef", api); got != "system:bootstrap:abcdef" {
		t.Errorf("got %q", got)
	}
	if err := objects.Resource(revocations).Delete(t.Context(), "lost", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token counts again", func() bool { return who("jane-token", api) == "jane" })
}

func TestWithoutTokensThereIsNoEndpoint(t *testing.T) {
	cfg := defaults().Authentication
	tokens, checks, err := newTokens(t.Context(), &cfg, fake.NewClientset(), watchedObjects(), nil)
	if tokens != nil || checks != nil || err != nil {
		t.Errorf("got %v %v %v", tokens, checks, err)
	}
}

func TestRevocationsMayBeLeftOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens.csv")
	if err := os.WriteFile(file, []byte("jane-token,jane,7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := v1alpha1.AttachAuthenticationOptions{TokenFile: file, Revocations: new(bool)}
	tokens, checks, err := newTokens(t.Context(), &cfg, fake.NewClientset(), watchedObjects(), nil)
	if err != nil || len(checks) > 0 {
		t.Fatalf("got %v %v", checks, err)
	}
	if _, ok, err := tokens.AuthenticateToken(t.Context(), "jane-token"); !ok || err != nil {
		t.Errorf("got %v %v", ok, err)
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	for _, change := range []func(*v1alpha1.AttachAuthenticationOptions){
		func(o *v1alpha1.AttachAuthenticationOptions) { o.TokenFile = "/none/tokens.csv" },
		func(o *v1alpha1.AttachAuthenticationOptions) { o.ConfigFile = "/none/tokens.csv" },
	} {
		cfg := defaults().Authentication
		change(&cfg)
		_, _, err := newTokens(t.Context(), &cfg, fake.NewClientset(), watchedObjects(), nil)
		hint, ok := err.(interface{ Hint() string })
		if !ok || hint.Hint() == "" || !strings.Contains(err.Error(), "/none/tokens.csv") {
			t.Errorf("got %v", err)
		}
	}
}
