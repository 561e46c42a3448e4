package authn

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// cleanupContext is for what is cleaned up after a test, whose own has ended.
func cleanupContext() context.Context { return context.Background() }

// The API refuses a Revocation that does not say what it revokes, and says why.
func TestRevocationObject(t *testing.T) {
	g := shared()
	const oneOfFour = "set exactly one of certificate, user, serviceAccount and tokenID"
	for _, c := range []struct{ name, spec, says string }{
		{"nothing", `{reason: why not}`, oneOfFour},
		{"two kinds", `{tokenID: a, user: {name: ann, issuedBefore: "2026-01-01T00:00:00Z"}}`, oneOfFour},
		{"all kinds", `{tokenID: a, user: {name: ann, issuedBefore: "2026-01-01T00:00:00Z"}, serviceAccount: {namespace: a, name: b}, certificate: {serialNumber: "1"}}`, oneOfFour},
		{"a certificate by nothing", `{certificate: {}}`, "set exactly one of serialNumber and sha256Fingerprint"},
		{"a certificate by both", `{certificate: {serialNumber: "1", sha256Fingerprint: "` + strings.Repeat("00", 32) + `"}}`, "set exactly one of serialNumber and sha256Fingerprint"},
		{"a serial number that is none", `{certificate: {serialNumber: "xyz"}}`, "spec.certificate.serialNumber"},
		{"a serial number as a number", `{certificate: {serialNumber: 12}}`, "must be of type string"},
		{"a fingerprint that is too short", `{certificate: {sha256Fingerprint: "00:11"}}`, "spec.certificate.sha256Fingerprint"},
		{"a user since when", `{user: {name: ann}}`, "spec.user.issuedBefore: Required value"},
		{"a user without a name", `{user: {name: "", issuedBefore: "2026-01-01T00:00:00Z"}}`, "spec.user.name"},
		{"a time that is none", `{user: {name: ann, issuedBefore: yesterday}}`, "must be of type date-time"},
		{"a service account of no namespace", `{serviceAccount: {name: robot}}`, "spec.serviceAccount.namespace: Required value"},
		{"an empty token ID", `{tokenID: ""}`, "spec.tokenID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			object := &unstructured.Unstructured{}
			text := "apiVersion: gatehouse.io/v1alpha1\nkind: Revocation\nmetadata: {name: bad}\nspec: " + c.spec
			if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
				t.Fatal(err)
			}
			_, err := g.revocations(t).Create(t.Context(), object, metav1.CreateOptions{})
			if !apierrors.IsInvalid(err) {
				t.Fatalf("want status 422, have %v", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("says %q, want %q in it", err, c.says)
			}
		})
	}
	t.Run("not everybody may revoke", func(t *testing.T) {
		client := server.Dynamic(t, g.user(t, "ann")).Resource(v1alpha1.SchemeGroupVersion.WithResource("revocations"))
		if _, err := client.List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing: want status 403, have %v", err)
		}
	})
}
