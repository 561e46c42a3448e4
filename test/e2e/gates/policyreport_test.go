package gates

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

var policyReports = schema.GroupVersionResource{Group: "wgpolicyk8s.io", Version: "v1alpha2", Resource: "policyreports"}

// ownerPolicy wants a label owner on the ConfigMaps of a namespace, and what becomes of
// those without.
func ownerPolicy(t *testing.T, admin kubernetes.Interface, ns string, actions ...admissionregistrationv1.ValidationAction) (policy, binding string, remove func()) {
	t.Helper()
	ctx := t.Context()
	p, err := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "report-owner-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: configMapsCreated},
			Validations: []admissionregistrationv1.Validation{{
				Expression:        "object.metadata.name == 'kube-root-ca.crt' || 'owner' in object.metadata.?labels.orValue({})",
				MessageExpression: "object.metadata.name + ' needs a label owner'",
			}},
		},
	}, create)
	passes(t, err)
	b, err := admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "report-owner-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: p.Name, MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: only(ns)}, ValidationActions: actions,
		},
	}, create)
	passes(t, err)
	remove = func() {
		_ = admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(context.Background(), b.Name, metav1.DeleteOptions{})
		_ = admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(context.Background(), p.Name, metav1.DeleteOptions{})
	}
	t.Cleanup(remove)
	return p.Name, b.Name, remove
}

func TestPolicyReports(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	maps := admin.CoreV1().ConfigMaps(ns)
	bad, err := maps.Create(ctx, configMap("bad", nil), create)
	passes(t, err)
	reports := server.Dynamic(t, s.AdminConfig(t)).Resource(policyReports)
	policy, binding, remove := ownerPolicy(t, admin, ns, admissionregistrationv1.Deny)

	report := func(t *testing.T, want string) {
		t.Helper()
		server.Eventually(t, patience, func(ctx context.Context) error {
			list, err := reports.Namespace(ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			var got []string
			for _, r := range list.Items {
				results, _, _ := unstructured.NestedSlice(r.Object, "results")
				for _, one := range results {
					m := one.(map[string]any)
					name, _, _ := unstructured.NestedString(r.Object, "scope", "name")
					got = append(got, name+": "+m["result"].(string)+" "+m["message"].(string))
				}
			}
			slices.Sort(got)
			if text := strings.Join(got, "\n"); text != want {
				return notYet("the reports say %q", text)
			}
			return nil
		})
	}
	report(t, "bad: fail bad needs a label owner")

	t.Run("one by its name", func(t *testing.T) {
		got, err := reports.Namespace(ns).Get(ctx, string(bad.UID), metav1.GetOptions{})
		passes(t, err)
		results, _, _ := unstructured.NestedSlice(got.Object, "results")
		one := results[0].(map[string]any)
		properties := one["properties"].(map[string]any)
		if one["policy"] != policy || properties["binding"] != binding || properties["kind"] != "ValidatingAdmissionPolicy" || properties["actions"] != "deny" {
			t.Errorf("the result is %v", one)
		}
	})
	t.Run("nothing is stored", func(t *testing.T) {
		stored, err := etcd(t, s).Get(ctx, "/registry/wgpolicyk8s.io", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		passes(t, err)
		for _, kv := range stored.Kvs {
			t.Errorf("etcd has %s", kv.Key)
		}
		_, err = reports.Namespace(ns).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport", "metadata": map[string]any{"name": "mine"}}}, create)
		refused(t, err, apierrors.IsMethodNotSupported, "create")
	})
	t.Run("who may not read them", func(t *testing.T) {
		anna := s.UserConfig(t, "anna-of-reports")
		_, err := server.Dynamic(t, anna).Resource(policyReports).Namespace(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, "cannot list resource")
		_, err = admin.RbacV1().Roles(ns).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reports"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"wgpolicyk8s.io"}, Resources: []string{"policyreports"}, Verbs: []string{"get", "list", "watch"}}}}, create)
		passes(t, err)
		_, err = admin.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reports"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reports"},
			Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "anna-of-reports"}}}, create)
		passes(t, err)
		server.Eventually(t, patience, func(ctx context.Context) error {
			_, err := server.Dynamic(t, anna).Resource(policyReports).Namespace(ns).List(ctx, metav1.ListOptions{})
			return err
		})
		_, err = server.Dynamic(t, anna).Resource(policyReports).List(ctx, metav1.ListOptions{})
		refused(t, err, apierrors.IsForbidden, "cluster scope")
	})
	t.Run("kubectl", func(t *testing.T) {
		kubectl, err := exec.LookPath("kubectl")
		if err != nil {
			t.Skip("there is no kubectl")
		}
		run := func(args ...string) (out string) {
			// Upstream looks once a second for what there is to explain of a
			// CustomResourceDefinition: this may be the server's first.
			server.Eventually(t, patience, func(ctx context.Context) error {
				told, err := exec.CommandContext(ctx, kubectl, append([]string{"--kubeconfig", s.Kubeconfig()}, args...)...).CombinedOutput()
				if err != nil {
					return fmt.Errorf("kubectl %v: %w\n%s", args, err, told)
				}
				out = string(told)
				return nil
			})
			return out
		}
		if got := strings.Fields(run("get", "policyreport", "-n", ns)); !slices.Equal(got[:9], []string{"NAME", "KIND", "OBJECT", "PASS", "FAIL", "WARN", "ERROR", "SKIP", "AGE"}) ||
			!slices.Equal(got[9:17], []string{string(bad.UID), "ConfigMap", "bad", "0", "1", "0", "0", "0"}) {
			t.Errorf("kubectl get: %v", got)
		}
		if got := run("explain", "policyreport.summary.fail"); !strings.Contains(got, "would refuse the object") {
			t.Errorf("kubectl explain: %s", got)
		}
	})
	t.Run("watched until it is mended", func(t *testing.T) {
		list, err := reports.Namespace(ns).List(ctx, metav1.ListOptions{})
		passes(t, err)
		w, err := reports.Namespace(ns).Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		passes(t, err)
		defer w.Stop()
		good := configMap("bad", nil)
		good.Labels = map[string]string{"owner": "me"}
		_, err = maps.Update(ctx, good, metav1.UpdateOptions{})
		passes(t, err)
		event := <-w.ResultChan()
		if o, ok := event.Object.(*unstructured.Unstructured); event.Type != watch.Deleted || !ok || o.GetName() != string(bad.UID) {
			t.Errorf("the watch tells %+v", event)
		}
		report(t, "")
	})
	t.Run("gone with its policy", func(t *testing.T) {
		bare := configMap("bad", nil)
		server.Eventually(t, patience, func(ctx context.Context) error {
			// Refused while it is in force: the policy looks at creations alone.
			_, err := maps.Update(ctx, bare, metav1.UpdateOptions{})
			return err
		})
		report(t, "bad: fail bad needs a label owner")
		remove()
		report(t, "")
	})
}

func TestReportsOfBuiltinPoliciesAndExceptions(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	objects := server.ObjectsOf(t, s.AdminConfig(t))
	web := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": ns},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
			"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "web"}},
				"spec": map[string]any{"hostPID": true, "containers": []any{map[string]any{"name": "web", "image": "web"}}}},
		},
	}}
	objects.Apply(t, web)
	on := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gatehouse.io/v1alpha1", "kind": "BuiltinPolicies", "metadata": map[string]any{"name": "of-reports"},
		"spec": map[string]any{"policies": []any{map[string]any{"name": "DisallowHostPID", "action": "Report"}}},
	}}
	reports := server.Dynamic(t, s.AdminConfig(t)).Resource(policyReports).Namespace(ns)
	says := func(want string) {
		t.Helper()
		server.Eventually(t, patience, func(ctx context.Context) error {
			list, err := reports.List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			got := ""
			for _, r := range list.Items {
				results, _, _ := unstructured.NestedSlice(r.Object, "results")
				for _, one := range results {
					m := one.(map[string]any)
					name, _, _ := unstructured.NestedString(r.Object, "scope", "name")
					got += name + " " + m["policy"].(string) + " " + m["rule"].(string) + " " + m["result"].(string)
				}
			}
			if got != want {
				return notYet("the reports say %q", got)
			}
			return nil
		})
	}
	says("")
	objects.Apply(t, on)
	says("web of-reports DisallowHostPID warn")
	enforce := on.DeepCopy()
	enforce.Object["spec"] = map[string]any{"policies": []any{map[string]any{"name": "DisallowHostPID", "action": "Enforce"}}, "exemptions": []any{map[string]any{"namespaces": []any{"kube-*"}}}}
	objects.Apply(t, enforce)
	says("web of-reports DisallowHostPID fail")
	objects.Apply(t, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gatehouse.io/v1alpha1", "kind": "Exception", "metadata": map[string]any{"name": "of-reports"},
		"spec": map[string]any{"policies": []any{map[string]any{"name": "DisallowHostPID"}}, "match": map[string]any{"namespaces": []any{ns}},
			"reason": "for a test", "owner": "the tests", "expiresAt": "2999-01-01T00:00:00Z"},
	}})
	says("web of-reports DisallowHostPID skip")
	// Mended.
	next := web.DeepCopy()
	unstructured.RemoveNestedField(next.Object, "spec", "template", "spec", "hostPID")
	objects.Apply(t, next)
	says("")
	if err := admin.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestReportsOfOtherVersions has a policy of a version that is not the one in which
// objects are judged, and of a kind that the scan reads through the API.
func TestReportsOfOtherVersions(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	_, err := admin.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, MaxReplicas: 9,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: "cpu", Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: new(int32(80))}}}},
		},
	}, create)
	passes(t, err)
	service, err := admin.CoreV1().Services(ns).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "front"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, create)
	passes(t, err)
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "report-versions-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{
				{RuleWithOperations: admissionregistrationv1.RuleWithOperations{Operations: []admissionregistrationv1.OperationType{"CREATE"},
					Rule: admissionregistrationv1.Rule{APIGroups: []string{"autoscaling"}, APIVersions: []string{"v1"}, Resources: []string{"horizontalpodautoscalers"}}}},
				{RuleWithOperations: admissionregistrationv1.RuleWithOperations{Operations: []admissionregistrationv1.OperationType{"CREATE"},
					Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}}}},
			}},
			Validations: []admissionregistrationv1.Validation{{
				Expression:        "false",
				MessageExpression: "'it has ' + string(object.kind == 'Service' ? object.spec.clusterIP : object.spec.targetCPUUtilizationPercentage)",
			}},
		},
	}
	policy, err = admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Create(ctx, policy, create)
	passes(t, err)
	binding, err := admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "report-versions-"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: only(ns)}, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}, create)
	passes(t, err)
	t.Cleanup(func() {
		_ = admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = admin.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(context.Background(), policy.Name, metav1.DeleteOptions{})
	})
	want := "autoscaling/v2 HorizontalPodAutoscaler web: it has 80\nv1 Service front: it has " + service.Spec.ClusterIP
	reports := server.Dynamic(t, s.AdminConfig(t)).Resource(policyReports).Namespace(ns)
	server.Eventually(t, patience, func(ctx context.Context) error {
		list, err := reports.List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var got []string
		for _, r := range list.Items {
			scope, _, _ := unstructured.NestedStringMap(r.Object, "scope")
			results, _, _ := unstructured.NestedSlice(r.Object, "results")
			for _, one := range results {
				got = append(got, fmt.Sprintf("%s %s %s: %s", scope["apiVersion"], scope["kind"], scope["name"], one.(map[string]any)["message"]))
			}
		}
		slices.Sort(got)
		if text := strings.Join(got, "\n"); text != want {
			return notYet("the reports say %q", text)
		}
		return nil
	})
}

// TestReportsOfAnotherProgram puts another program's definition over ours.
func TestReportsOfAnotherProgram(t *testing.T) {
	s := server.Start(t, server.Options{})
	ctx := t.Context()
	client := server.Dynamic(t, s.AdminConfig(t))
	reports := client.Resource(policyReports).Namespace("default")
	theirs := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": "PolicyReport", "metadata": map[string]any{"name": "theirs"}, "summary": map[string]any{"fail": int64(1)}}}
	server.Eventually(t, patience, func(ctx context.Context) error {
		_, err := reports.Create(ctx, theirs, create)
		if !apierrors.IsMethodNotSupported(err) {
			return notYet("creating one while they are ours: %v", err)
		}
		return nil
	})
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	crd, err := crds.Get(ctx, "policyreports.wgpolicyk8s.io", metav1.GetOptions{})
	passes(t, err)
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	passes(t, err)
	passes(t, unstructured.SetNestedField(versions[0].(map[string]any), "PolicyReport is the Schema for the policyreports API", "schema", "openAPIV3Schema", "description"))
	passes(t, unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
	_, err = crds.Update(ctx, crd, metav1.UpdateOptions{})
	passes(t, err)
	server.Eventually(t, patience, func(ctx context.Context) error {
		_, err := reports.Create(ctx, theirs, create)
		return err
	})
	s.Stop(t)
	s = s.Restart(t) // the definition stays theirs, and the report where it is
	server.Eventually(t, patience, func(ctx context.Context) error {
		got, err := server.Dynamic(t, s.AdminConfig(t)).Resource(policyReports).Namespace("default").Get(ctx, "theirs", metav1.GetOptions{})
		if err == nil && got.GetGeneration() == 0 {
			return notYet("it is not a stored one")
		}
		return err
	})
}
