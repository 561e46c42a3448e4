package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const shop = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      containers:
      - name: web
        image: nginx
        env:
        - {name: DB_PASSWORD, value: x7Kq2Lm9Zt4Wp8Rv}
`

const twoReplicas = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: two}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  validations:
  - expression: object.spec.replicas >= 2
    messageExpression: "'one is none: ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: two}
spec: {policyName: two, validationActions: [Deny]}
`

func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheck(t *testing.T) {
	dir := files(t, map[string]string{
		"deploy/web.yaml":     shop,
		"policies/two.yaml":   twoReplicas,
		"broken/policy.yaml":  strings.Replace(twoReplicas, "object.spec", "object..spec", 1),
		"bad/yaml.yaml":       "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: b\n  a: c\n",
		"form/pod.yaml":       "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  hostNetwrk: true\n  containers: [{name: c, image: i}]\n",
		"form/widget.yaml":    "apiVersion: example.org/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: big, colour: red}\n",
		"crd/widget.yaml":     "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org}\nspec:\n  group: example.org\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets, singular: widget}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}\n",
		"old/cronjob.yaml":    "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: c}\nspec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}}\n",
		"old/extensions.yaml": strings.Replace(shop, "apps/v1", "extensions/v1beta1", 1),
		"old/apps.yaml":       strings.Replace(shop, "apps/v1", "apps/v1beta1", 1),
		"old/pdb.yaml":        "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: p}\nspec: {minAvailable: 1}\n",
		"old/ingress.yaml":    "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: i}\n",
		"old/alpha.yaml":      "apiVersion: batch/v2alpha1\nkind: CronJob\nmetadata: {name: c}\n",
		"old/internal.yaml":   "apiVersion: apps/__internal\nkind: Deployment\nmetadata: {name: d}\n",
		"old/eviction.yaml":   "apiVersion: policy/v1\nkind: Eviction\nmetadata: {name: e}\n",
		"old/widget.yaml":     "apiVersion: example.org/v0\nkind: Widget\nmetadata: {name: w}\nspec: {size: 1}\n",
		"old/review.yaml":     "apiVersion: gatehouse.io/v1\nkind: RequestReview\nmetadata: {name: g}\n",
		"beta/policy.yaml":    strings.ReplaceAll(twoReplicas, "k8s.io/v1", "k8s.io/v1beta1"),
		"now/beta.yaml":       "apiVersion: resource.k8s.io/v1beta1\nkind: DeviceClass\nmetadata: {name: d}\nspec: {}\n",
		"now/hpa.yaml":        "apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {maxReplicas: 2, scaleTargetRef: {kind: Deployment, name: web}}\n",
		"roles/roles.yaml":    "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: deployer}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [create]}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: deployer}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: deployer}\nsubjects: [{kind: User, name: dora}]\n",
		"exception/x.yaml":    "apiVersion: gatehouse.io/v1alpha1\nkind: Exception\nmetadata: {name: web-is-old}\nspec:\n  policies: [{name: two}]\n  match: {namespaces: [shop]}\n  reason: it is old\n  owner: shop\n  expiresAt: \"2999-01-01T00:00:00Z\"\n",
		"exempt/builtin.yaml": "apiVersion: gatehouse.io/v1alpha1\nkind: BuiltinPolicies\nmetadata: {name: all}\nspec:\n  policies: [{name: DisallowHostNetwork}]\n  exemptions: [{clusters: [\"dev-*\"]}]\n",
		"looks/ingress.yaml":  "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, namespace: shop}\nspec: {rules: [{host: www.example.org}]}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: b, namespace: lab}\nspec: {rules: [{host: www.example.org}]}\n",
		"kyverno/policy.yaml": "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: k}\nspec: {}\n",
	})
	t.Chdir(dir)
	for _, c := range []struct {
		args string
		code int
		says []string
		not  []string
	}{
		{"deploy", exitOK, []string{"there is no policy", "1 object checked: nothing is wrong"}, nil},
		{"deploy --policies policies", exitDenied, []string{"deploy/web.yaml:1:1  ValidatingAdmissionPolicyBinding two", "one is none: 1"}, nil},
		{"deploy policies", exitDenied, []string{"one is none: 1"}, nil},
		{"deploy --policies policies --policies exception", exitOK, []string{"except  deploy/web.yaml", "excepted by Exception web-is-old", "1 excepted"}, nil},
		{"deploy --policies policies --fail-on never", exitOK, []string{"one is none"}, nil},
		{"deploy --builtin", exitDenied, []string{"deploy/web.yaml:11:20  BuiltinPolicies builtin DisallowHostNetwork", "      hostNetwork: true", "DB_PASSWORD"}, []string{"x7Kq2Lm9"}},
		{"deploy --builtin=Warn", exitOK, []string{"warn    deploy/web.yaml:11:20"}, []string{"x7Kq2Lm9"}},
		{"deploy --builtin=Warn --fail-on warn", exitDenied, []string{"warn    deploy/web.yaml:11:20"}, nil},
		{"deploy --policies exempt", exitDenied, []string{"DisallowHostNetwork"}, nil},
		{"deploy --policies exempt --cluster-name prod", exitDenied, []string{"DisallowHostNetwork"}, nil},
		{"deploy --policies exempt --cluster-name dev-eu", exitOK, []string{"nothing is wrong"}, nil},
		{"deploy --pod-security restricted", exitDenied, []string{`violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)`}, nil},
		{"deploy --pod-security privileged", exitOK, []string{"nothing is wrong"}, nil},
		{"form/pod.yaml", exitDenied, []string{"form/pod.yaml:5:3  schema", "has no field spec.hostNetwrk"}, nil},
		{"form/widget.yaml", exitDenied, []string{"form/widget.yaml:2:1  schema", "is not known"}, nil},
		{"form/widget.yaml --from crd", exitDenied, []string{"has no field spec.colour", "form/widget.yaml:4:19", "spec.size"}, []string{"is not known"}},
		{"old/cronjob.yaml", exitDenied, []string{"old/cronjob.yaml:1:1  schema", "CronJob of batch/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: batch/v1"}, nil},
		{"old/extensions.yaml", exitDenied, []string{"old/extensions.yaml:1:1  schema", "Deployment of extensions/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: apps/v1"}, nil},
		{"old/apps.yaml", exitDenied, []string{"old/apps.yaml:1:1  schema", "Deployment of apps/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: apps/v1"}, nil},
		{"old/pdb.yaml", exitDenied, []string{"old/pdb.yaml:1:1  schema", "PodDisruptionBudget of policy/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: policy/v1"}, nil},
		{"old/ingress.yaml", exitDenied, []string{"Ingress of extensions/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: networking.k8s.io/v1"}, nil},
		{"old/alpha.yaml", exitDenied, []string{"CronJob of batch/v2alpha1 is not served in this version by Kubernetes 1.37: write apiVersion: batch/v1"}, nil},
		{"old/internal.yaml", exitDenied, []string{"Deployment of apps/__internal is not served in this version by Kubernetes 1.37: write apiVersion: apps/v1"}, nil},
		{"old/eviction.yaml", exitDenied, []string{"Eviction of policy/v1 is not served by Kubernetes 1.37, in this version or another"}, nil},
		{"old/widget.yaml --from crd", exitDenied, []string{"Widget of example.org/v0 is not served in this version by its CustomResourceDefinition: write apiVersion: example.org/v1"}, nil},
		{"old/review.yaml", exitDenied, []string{"RequestReview of gatehouse.io/v1 is not served in this version by Gatehouse: write apiVersion: gatehouse.io/v1alpha1"}, nil},
		{"deploy beta", exitDenied, []string{"one is none: 1", "beta/policy.yaml:1:1  schema", "beta/policy.yaml:12:1  schema", "ValidatingAdmissionPolicy of admissionregistration.k8s.io/v1beta1 is not served in this version by Kubernetes 1.37: write apiVersion: admissionregistration.k8s.io/v1", "3 to be refused"}, nil},
		{"now", exitOK, []string{"2 objects checked: nothing is wrong"}, nil},
		{"deploy --as dora --rbac --from roles", exitOK, []string{"nothing is wrong"}, nil},
		{"deploy --as jane --rbac --from roles", exitDenied, []string{"authorization"}, nil},
		{"looks --builtin", exitDenied, []string{"UniqueIngressHost", "belongs to the namespace lab", "belongs to the namespace shop"}, nil},
		{"deploy --policies broken", exitUnreadable, []string{"broken/policy.yaml:1:1  file", "ValidatingAdmissionPolicy two"}, nil},
		{"bad", exitUnreadable, []string{"bad/yaml.yaml:6:3"}, nil},
		{"deploy --policies kyverno", exitUnreadable, []string{"they come in the next round"}, nil},
	} {
		t.Run(c.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := Main(append([]string{"check"}, strings.Fields(c.args)...), &out, &errs)
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out.String(), errs.String())
			}
			for _, part := range c.says {
				if !strings.Contains(out.String(), part) {
					t.Errorf("it lacks %q:\n%s%s", part, out.String(), errs.String())
				}
			}
			for _, part := range c.not {
				if strings.Contains(out.String(), part) {
					t.Errorf("it has %q:\n%s", part, out.String())
				}
			}
		})
	}
}

// What is wrong with the command itself is one error, and nothing is written.
func TestCheckRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "want PATH",
		". --format pdf":                    `output format "pdf" is not known`,
		". --fail-on everything":            `--fail-on "everything" is not known`,
		". --builtin=Explode":               `--builtin "Explode" is not known`,
		"nowhere.yaml":                      "nowhere.yaml",
		". --pod-security strict":           `"strict" is none of privileged, baseline and restricted`,
		". --rbac":                          "--rbac needs --as",
		". --policies nowhere":              "nowhere",
		". --baseline nowhere.yaml":         "nowhere.yaml",
		". --baseline a --write-baseline b": "baseline",
	} {
		dir := files(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"})
		t.Chdir(dir)
		var out, errs bytes.Buffer
		code := Main(append([]string{"check"}, strings.Fields(args)...), &out, &errs)
		if code != exitUsage && code != exitUnreadable || !strings.Contains(errs.String()+out.String(), want) {
			t.Errorf("check %s: exit code %d\n%s%s", args, code, out.String(), errs.String())
		}
	}
}

func TestCheckBaseline(t *testing.T) {
	t.Chdir(files(t, map[string]string{"web.yaml": shop}))
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"check", "web.yaml", "--builtin"}, args...), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, text := run("--write-baseline", "known.yaml"); code != exitOK {
		t.Fatal(code, text)
	}
	if data, err := os.ReadFile("known.yaml"); err != nil || strings.Contains(string(data), "x7Kq2Lm9") {
		t.Fatalf("%v\n%s", err, data)
	}
	if code, text := run("--baseline", "known.yaml"); code != exitOK || !strings.Contains(text, "nothing is wrong") {
		t.Error(code, text)
	}
	// Lines that move are known; what is new is not.
	if err := os.WriteFile("web.yaml", []byte("# moved\n"+strings.Replace(shop, "hostNetwork: true", "hostNetwork: true\n      hostPID: true", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, text := run("--baseline", "known.yaml"); code != exitDenied || !strings.Contains(text, "1 to be refused") || !strings.Contains(text, "DisallowHostPID") {
		t.Error(code, text)
	}
}

func TestCheckStdin(t *testing.T) {
	root := newRoot()
	var out bytes.Buffer
	root.SetIn(strings.NewReader(shop + "---\n" + twoReplicas))
	root.SetOut(&out)
	root.SetArgs([]string{"check", "-", "--format", "json"})
	if err := root.Execute(); err == nil {
		t.Error("it passes")
	}
	var report struct {
		Findings []struct{ Rule, Message string }
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || len(report.Findings) != 1 || report.Findings[0].Message != "one is none: 1" {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestTestCommand(t *testing.T) {
	good := "It is about owners.\n\n-- policies.yaml --\n" + twoReplicas + "-- request.yaml --\n" + `apiVersion: gatehouse.io/v1alpha1
kind: RequestReview
spec:
  user: jane
  resourceAttributes: {verb: create, group: apps, version: v1, resource: deployments, namespace: shop}
  object:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: shop}
    spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}
`
	t.Chdir(files(t, map[string]string{"a.txtar": good}))
	run := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"test"}, args...), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, text := run(); code != exitDenied || !strings.Contains(text, "FAIL  a.txtar/request") {
		t.Error("a test without a want:", code, text)
	}
	if code, text := run("--update"); code != exitOK || !strings.Contains(text, "1 written anew") {
		t.Error(code, text)
	}
	data, err := os.ReadFile("a.txtar")
	if err != nil || !strings.HasSuffix(string(data), "-- want --\nDENIED\ndeny ValidatingAdmissionPolicyBinding two: one is none: 1\n") {
		t.Fatalf("%v: %s", err, data)
	}
	if code, text := run(); code != exitOK || !strings.Contains(text, "1 passed") {
		t.Error(code, text)
	}
	if code, text := run("--run", "nothing"); code != exitUsage {
		t.Error("a filter that matches nothing:", code, text)
	}
	if err := os.WriteFile("a.txtar", []byte(strings.Replace(string(data), "one is none: 1\n", "two\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, text := run(); code != exitDenied || !strings.Contains(text, "+ deny ValidatingAdmissionPolicyBinding two: one is none: 1") {
		t.Error(code, text)
	}
	if err := os.WriteFile("a.txtar", []byte("x\n-- nonsense --\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, text := run(); code != exitUnreadable || !strings.Contains(text, `the section "nonsense" is not known`) {
		t.Error(code, text)
	}
}
