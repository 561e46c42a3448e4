package gates

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// events are the audit events whose line contains each of the texts.
func events(t *testing.T, s *server.Server, containing ...string) []auditv1.Event {
	t.Helper()
	var found []auditv1.Event
	for _, line := range s.AuditEvents(t, containing...) {
		var e auditv1.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("audit line is no JSON: %v\n%s", err, line)
		}
		found = append(found, e)
	}
	return found
}

// oneEvent is the only such event; it waits for none, since a response is not
// sent before its event is written.
func oneEvent(t *testing.T, s *server.Server, containing ...string) auditv1.Event {
	t.Helper()
	found := events(t, s, containing...)
	if len(found) != 1 {
		t.Fatalf("%d audit events contain %q", len(found), containing)
	}
	return found[0]
}

// TestAuditPolicy shows what the built-in policy writes down.
func TestAuditPolicy(t *testing.T) {
	s := shared(t)
	config := s.AdminConfig(t)
	config.UserAgent = "audit-test"
	admin := server.Client(t, config)
	ns := namespace(t, admin)
	ctx := t.Context()
	const marker = "marker-for-the-audit-log-3e07"

	t.Run("a Secret without its body", func(t *testing.T) {
		_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque("s", map[string]string{"k": marker}), create)
		passes(t, err)
		_, err = admin.CoreV1().Secrets(ns).Patch(ctx, "s", types.MergePatchType, []byte(`{"stringData":{"l":"`+marker+`"}}`), metav1.PatchOptions{})
		passes(t, err)
		e := oneEvent(t, s, ns, `"resource":"secrets"`, `"verb":"create"`)
		if e.Level != auditv1.LevelMetadata || e.User.Username != "gatehouse:admin" || e.ResponseStatus.Code != 201 || e.UserAgent != "audit-test" || len(e.SourceIPs) == 0 {
			t.Errorf("event is %+v", e)
		}
		oneEvent(t, s, ns, `"resource":"secrets"`, `"verb":"patch"`)
	})
	t.Run("a token without its body", func(t *testing.T) {
		token, err := admin.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, create)
		passes(t, err)
		e := oneEvent(t, s, ns, `"subresource":"token"`)
		if e.Level != auditv1.LevelMetadata || e.ResponseObject != nil {
			t.Errorf("event is %+v", e)
		}
		_, err = admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, create)
		passes(t, err)
		if got := events(t, s, `"resource":"tokenreviews"`, `"userAgent":"audit-test"`); len(got) != 1 || got[0].RequestObject != nil {
			t.Errorf("events are %+v", got)
		}
		if found := filesWith(t, s.Path("audit"), strings.Split(token.Status.Token, ".")[2]); len(found) > 0 {
			t.Errorf("the token is in %v", found)
		}
		// A token in use says who, and not what it is.
		_, err = server.Client(t, s.TokenConfig(t, token.Status.Token)).CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err == nil {
			t.Error("the default account may list pods")
		}
		if got := oneEvent(t, s, ns, `"resource":"pods"`, `"verb":"list"`, `"username":"system:serviceaccount:`+ns+`:default"`); got.ResponseStatus.Code != 403 {
			t.Errorf("event is %+v", got)
		}
		if found := filesWith(t, s.Path("audit"), strings.Split(token.Status.Token, ".")[2]); len(found) > 0 {
			t.Errorf("the token is in %v", found)
		}
	})
	t.Run("permissions with the body", func(t *testing.T) {
		jane := rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "to-jane"}, Subjects: subject("jane-doe"), RoleRef: clusterRole("edit")}
		_, err := admin.RbacV1().RoleBindings(ns).Create(ctx, &jane, create)
		passes(t, err)
		e := oneEvent(t, s, ns, `"resource":"rolebindings"`, `"verb":"create"`, "to-jane")
		if e.Level != auditv1.LevelRequestResponse || !strings.Contains(string(e.RequestObject.Raw), "jane-doe") || !strings.Contains(string(e.ResponseObject.Raw), `"uid"`) {
			t.Errorf("event is %+v", e)
		}
		passes(t, admin.RbacV1().RoleBindings(ns).Delete(ctx, "to-jane", metav1.DeleteOptions{}))
		if e := oneEvent(t, s, ns, `"resource":"rolebindings"`, `"verb":"delete"`, "to-jane"); e.Level != auditv1.LevelRequestResponse {
			t.Errorf("event is %+v", e)
		}
	})
	t.Run("webhooks and policies with the body", func(t *testing.T) {
		name := "audited-" + ns
		policies := admin.AdmissionregistrationV1().ValidatingAdmissionPolicies()
		_, err := policies.Create(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: configMapsCreated},
				Validations:      []admissionregistrationv1.Validation{{Expression: "1 != 7001"}},
			},
		}, create)
		passes(t, err)
		passes(t, policies.Delete(ctx, name, metav1.DeleteOptions{}))
		hooks := admin.AdmissionregistrationV1().ValidatingWebhookConfigurations()
		_, err = hooks.Create(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: name}}, create)
		passes(t, err)
		passes(t, hooks.Delete(ctx, name, metav1.DeleteOptions{}))
		if e := oneEvent(t, s, name, `"resource":"validatingadmissionpolicies"`, `"verb":"create"`); e.RequestObject == nil || !strings.Contains(string(e.RequestObject.Raw), "1 != 7001") {
			t.Errorf("event is %+v", e)
		}
		for _, verb := range []string{"create", "delete"} {
			if e := oneEvent(t, s, name, `"resource":"validatingwebhookconfigurations"`, `"verb":"`+verb+`"`); e.ResponseObject == nil || e.User.Username != "gatehouse:admin" {
				t.Errorf("event is %+v", e)
			}
		}
	})
	t.Run("reading without bodies", func(t *testing.T) {
		_, err := admin.RbacV1().RoleBindings(ns).List(ctx, metav1.ListOptions{})
		passes(t, err)
		if e := oneEvent(t, s, ns, `"resource":"rolebindings"`, `"verb":"list"`, `"audit-test"`); e.Level != auditv1.LevelMetadata {
			t.Errorf("event is %+v", e)
		}
	})
	t.Run("a request nobody is known for", func(t *testing.T) {
		config := s.TokenConfig(t, "not-a-token-"+marker)
		config.UserAgent = "stranger-in-the-audit-log"
		_, err := server.Client(t, config).CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		if err == nil {
			t.Error("let in")
		}
		if e := oneEvent(t, s, `"stranger-in-the-audit-log"`); e.ResponseStatus.Code != 401 {
			t.Errorf("event is %+v", e)
		}
	})
	t.Run("controllers act under their own names", func(t *testing.T) {
		server.Eventually(t, patience, func(context.Context) error {
			if len(s.AuditEvents(t, ns, `"resource":"serviceaccounts"`, `"impersonatedUser":{"username":"system:serviceaccount:kube-system:service-account-controller"`)) == 0 {
				return notYet("no such event")
			}
			return nil
		})
	})
	t.Run("no marker, and the files are the owner's", func(t *testing.T) {
		if found := filesWith(t, s.Path("audit"), marker); len(found) > 0 {
			t.Errorf("the marker is in %v", found)
		}
		ownersOnly(t, s.Path("audit"))
	})
}

// auditPolicy writes down what is done to the resource, with bodies, and
// nothing else.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  verbs: [create, update]
  resources: [{group: "", resources: [%s]}]
- level: None
`

// TestAuditSettings shows the operator's own policy, read again when it
// changes, and rotation by size and count.
func TestAuditSettings(t *testing.T) {
	t.Parallel()
	policy := file(t, "policy.yaml", fmt.Sprintf(auditPolicy, "configmaps"))
	log := filepath.Join(shortDir(t), "logs", "events.log")
	s := server.Start(t, server.Options{Config: fmt.Sprintf("audit: {policyFile: %s, logFile: %s, maxSizeMegabytes: 1, maxBackups: 2}", policy, log)})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	ctx := t.Context()
	written := func(text string) bool {
		data, err := os.ReadFile(log)
		passes(t, err)
		return strings.Contains(string(data), text)
	}
	configMapIsWritten := func(name string) bool {
		t.Helper()
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap(name, map[string]string{"k": "body-of-" + name}), create)
		passes(t, err)
		return written("body-of-" + name)
	}
	secretIsWritten := func(name string) bool {
		t.Helper()
		_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque(name, nil), create)
		passes(t, err)
		return written(`"name":"` + name + `"`)
	}

	t.Run("own policy", func(t *testing.T) {
		if !configMapIsWritten("first") {
			t.Error("ConfigMap is not written down")
		}
		if secretIsWritten("first-secret") {
			t.Error("Secret is written down")
		}
	})
	t.Run("changed without a restart", func(t *testing.T) {
		replace(t, policy, fmt.Sprintf(auditPolicy, "secrets"))
		n := 0
		server.Eventually(t, patience, func(context.Context) error {
			if n++; !secretIsWritten(fmt.Sprintf("second-secret-%d", n)) {
				return notYet("Secret is not written down")
			}
			return nil
		})
		if configMapIsWritten("second") {
			t.Error("ConfigMap is written down")
		}
	})
	t.Run("a bad policy keeps the one before", func(t *testing.T) {
		replace(t, policy, "kind: Policy\nrules: nonsense\n")
		server.Eventually(t, patience, func(context.Context) error {
			if !strings.Contains(s.Log(), "audit policy "+policy+" is not read again, the one before stays in force") {
				return notYet("the log does not say so")
			}
			return nil
		})
		if !secretIsWritten("third-secret") || configMapIsWritten("third") {
			t.Error("another policy is in force")
		}
	})
	t.Run("rotation", func(t *testing.T) {
		replace(t, policy, fmt.Sprintf(auditPolicy, "configmaps"))
		n := 0
		server.Eventually(t, patience, func(context.Context) error {
			if n++; !configMapIsWritten(fmt.Sprintf("fourth-%d", n)) {
				return notYet("ConfigMap is not written down")
			}
			return nil
		})
		for i := range 12 { // each event holds the body twice
			_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap(fmt.Sprintf("big-%d", i), map[string]string{"k": strings.Repeat("x", 300<<10)}), create)
			passes(t, err)
			time.Sleep(2 * time.Millisecond) // backups are named by the millisecond
		}
		server.Eventually(t, patience, func(context.Context) error {
			backups, err := filepath.Glob(filepath.Join(filepath.Dir(log), "events-*.log"))
			if err == nil && len(backups) != 2 {
				err = notYet("%d backups, want 2", len(backups))
			}
			return err
		})
		if info, err := os.Stat(log); err != nil || info.Size() > 1<<20 {
			t.Errorf("current log: %v %v", info, err)
		}
		ownersOnly(t, filepath.Dir(log))
	})
}
