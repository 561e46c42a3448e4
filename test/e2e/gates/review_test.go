package gates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// ask creates a review and reads the answer back into it.
func ask(t *testing.T, config *rest.Config, resource string, review runtime.Object) error {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(review)
	passes(t, err)
	client := server.Dynamic(t, config).Resource(v1alpha1.SchemeGroupVersion.WithResource(resource))
	answer, err := client.Create(t.Context(), &unstructured.Unstructured{Object: object}, create)
	if err != nil {
		return err
	}
	passes(t, runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, review))
	return nil
}

func kind(name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: name}
}

// TestRequestReview shows the trace of a request: what each authorizer makes of
// it, by which binding and rule, or what came nearest.
func TestRequestReview(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	bind(t, admin, ns, "rita", "view")
	awaitAccess(t, server.Client(t, s.UserConfig(t, "rita")), ns, "list", "", "pods")
	review := func(verb string) *v1alpha1.RequestReview {
		return &v1alpha1.RequestReview{TypeMeta: kind("RequestReview"), Spec: v1alpha1.RequestReviewSpec{
			User: "rita", Groups: []string{"system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Resource: "pods"},
		}}
	}
	r := review("list")
	passes(t, ask(t, s.AdminConfig(t), "requestreviews", r))
	if !r.Status.Allowed || len(r.Status.Steps) != 3 || r.Status.Steps[0].Part != "Guard" || r.Status.Steps[1].Part != "Node" || r.Status.Steps[2].Part != "RBAC" {
		t.Fatalf("the answer is %+v", r.Status)
	}
	if by := r.Status.Steps[2].Sources; len(by) != 2 || by[0].Kind != "RoleBinding" || by[0].Namespace != ns || by[1].Kind != "ClusterRole" || by[1].Name != "view" || !strings.HasPrefix(by[1].Part, "rules[") {
		t.Errorf("the sources are %+v", by)
	}
	r = review("delete")
	passes(t, ask(t, s.AdminConfig(t), "requestreviews", r))
	if r.Status.Allowed || len(r.Status.Steps[2].Misses) == 0 || r.Status.Steps[2].Misses[0].Lacks != "verb delete" {
		t.Errorf("the answer is %+v", r.Status)
	}

	// A Guard and RBAC both speak, and the Guard decides.
	putGuard(t, s, "review-"+ns, "subjects: {users: [rita]}\nresources: [pods]\nnamespaces: ["+ns+"]\nreason: closed")
	server.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := server.Client(t, s.UserConfig(t, "rita")).CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			return errors.New("the Guard is not in force")
		}
		return nil
	})
	r = review("list")
	passes(t, ask(t, s.AdminConfig(t), "requestreviews", r))
	if !r.Status.Denied || r.Status.Reason == "" || r.Status.Steps[0].Opinion != "deny" || r.Status.Steps[len(r.Status.Steps)-1].Opinion != "allow" {
		t.Errorf("the answer is %+v", r.Status)
	}

	// Who may not create one is refused, as for every other kind.
	refused(t, ask(t, s.UserConfig(t, "rita"), "requestreviews", review("list")), apierrors.IsForbidden)
	broken := &v1alpha1.RequestReview{TypeMeta: kind("RequestReview"), Spec: v1alpha1.RequestReviewSpec{User: "rita"}}
	refused(t, ask(t, s.AdminConfig(t), "requestreviews", broken), apierrors.IsInvalid, "exactly one of resourceAttributes")
}

// TestRequestReviewAsksAdmission: what upstream's plugins say of a Pod is in the trace,
// with what they change and what they would write into the audit log; and nothing is done.
func TestRequestReviewAsksAdmission(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	_, err := admin.CoreV1().LimitRanges(ns).Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "memory"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}}}}}, create)
	passes(t, err)
	_, err = admin.CoreV1().ResourceQuotas(ns).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}}}, create)
	passes(t, err)
	object, err := runtime.Encode(scheme.Codecs.LegacyCodec(corev1.SchemeGroupVersion), plainPod("web"))
	passes(t, err)
	r := &v1alpha1.RequestReview{TypeMeta: kind("RequestReview"), Spec: v1alpha1.RequestReviewSpec{
		User: "gatehouse:admin", Groups: []string{"gatehouse:admins", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: "create", Version: "v1", Resource: "pods"},
		Object:             &runtime.RawExtension{Raw: object},
	}}
	// says is what a plugin's steps say.
	says := func(plugin string) (all []v1alpha1.TraceStep) {
		for _, step := range r.Status.Steps {
			if step.Part == plugin {
				all = append(all, step)
			}
		}
		return all
	}
	server.Eventually(t, patience, func(context.Context) error { // informers of quotas and limits lag
		asked := r.DeepCopy()
		if err := ask(t, s.AdminConfig(t), "requestreviews", asked); err != nil {
			return err
		}
		r.Status = asked.Status
		quota := says("ResourceQuota")
		if len(quota) != 1 || quota[0].Opinion != "deny" || !strings.Contains(quota[0].Reason, "exceeded quota: none") {
			return notYet("of the quota: %+v", quota)
		}
		limits := says("LimitRanger")
		if len(limits) == 0 || !slices.ContainsFunc(limits, func(s v1alpha1.TraceStep) bool {
			return s.Opinion == "mutate" && strings.Contains(fmt.Sprint(s), "64Mi")
		}) {
			return notYet("of the limits: %+v", limits)
		}
		return nil
	})
	if r.Status.Allowed {
		t.Error("it is allowed")
	}
	if priority := says("Priority"); len(priority) == 0 {
		t.Error("nothing is said of the priority")
	}
	security := says("PodSecurity")
	if len(security) != 1 || security[0].Opinion != "warn" || !strings.Contains(security[0].Reason, `would violate PodSecurity "restricted:latest"`) ||
		!strings.Contains(security[0].Reason, "pod-security.kubernetes.io/audit-violations: ") || !strings.Contains(security[0].Reason, "pod-security.kubernetes.io/enforce-policy: baseline:latest") {
		t.Errorf("of Pod Security: %+v", security)
	}
	pods, err := admin.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	passes(t, err)
	if len(pods.Items) != 0 {
		t.Errorf("%d Pods were made", len(pods.Items))
	}
	// Nor does the audit log say of the review what it would say of the Pod.
	server.Eventually(t, patience, func(context.Context) error {
		if len(s.AuditEvents(t, `"resource":"requestreviews"`, `"stage":"ResponseComplete"`)) == 0 {
			return notYet("the review is not in the audit log")
		}
		return nil
	})
	if wrong := s.AuditEvents(t, `"resource":"requestreviews"`, `"annotations":`, "pod-security.kubernetes.io/enforce-policy"); len(wrong) > 0 {
		t.Errorf("the audit log says of the review: %v", wrong)
	}
}

// TestReviewsAreNotStored shows that reviews can be created and nothing else.
func TestReviewsAreNotStored(t *testing.T) {
	s := shared(t)
	client := server.Dynamic(t, s.AdminConfig(t)).Resource(v1alpha1.SchemeGroupVersion.WithResource("accesslists"))
	r := &v1alpha1.AccessList{TypeMeta: kind("AccessList"), ObjectMeta: metav1.ObjectMeta{Name: "mine"}}
	passes(t, ask(t, s.AdminConfig(t), "accesslists", r))
	list, err := client.List(t.Context(), metav1.ListOptions{})
	passes(t, err)
	if len(list.Items) != 0 {
		t.Errorf("%d reviews are stored", len(list.Items))
	}
	_, err = client.Patch(t.Context(), "mine", types.ApplyPatchType, []byte(`{"apiVersion":"gatehouse.io/v1alpha1","kind":"AccessList","metadata":{"name":"mine"}}`), metav1.PatchOptions{FieldManager: "x"})
	refused(t, err, apierrors.IsMethodNotSupported)
	misspelt := &unstructured.Unstructured{Object: map[string]any{"apiVersion": r.APIVersion, "kind": r.Kind, "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"usr": "jane"}}}
	_, err = client.Create(t.Context(), misspelt, create)
	refused(t, err, apierrors.IsBadRequest, `unknown field "spec.usr"`)
}

// TestSubjectsReview shows who can, and through what.
func TestSubjectsReview(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	bind(t, admin, ns, "sue", "view")
	awaitAccess(t, server.Client(t, s.UserConfig(t, "sue")), ns, "list", "", "pods")
	r := &v1alpha1.SubjectsReview{TypeMeta: kind("SubjectsReview"), Spec: v1alpha1.SubjectsReviewSpec{Verb: "list", Resource: "pods", Namespace: ns}}
	passes(t, ask(t, s.AdminConfig(t), "subjectsreviews", r))
	var sue, admins bool
	for _, who := range r.Status.Subjects {
		sue = sue || who.Kind == "User" && who.Name == "sue" && who.Binding.Namespace == ns && who.Role.Name == "view"
		admins = admins || who.ViaGroup && who.Wildcard && who.Name == "gatehouse:admins"
	}
	if !sue || !admins {
		t.Errorf("sue %v, the administrators %v: %+v", sue, admins, r.Status.Subjects)
	}
	r = &v1alpha1.SubjectsReview{TypeMeta: kind("SubjectsReview"), Spec: v1alpha1.SubjectsReviewSpec{Verb: "list", Resource: "pods", Namespace: ns, Limit: 1}}
	count := 0
	for page := 0; page == 0 || r.Spec.Continue != ""; page++ {
		passes(t, ask(t, s.AdminConfig(t), "subjectsreviews", r))
		count += len(r.Status.Subjects)
		r.Spec.Continue, r.Status = r.Status.Continue, v1alpha1.SubjectsReviewStatus{}
	}
	if count < 2 {
		t.Errorf("%d subjects in pages of one", count)
	}
}

// TestAccessList shows what somebody can do, where.
func TestAccessList(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	role := customRole(t, admin, nil, rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods/log"}})
	bind(t, admin, ns, "ali", role)
	awaitAccess(t, server.Client(t, s.UserConfig(t, "ali")), ns, "get", "", "pods/log")
	r := &v1alpha1.AccessList{TypeMeta: kind("AccessList"), Spec: v1alpha1.AccessListSpec{User: "ali"}}
	passes(t, ask(t, s.AdminConfig(t), "accesslists", r))
	if len(r.Status.Cluster) != 0 || len(r.Status.Namespaces) != 1 || r.Status.Namespaces[0].Namespace != ns || r.Status.Namespaces[0].Rules[0].Resources[0] != "pods/log" {
		t.Errorf("the answer is %+v", r.Status)
	}
}

// TestRefusalIsExplainedInTheAuditLog shows that the audit event of a refused
// request names what came nearest, and the response does not.
func TestRefusalIsExplainedInTheAuditLog(t *testing.T) {
	s := shared(t)
	admin := s.Admin(t)
	ns := namespace(t, admin)
	bind(t, admin, ns, "nelly", "view")
	nelly := server.Client(t, s.UserConfig(t, "nelly"))
	awaitAccess(t, nelly, ns, "list", "", "pods")
	err := nelly.CoreV1().Pods(ns).Delete(t.Context(), "p", metav1.DeleteOptions{})
	refused(t, err, apierrors.IsForbidden)
	if strings.Contains(err.Error(), "view") {
		t.Errorf("the response names a role: %v", err)
	}
	e := oneEvent(t, s, ns, `"verb":"delete"`, `"username":"nelly"`)
	if got := e.Annotations["gatehouse.io/authorization-misses"]; !strings.Contains(got, "RoleBinding "+ns+"/") || !strings.Contains(got, "ClusterRole view") || !strings.HasSuffix(got, "lacks verb delete") {
		t.Errorf("the annotations are %v", e.Annotations)
	}
}
