package gates

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// configMapsCreated is what the policies of these tests look at.
var configMapsCreated = []admissionregistrationv1.NamedRuleWithOperations{{
	RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	},
}}

func only(ns string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}}
}

func TestValidatingAdmissionPolicy(t *testing.T) {
	s := shared(t)
	admin := warnedClient(t, s.AdminConfig(t))
	ns := namespace(t, admin)
	ctx := t.Context()
	policies := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	bindings := admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()

	policy, err := policies.Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "owner-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: configMapsCreated},
			Validations: []admissionregistrationv1.Validation{{
				Expression:        "object.metadata.name == 'kube-root-ca.crt' || 'owner' in object.metadata.?labels.orValue({})",
				MessageExpression: "'ConfigMap ' + object.metadata.name + ' needs a label owner'",
			}},
		},
	}, create)
	passes(t, err)
	binding, err := bindings.Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "owner-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: only(ns)},
			ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Warn, admissionregistrationv1.Audit},
		},
	}, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = bindings.Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = policies.Delete(context.Background(), policy.Name, metav1.DeleteOptions{})
	})
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

	t.Run("Warn and Audit", func(t *testing.T) {
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), dry); err != nil {
				return err
			}
			if got := admin.take(); !strings.Contains(got, "ConfigMap c needs a label owner") {
				return notYet("warning is %q", got)
			}
			return nil
		})
		if len(s.AuditEvents(t, ns, "validation.policy.admission.k8s.io/validation_failure", "ConfigMap c needs a label owner")) == 0 {
			t.Error("no audit event says so")
		}
	})
	t.Run("Deny", func(t *testing.T) {
		binding.Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}
		_, err := bindings.Update(ctx, binding, metav1.UpdateOptions{})
		passes(t, err)
		server.Eventually(t, patience, func(ctx context.Context) error {
			if _, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), dry); err == nil {
				return notYet("still passes")
			}
			return nil
		})
		_, err = admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), create)
		refused(t, err, apierrors.IsInvalid, "ValidatingAdmissionPolicy '"+policy.Name+"' with binding '"+binding.Name+"' denied request: ConfigMap c needs a label owner")
	})
	t.Run("what meets it passes", func(t *testing.T) {
		good := configMap("c", nil)
		good.Labels = map[string]string{"owner": "me"}
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, good, create)
		passes(t, err)
	})
	t.Run("elsewhere it does not count", func(t *testing.T) {
		_, err := admin.CoreV1().ConfigMaps("default").Create(ctx, configMap("c", nil), dry)
		passes(t, err)
	})
	t.Run("upstream's plugin is asked where something is to be said", func(t *testing.T) {
		counted := func(metric string) (n int) {
			_, text := get(t, s.AdminConfig(t), "/metrics")
			if found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(metric) + ` (\d+)$`).FindStringSubmatch(text); found != nil {
				n, _ = strconv.Atoi(found[1]) // digits
			}
			return n
		}
		answered := func(by string) int { return counted(`gatehouse_policy_native_requests_total{by="` + by + `"}`) }
		good := configMap("d", nil)
		good.Labels = map[string]string{"owner": "me"}
		server.Eventually(t, patience, func(ctx context.Context) error {
			engine, plugin, known := answered("engine"), answered("plugin"), counted("gatehouse_policy_known_total")
			for range 5 {
				if _, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, good, dry); err != nil {
					return err
				}
			}
			if e, p := answered("engine")-engine, answered("plugin")-plugin; e < 5 || p > 0 {
				return notYet("of requests that meet it the engine answered %d and the plugin %d", e, p)
			}
			if n := counted("gatehouse_policy_known_total") - known; n < 4 {
				return notYet("of five requests about the same %d met a policy that was known", n)
			}
			return nil
		})
		plugin := answered("plugin")
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), dry)
		refused(t, err, apierrors.IsInvalid, policy.Name)
		if answered("plugin") == plugin {
			t.Error("the plugin did not refuse it")
		}
	})
}

// TestPolicyStatus shows the controller that type-checks policies.
func TestPolicyStatus(t *testing.T) {
	admin := shared(t).Admin(t)
	policies := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	policy, err := policies.Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "mistaken-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: "object.spec.replicas > '5'"}},
		},
	}, create)
	passes(t, err)
	t.Cleanup(func() { _ = policies.Delete(context.Background(), policy.Name, metav1.DeleteOptions{}) })
	server.Eventually(t, patience, func(ctx context.Context) error {
		got, err := policies.Get(ctx, policy.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got.Status.ObservedGeneration != got.Generation || got.Status.TypeChecking == nil || len(got.Status.TypeChecking.ExpressionWarnings) != 1 {
			return notYet("status is %+v", got.Status)
		}
		if w := got.Status.TypeChecking.ExpressionWarnings[0]; w.FieldRef != "spec.validations[0].expression" || !strings.Contains(w.Warning, "no matching overload for '_>_'") {
			return notYet("warning is %+v", w)
		}
		return nil
	})
}

func TestMutatingAdmissionPolicy(t *testing.T) {
	admin := shared(t).Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	policies := admin.AdmissionregistrationV1().MutatingAdmissionPolicies()
	bindings := admin.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	policy, err := policies.Create(ctx, &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "stamp-"},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints:   &admissionregistrationv1.MatchResources{ResourceRules: configMapsCreated},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
					Expression: "Object{metadata: Object.metadata{labels: {'made-by': request.userInfo.username.replace(':', '.')}}}",
				},
			}},
		},
	}, create)
	passes(t, err)
	binding, err := bindings.Create(ctx, &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "stamp-"},
		Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: only(ns)},
		},
	}, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = bindings.Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = policies.Delete(context.Background(), policy.Name, metav1.DeleteOptions{})
	})
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	server.Eventually(t, patience, func(ctx context.Context) error {
		got, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("c", nil), dry)
		if err == nil && got.Labels["made-by"] == "" {
			err = notYet("labels are %v", got.Labels)
		}
		return err
	})
	elsewhere, err := admin.CoreV1().ConfigMaps("default").Create(ctx, configMap("c", nil), dry)
	passes(t, err)
	if len(elsewhere.Labels) != 0 {
		t.Errorf("labels elsewhere are %v", elsewhere.Labels)
	}
}
