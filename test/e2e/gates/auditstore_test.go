package gates

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// everything is an audit policy that has every body: what it records is redacted.
const everything = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: RequestResponse}]\n"

// auditEvents asks a running server by gatehouse audit query.
func auditEvents(t *testing.T, kubeconfig string, args ...string) []map[string]any {
	t.Helper()
	out, stderr, code := server.Command(t, append([]string{"audit", "query", "--kubeconfig", kubeconfig, "-o", "jsonl", "--bodies"}, args...)...)
	if code != 0 {
		t.Fatalf("audit query %v: exit code %d: %s", args, code, stderr)
	}
	var found []map[string]any
	for line := range strings.Lines(out) {
		var e map[string]any
		passes(t, json.Unmarshal([]byte(line), &e))
		found = append(found, e)
	}
	return found
}

// TestAuditStore holds what becomes of events: kept without secrets, asked at once, by
// those who may, and there after a kill.
func TestAuditStore(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	passes(t, os.WriteFile(policy, []byte(everything), 0o600))
	s := server.Start(t, server.Options{Config: "audit: {policyFile: " + policy + "}"})
	admin := s.Admin(t)
	ns := namespace(t, admin)
	other := namespace(t, admin)
	ctx := t.Context()

	marker := "planted-3c1f98aa"
	_, err := admin.CoreV1().Secrets(ns).Create(ctx, opaque("s", map[string]string{"k": marker + "-data"}), create)
	passes(t, err)
	for kind, patch := range map[types.PatchType]string{
		types.MergePatchType:          `{"stringData":{"l":"` + marker + `-merge"}}`,
		types.JSONPatchType:           `[{"op":"add","path":"/stringData","value":{"m":"` + marker + `-json"}}]`,
		types.StrategicMergePatchType: `{"stringData":{"n":"` + marker + `-strategic"}}`,
	} {
		_, err = admin.CoreV1().Secrets(ns).Patch(ctx, "s", kind, []byte(patch), metav1.PatchOptions{})
		passes(t, err)
	}
	_, err = admin.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
	passes(t, err)
	applied := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Secret\",\"stringData\":{\"o\":\"` + marker + `-applied\"}}"}}}`
	passes(t, admin.CoreV1().RESTClient().Post().Namespace(ns).Resource("configmaps").Body([]byte(applied)).SetHeader("Content-Type", "application/json").Do(ctx).Error())
	token, err := admin.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authenticationv1.TokenRequest{}, create)
	passes(t, err)
	_, err = admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, create)
	passes(t, err)
	// There is no kubelet to run it; the request is an event all the same.
	for range 2 {
		_ = admin.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("p").SubResource("exec").
			Param("command", "mysql").Param("command", "-p"+marker+"-exec").Do(ctx).Error()
	}

	t.Run("events are asked within a second", func(t *testing.T) {
		begun := time.Now()
		_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap("asked-at-once", nil), create)
		passes(t, err)
		raw, err := admin.CoreV1().RESTClient().Get().AbsPath("/apis/gatehouse.io/v1alpha1/auditevents").Param("name", "asked-at-once").DoRaw(ctx)
		passes(t, err)
		if took := time.Since(begun); !strings.Contains(string(raw), `"asked-at-once"`) {
			t.Errorf("%v after it was made the event is not there: %s", took, raw)
		}
	})
	t.Run("nothing secret is kept", func(t *testing.T) {
		found := auditEvents(t, s.Kubeconfig(), "-n", ns, "--limit", "0")
		text, err := json.Marshal(found)
		passes(t, err)
		if len(found) < 8 || strings.Contains(string(text), marker) || strings.Contains(string(text), token.Status.Token) {
			t.Errorf("%d events, with a secret: %v", len(found), strings.Contains(string(text), marker))
		}
		commands := map[string]int{}
		for _, e := range found {
			if uri, _ := e["requestURI"].(string); strings.Contains(uri, "/exec") {
				commands[uri]++
			}
		}
		if len(commands) != 1 {
			t.Errorf("two equal commands are %v", commands)
		}
		passes(t, filepath.WalkDir(s.Path("audit"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if strings.Contains(string(data), marker) || strings.Contains(string(data), token.Status.Token) {
				t.Errorf("a secret is in %s", path)
			}
			return err
		}))
	})
	t.Run("who may ask", func(t *testing.T) {
		jane := s.UserConfig(t, "jane", "auditors")
		ask := func(config *rest.Config, path string) (string, int) {
			t.Helper()
			config = rest.CopyConfig(config)
			config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
			client, err := rest.UnversionedRESTClientFor(config)
			passes(t, err)
			code := 0
			raw, _ := client.Get().AbsPath(path).Do(ctx).StatusCode(&code).Raw()
			return string(raw), code
		}
		const all = "/apis/gatehouse.io/v1alpha1/auditevents"
		inNamespace := "/apis/gatehouse.io/v1alpha1/namespaces/" + ns + "/auditevents"
		if _, code := ask(jane, inNamespace); code != http.StatusForbidden {
			t.Errorf("asked without a role: %d", code)
		}
		_, err := admin.RbacV1().Roles(ns).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "auditor"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"gatehouse.io"}, Resources: []string{"auditevents"}, Verbs: []string{"get", "list", "watch"}}}}, create)
		passes(t, err)
		_, err = admin.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "auditor"}, Subjects: subject("jane"),
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "auditor"}}, create)
		passes(t, err)
		server.Eventually(t, patience, func(context.Context) error {
			if _, code := ask(jane, inNamespace); code != http.StatusOK {
				return fmt.Errorf("code %d", code)
			}
			return nil
		})
		answer, _ := ask(jane, inNamespace+"?namespace="+other)
		if strings.Contains(answer, other) && strings.Contains(answer, `"namespace":"`+other) {
			t.Errorf("events of another namespace: %s", answer)
		}
		for _, path := range []string{all, all + "?namespace=" + ns, "/apis/gatehouse.io/v1alpha1/namespaces/" + other + "/auditevents"} {
			if _, code := ask(jane, path); code != http.StatusForbidden {
				t.Errorf("%s: %d", path, code)
			}
		}
		// A question is an event itself, and so is one that was refused.
		if got := auditEvents(t, s.Kubeconfig(), "--user", "jane", "--resource", "auditevents", "--code", "403"); len(got) < 3 {
			t.Errorf("%d refused questions are events", len(got))
		}
	})
	t.Run("a kill loses nothing and doubles nothing", func(t *testing.T) {
		for i := range 30 {
			_, err := admin.CoreV1().ConfigMaps(ns).Create(ctx, configMap(fmt.Sprintf("before-the-kill-%d", i), nil), create)
			passes(t, err)
		}
		s.Kill()
		s = s.Restart(t)
		got := auditEvents(t, s.Kubeconfig(), "--name", "before-the-kill-*", "--verb", "create", "--limit", "0")
		names := map[any]int{}
		for _, e := range got {
			names[e["objectRef"].(map[string]any)["name"]]++
		}
		if len(got) != 30 || len(names) != 30 {
			t.Errorf("%d events of %d names", len(got), len(names))
		}
	})
	t.Run("the chain is whole", func(t *testing.T) {
		s.Stop(t)
		if out, stderr, code := server.Command(t, "audit", "verify", "--store", s.Path("audit", "store")); code != 0 {
			t.Errorf("exit code %d: %s%s", code, out, stderr)
		}
		out, stderr, code := server.Command(t, "audit", "query", "--store", s.Path("audit", "store"), "--count-by", "verb", "-n", ns)
		if code != 0 || !strings.Contains(out, "create") {
			t.Errorf("the store of a server that has stopped: exit code %d: %s%s", code, out, stderr)
		}
	})
}
