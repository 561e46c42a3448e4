package detect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// patience is how long an alert may take on a machine that does much else. What it took
// is printed; the goal is two seconds.
const patience = 10 * time.Second

var (
	rules       = v1alpha1.SchemeGroupVersion.WithResource("detectionrules")
	mutes       = v1alpha1.SchemeGroupVersion.WithResource("mutes")
	guards      = v1alpha1.SchemeGroupVersion.WithResource("guards")
	revocations = v1alpha1.SchemeGroupVersion.WithResource("revocations")
)

// people with static tokens, who may do everything.
var people = []string{"mallory", "bob", "eve"}

func tokenOf(name string) string { return "token-of-" + name + "-0123456789abcdef" }

// start starts a server that knows people, with settings of detection.
func start(t *testing.T, detection string) *server.Server {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens.csv")
	var tokens strings.Builder
	for i, name := range people {
		fmt.Fprintf(&tokens, "%s,%s,%d,\n", tokenOf(name), name, i)
	}
	must(t, os.WriteFile(file, []byte(tokens.String()), 0o600))
	s := server.Start(t, server.Options{Config: "authentication: {tokenFile: " + file + "}\ndetection:\n" + detection})
	var subjects []rbacv1.Subject
	for _, name := range people {
		subjects = append(subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name})
	}
	admin := s.Admin(t)
	_, err := admin.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "people"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}, {NonResourceURLs: []string{"*"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	must(t, err)
	_, err = admin.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "people"},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "people"}, Subjects: subjects}, metav1.CreateOptions{})
	must(t, err)
	for _, name := range people {
		server.Eventually(t, 20*time.Second, func(ctx context.Context) error {
			_, err := as(t, s, name).CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
			return err
		})
	}
	return s
}

func as(t *testing.T, s *server.Server, name string) kubernetes.Interface {
	t.Helper()
	return server.Client(t, s.TokenConfig(t, tokenOf(name)))
}

// bind makes somebody cluster-admin.
func bind(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "friend"}},
	}, metav1.CreateOptions{})
	return err
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	must(t, err)
	must(t, u.UnmarshalJSON(data))
	return u
}

func create(t *testing.T, any dynamic.Interface, of schema.GroupVersionResource, text string) {
	t.Helper()
	_, err := any.Resource(of).Create(t.Context(), object(t, text), metav1.CreateOptions{})
	must(t, err)
}

// condition waits for a condition of an object.
func condition(t *testing.T, any dynamic.Interface, of schema.GroupVersionResource, name, kind string, is metav1.ConditionStatus) (reason, message string) {
	t.Helper()
	server.Eventually(t, 20*time.Second, func(ctx context.Context) error {
		u, err := any.Resource(of).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var typed struct {
			Status struct {
				Conditions []metav1.Condition `json:"conditions"`
			} `json:"status"`
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &typed); err != nil {
			return err
		}
		c := meta.FindStatusCondition(typed.Status.Conditions, kind)
		if c == nil || c.Status != is || c.ObservedGeneration != u.GetGeneration() {
			return fmt.Errorf("%s of %s is %+v, want %s", kind, name, c, is)
		}
		reason, message = c.Reason, c.Message
		return nil
	})
	return reason, message
}

// TestAlerts attacks, and looks into Alertmanager.
func TestAlerts(t *testing.T) {
	m := server.StartAlertmanager(t, server.FreeAddress(t))
	s := start(t, fmt.Sprintf("  alerts: {alertmanagers: [{url: %q}], groupInterval: 1s}\n  runbookBaseURL: https://runbooks.example.com\n  response: {mode: DryRun, rules: [{rule: cluster-admin-binding, create: Revocation}]}", m.URL))
	admin, any := s.Admin(t), server.Dynamic(t, s.AdminConfig(t))
	mallory := as(t, s, "mallory")
	_, err := admin.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsForbidden(err) { // its account may not be there yet
		must(t, err)
	}

	t.Run("an attack is told", func(t *testing.T) {
		for rule, attack := range map[string]func() error{
			"cluster-admin-binding": func() error { return bind(t.Context(), mallory, "evil") },
			"secret-list-everywhere": func() error {
				_, err := mallory.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
				return err
			},
			"exec": func() error {
				err := mallory.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name("web").SubResource("exec").Param("command", "id").Do(t.Context()).Error()
				if err == nil || apierrors.IsForbidden(err) {
					return fmt.Errorf("it ran, or was not let: %w", err)
				}
				return nil // there is no kubelet
			},
		} {
			must(t, attack())
			a, took := await(t, m, rule, "mallory")
			t.Logf("%s: in Alertmanager %v after the answer to the request", rule, took.Round(time.Millisecond))
			if rule != "cluster-admin-binding" {
				continue
			}
			for _, want := range []string{"* * in every namespace, by ClusterRoleBinding people", "https://runbooks.example.com/cluster-admin-binding", "Dry run: it would have made Revocation detect-"} {
				if !mentions(&a, want) {
					t.Errorf("the alert does not mention %q: %v", want, a.Annotations)
				}
			}
		}
		// The dry run made nothing, and is logged.
		if list, err := any.Resource(revocations).List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
			t.Errorf("Revocations: %v %v", list, err)
		}
		server.Eventually(t, patience, func(context.Context) error {
			if !strings.Contains(s.Log(), "Dry run: it would have made Revocation") {
				return errors.New("the log does not say so")
			}
			return nil
		})
	})

	t.Run("a rule is live", func(t *testing.T) {
		begun := time.Now()
		create(t, any, rules, `{apiVersion: gatehouse.io/v1alpha1, kind: DetectionRule, metadata: {name: honeypot}, spec: {title: Bait is taken, severity: high, message: "{{user}} took the bait", match: {resources: [configmaps], verbs: [get]}, condition: 'event.objectRef.name == "bait"', key: [user]}}`)
		if reason, _ := condition(t, any, rules, "honeypot", v1alpha1.DetectionAccepted, metav1.ConditionTrue); reason != v1alpha1.DetectionInForce {
			t.Errorf("reason %s", reason)
		}
		t.Logf("in force %v after it was made", time.Since(begun).Round(time.Millisecond))
		if reason, _ := condition(t, any, rules, "honeypot", v1alpha1.DetectionSighted, metav1.ConditionTrue); reason != v1alpha1.DetectionSees {
			t.Errorf("reason %s", reason)
		}
		_, _ = as(t, s, "eve").CoreV1().ConfigMaps("default").Get(t.Context(), "bait", metav1.GetOptions{})
		await(t, m, "honeypot", "eve took the bait")

		create(t, any, rules, `{apiVersion: gatehouse.io/v1alpha1, kind: DetectionRule, metadata: {name: wrong}, spec: {title: t, severity: high, message: m, condition: 'event.nothing == 1'}}`)
		if reason, message := condition(t, any, rules, "wrong", v1alpha1.DetectionAccepted, metav1.ConditionFalse); reason != v1alpha1.DetectionInvalid || !strings.Contains(message, "spec.condition") {
			t.Errorf("reason %s: %s", reason, message)
		}
		create(t, any, rules, `{apiVersion: gatehouse.io/v1alpha1, kind: DetectionRule, metadata: {name: sightless}, spec: {title: t, severity: high, message: m, match: {resources: [secrets], verbs: [create]}, condition: 'has(object.stringData)'}}`)
		if reason, message := condition(t, any, rules, "sightless", v1alpha1.DetectionSighted, metav1.ConditionFalse); reason != v1alpha1.DetectionBlind || !strings.Contains(message, "level Metadata") {
			t.Errorf("reason %s: %s", reason, message)
		}
		must(t, any.Resource(rules).Delete(t.Context(), "honeypot", metav1.DeleteOptions{}))
	})

	t.Run("a mute silences", func(t *testing.T) {
		_, err := as(t, s, "bob").CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		must(t, err)
		await(t, m, "secret-list-everywhere", "bob")
		create(t, any, mutes, `{apiVersion: gatehouse.io/v1alpha1, kind: Mute, metadata: {name: bob}, spec: {match: {rules: ["secret-*"], users: [bob]}, owner: tests, reason: He may, expiresAt: "`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`"}}`)
		condition(t, any, mutes, "bob", v1alpha1.MuteAccepted, metav1.ConditionTrue)
		silent := func(ctx context.Context) error {
			all, err := m.Alerts(ctx, "secret-list-everywhere")
			for _, a := range all {
				if mentions(&a, "bob") {
					return fmt.Errorf("it is told: %v", a)
				}
			}
			return err
		}
		server.Eventually(t, 20*time.Second, silent)
		_, err = as(t, s, "bob").CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		must(t, err)
		// What comes later is told, so this would have been.
		_, err = as(t, s, "eve").CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		must(t, err)
		await(t, m, "secret-list-everywhere", "eve")
		must(t, silent(t.Context()))
	})
}

// TestResponse stops who a finding is about.
func TestResponse(t *testing.T) {
	m := server.StartAlertmanager(t, server.FreeAddress(t))
	s := start(t, fmt.Sprintf("  alerts: {alertmanagers: [{url: %q}]}\n  response: {mode: Enforce, duration: 5m, rules: [{rule: cluster-admin-binding, create: Revocation}, {rule: secret-list-everywhere, create: Guard}]}", m.URL))
	any := server.Dynamic(t, s.AdminConfig(t))
	stopped := func(name string, is func(error) bool) time.Duration {
		t.Helper()
		begun, client := time.Now(), as(t, s, name)
		for deadline := begun.Add(patience); ; time.Sleep(10 * time.Millisecond) {
			_, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
			if is(err) {
				return time.Since(begun)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s still gets %v", name, err)
			}
		}
	}
	must(t, bind(t.Context(), as(t, s, "mallory"), "evil"))
	t.Logf("a revoked token gets 401 %v after what it did", stopped("mallory", apierrors.IsUnauthorized).Round(time.Millisecond))
	a, _ := await(t, m, "cluster-admin-binding", "It made Revocation detect-")
	if !mentions(&a, "mallory") {
		t.Errorf("the alert: %v", a.Annotations)
	}
	_, err := as(t, s, "bob").CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	t.Logf("a guarded user gets 403 %v after what they did", stopped("bob", apierrors.IsForbidden).Round(time.Millisecond))
	_, err = as(t, s, "eve").CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	condition(t, any, guards, nameOf(t, any, guards), v1alpha1.GuardAccepted, metav1.ConditionTrue)

	// The administrator is a member of system:masters, or the like, and is left alone.
	name := nameOf(t, any, revocations)
	u, err := any.Resource(revocations).Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	labels := u.GetLabels()
	if name != "detect-"+labels["gatehouse.io/fingerprint"] || labels["gatehouse.io/detection-rule"] != "cluster-admin-binding" || labels["gatehouse.io/owner"] == "" || labels["gatehouse.io/expires"] == "" || u.GetAnnotations()[v1alpha1.AnnotationReason] == "" {
		t.Errorf("%s: %v %v", name, labels, u.GetAnnotations())
	}
	// What has ended is deleted.
	u.SetAnnotations(map[string]string{v1alpha1.AnnotationExpiresAt: time.Now().Add(-time.Second).UTC().Format(time.RFC3339)})
	_, err = any.Resource(revocations).Update(t.Context(), u, metav1.UpdateOptions{})
	must(t, err)
	server.Eventually(t, time.Minute, func(ctx context.Context) error {
		if _, err := any.Resource(revocations).Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	_, err = as(t, s, "mallory").CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	must(t, err)
}

// nameOf is the name of the only object of a kind.
func nameOf(t *testing.T, any dynamic.Interface, of schema.GroupVersionResource) string {
	t.Helper()
	list, err := any.Resource(of).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	if len(list.Items) != 1 {
		t.Fatalf("%d %s: %v", len(list.Items), of.Resource, list.Items)
	}
	return list.Items[0].GetName()
}
