package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

func TestPolicyCommands(t *testing.T) {
	t.Chdir(files(t, map[string]string{
		"good/two.yaml": twoReplicas + `---
apiVersion: gatehouse.io/v1alpha1
kind: BuiltinPolicies
metadata: {name: all}
spec: {policies: [{name: DisallowHostNetwork}]}
---
apiVersion: gatehouse.io/v1alpha1
kind: Exception
metadata: {name: old}
spec: {policies: [{name: DisallowHostNetwork}], match: {namespaces: [shop]}, reason: it is old, owner: shop, expiresAt: "2999-01-01T00:00:00Z"}
`,
		"bad/bad.yaml": strings.ReplaceAll(strings.Split(twoReplicas, "---")[0], "two", "lonely") + "---\n" + strings.Replace(twoReplicas, "object.spec", "object..spec", 1) + `---
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sNothing
metadata: {name: nothing}
spec: {}
---
apiVersion: gatehouse.io/v1alpha1
kind: Exception
metadata: {name: ended}
spec: {policies: [{name: Nobody}], match: {namespaces: [shop]}, reason: it is old, owner: shop, expiresAt: "2020-01-01T00:00:00Z"}
`,
		"idle/idle.yaml": strings.ReplaceAll(twoReplicas, "deployments", "deploymnts") + "---\n" + strings.ReplaceAll(twoReplicas, "two", "first") + "---\n" + strings.ReplaceAll(twoReplicas, "two", "second") +
			"---\n" + strings.Replace(strings.ReplaceAll(twoReplicas, "two", "later"), "object.spec.replicas >= 2", "ip.isCanonical(object.spec.ip)", 1),
	}))
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"list good -o wide", exitOK, []string{"ValidatingAdmissionPolicyBinding two", "judges", "create deployments.apps", "good/two.yaml:1", "BuiltinPolicies all DisallowHostNetwork"}},
		{"list --builtin", exitOK, []string{"DisallowPlaintextSecrets", "RequireImageDigest"}},
		{"list good -o json", exitOK, []string{`"does": "judges"`}},
		{"show two good", exitOK, []string{"ValidatingAdmissionPolicyBinding two", "matches create deployments.apps", "object.spec.replicas >= 2"}},
		{"show DisallowHostNetwork good", exitOK, []string{"Exception old", "owner shop"}},
		{"show nothing good", exitUnreadable, []string{`there is no policy "nothing"`}},
		{"lint good", exitOK, []string{"2 policies, 0 problems"}},
		{"lint bad", exitDenied, []string{"no binding names it", "spec.validations[0].expression", "there is no ConstraintTemplate for the kind K8sNothing", "it has ended at 2020-01-01", "it names no policy that there is"}},
		{"lint idle", exitDenied, []string{"Binding two: it matches nothing: deploymnts.apps is not known", "Binding second: ValidatingAdmissionPolicyBinding first says the same of all that it matches", "4 policies, 2 problems"}},
		{"lint idle --kube-version 1.30", exitDenied, []string{"it needs Kubernetes 1.31 or later, and is to be taken by 1.30: spec.validations[0].expression"}},
		{"lint idle --kube-version x", exitUsage, []string{`--kube-version "x" is no release`}},
		{"list idle -o wide", exitOK, []string{"COST", "CEL from 5, grows with the object", "Kubernetes 1.30", "Kubernetes 1.31"}},
		{"show later idle", exitOK, []string{"needs Kubernetes 1.31", "costs CEL"}},
		{"lint nowhere", exitUnreadable, []string{"nowhere"}},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"policy"}, strings.Fields(c.args)...), &out, &errs)
		if code != c.code {
			t.Errorf("policy %s: exit code %d, want %d\n%s%s", c.args, code, c.code, out.String(), errs.String())
		}
		got := strings.Join(strings.Fields(out.String()+errs.String()), " ")
		for _, part := range c.says {
			if !strings.Contains(got, strings.Join(strings.Fields(part), " ")) {
				t.Errorf("policy %s lacks %q:\n%s%s", c.args, part, out.String(), errs.String())
			}
		}
	}
}

// Exceptions as a cluster has them.
func TestPolicyLintOfUnusedExceptions(t *testing.T) {
	var objects []policy.Object
	for _, text := range []string{
		`{metadata: {name: idle, uid: a, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {expiresAt: "2027-01-01T00:00:00Z"}}`,
		`{metadata: {name: needed, uid: b, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {expiresAt: "2027-01-01T00:00:00Z"}, status: {lastUsed: "2026-11-25T00:00:00Z"}}`,
		`{metadata: {name: ended, uid: c, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: {expiresAt: "2026-02-01T00:00:00Z"}}`,
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		o.SetAPIVersion("gatehouse.io/v1alpha1")
		o.SetKind("Exception")
		spec := o.Object["spec"].(map[string]any)
		spec["policies"], spec["match"] = []any{map[string]any{"name": "x"}}, map[string]any{"names": []any{"x"}}
		spec["reason"], spec["owner"] = "it is old", "shop"
		objects = append(objects, policy.Object{Unstructured: o, Source: gate.Source{Kind: "Exception", Name: o.GetName()}})
	}
	exceptions, problems := policy.LoadExceptions(objects, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := &loadedPolicies{objects: objects, exceptions: exceptions, kinds: builtInCatalog(), live: true}
	got := strings.Join(p.lint(37, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)), "\n")
	want := `Exception ended: it has ended at 2026-02-01T00:00:00Z, and counts for nothing
Exception ended: it names no policy that there is
Exception idle: it has let nothing through since it was made at 2026-01-01T00:00:00Z: delete it, unless what it is for happens more seldom
Exception idle: it names no policy that there is
Exception needed: it names no policy that there is`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
