package gates

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSecretSizeWarning shows the warning over 64Ki, and none below.
func TestSecretSizeWarning(t *testing.T) {
	s := shared(t)
	admin := warnedClient(t, s.AdminConfig(t))
	secrets := admin.CoreV1().Secrets(namespace(t, admin))
	ctx := t.Context()
	admin.take()

	_, err := secrets.Create(ctx, opaque("small", map[string]string{"k": strings.Repeat("x", 64<<10)}), create)
	passes(t, err)
	if got := admin.take(); got != "" {
		t.Errorf("warning at the limit is %q", got)
	}
	_, err = secrets.Create(ctx, opaque("big", map[string]string{"k": strings.Repeat("x", 64<<10), "l": "x"}), create)
	passes(t, err)
	if got := admin.take(); !strings.Contains(got, "Secret big holds 65537 bytes, more than 64Ki") || !strings.Contains(got, "small sensitive data") {
		t.Errorf("warning above the limit is %q", got)
	}
	big, err := secrets.Get(ctx, "small", metav1.GetOptions{})
	passes(t, err)
	big.Data["more"] = []byte("x")
	_, err = secrets.Update(ctx, big, metav1.UpdateOptions{})
	passes(t, err)
	if got := admin.take(); !strings.Contains(got, "Secret small holds") {
		t.Errorf("warning at an update is %q", got)
	}
}
