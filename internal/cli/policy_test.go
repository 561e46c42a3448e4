package cli

import (
	"bytes"
	"strings"
	"testing"
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
