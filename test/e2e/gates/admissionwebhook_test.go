package gates

import (
	"context"
	"encoding/json"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// review labels every object it is sent, and refuses those named bad.
func review(r *admissionv1.AdmissionReview) {
	r.Response = &admissionv1.AdmissionResponse{UID: r.Request.UID, Allowed: true}
	var obj corev1.ConfigMap
	_ = json.Unmarshal(r.Request.Object.Raw, &obj)
	switch {
	case obj.Name == "bad":
		r.Response.Allowed = false
		r.Response.Result = &metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: "bad is not wanted here"}
	case obj.Labels == nil:
		r.Response.Patch = []byte(`[{"op":"add","path":"/metadata/labels","value":{"seen":"yes"}}]`)
		r.Response.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	r.Request = nil
}

func TestAdmissionWebhooks(t *testing.T) {
	admin := shared(t).Admin(t)
	ctx := t.Context()
	service := answering(t, review)
	rules := []admissionregistrationv1.RuleWithOperations{configMapsCreated[0].RuleWithOperations}
	client := admissionregistrationv1.WebhookClientConfig{URL: new(service.URL + "/review"), CABundle: service.ca()}
	none := new(admissionregistrationv1.SideEffectClassNone)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

	t.Run("mutating", func(t *testing.T) {
		ns := namespace(t, admin)
		hooks := admin.AdmissionregistrationV1().MutatingWebhookConfigurations()
		hook, err := hooks.Create(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
			Webhooks: []admissionregistrationv1.MutatingWebhook{{
				Name: "label.example.org", ClientConfig: client, Rules: rules, NamespaceSelector: only(ns),
				SideEffects: none, AdmissionReviewVersions: []string{"v1"},
			}},
		}, create)
		passes(t, err)
		t.Cleanup(func() { _ = hooks.Delete(context.Background(), hook.Name, metav1.DeleteOptions{}) })
		server.Eventually(t, patience, func(ctx context.Context) error {
			got, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), dry)
			if err == nil && got.Labels["seen"] != "yes" {
				err = notYet("labels are %v", got.Labels)
			}
			return err
		})
	})

	ns := namespace(t, admin)
	hooks := admin.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	hook, err := hooks.Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "t-"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "names.example.org", ClientConfig: client, Rules: rules, NamespaceSelector: only(ns),
			SideEffects: none, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(2)),
			MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "asked", Expression: "object.metadata.name != 'unasked'"}},
		}},
	}, create)
	passes(t, err)
	t.Cleanup(func() { _ = hooks.Delete(context.Background(), hook.Name, metav1.DeleteOptions{}) })

	t.Run("validating", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("bad", nil), dry); err == nil {
				return notYet("still passes")
			}
			return nil
		})
		good := configMap("good", nil)
		good.Labels = map[string]string{"a": "b"} // so that there is nothing to patch
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, good, dry)
		passes(t, err)
		_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("bad", nil), create)
		refused(t, err, apierrors.IsForbidden, `admission webhook "names.example.org" denied the request: bad is not wanted here`)
	})
	t.Run("down, and the policy is Fail", func(t *testing.T) {
		service.Close()
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("good", nil), create)
		refused(t, err, apierrors.IsInternalError, `failed calling webhook "names.example.org"`)
		_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("unasked", nil), create)
		passes(t, err)
	})
	t.Run("down, and the policy is Ignore", func(t *testing.T) {
		hook.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Ignore)
		_, err := hooks.Update(ctx, hook, metav1.UpdateOptions{})
		passes(t, err)
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("good", nil), dry)
			return err
		})
	})
}
