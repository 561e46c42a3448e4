package cli

import (
	"bytes"
	"strings"
	"testing"
)

// explain asks the policies among the files, too, about objects and deletions.
func TestExplainAsksPolicies(t *testing.T) {
	t.Chdir(files(t, map[string]string{
		"web.yaml": shop,
		"cluster/policies.yaml": twoReplicas + `---
apiVersion: gatehouse.io/v1alpha1
kind: BuiltinPolicies
metadata: {name: all}
spec: {policies: [{name: EmptyDirSizeLimit}, {name: DisallowHostNetwork, action: Warn}]}
`,
		"cluster/roles.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: deployer}\nrules: [{apiGroups: [apps], resources: [deployments], verbs: [create]}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: deployer}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: deployer}\nsubjects: [{kind: User, name: dora}]\n",
		"volumes.yaml":       strings.Replace(strings.Replace(shop, "hostNetwork: true", "volumes: [{name: v, emptyDir: {}}]", 1), "spec:\n  selector", "spec:\n  replicas: 2\n  selector", 1),
	}))
	for args, want := range map[string]struct {
		code int
		says []string
	}{
		"create -f web.yaml --as dora --from cluster":             {exitDenied, []string{"DENIED  dora", "authorization  RBAC", "admission", "one is none: 1", "by           ValidatingAdmissionPolicyBinding two", "warn", "the pod uses the network of its node"}},
		"create -f volumes.yaml --as dora --from cluster":         {exitOK, []string{"ALLOWED", "mutate", "sizeLimit", "refuses it"}},
		"create -f volumes.yaml --as jane --from cluster":         {exitDenied, []string{"DENIED", "no part of authorization allows it", "mutate"}},
		"create deployments -n shop --as dora --from cluster":     {exitOK, []string{"ALLOWED"}},
		"create -f volumes.yaml --as dora --from cluster -o json": {exitOK, []string{`"patch": "[{\"op\":\"add\"`, `"allowed": true`}},
	} {
		var out, errs bytes.Buffer
		code := Main(append([]string{"explain"}, strings.Fields(args)...), &out, &errs)
		if code != want.code {
			t.Errorf("explain %s: exit code %d, want %d\n%s%s", args, code, want.code, out.String(), errs.String())
		}
		for _, part := range want.says {
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(part), " ")) {
				t.Errorf("explain %s lacks %q:\n%s%s", args, part, out.String(), errs.String())
			}
		}
	}
}
