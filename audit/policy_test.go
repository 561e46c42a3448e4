package audit

import (
	"strings"
	"sync"
	"testing"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// request is one line of a table: VERB [GROUP:]RESOURCE[/SUBRESOURCE], or VERB
// and a path.
func request(who, verb, what string) authorizer.Attributes {
	u := &user.DefaultInfo{Name: who}
	if who != "" { // else nobody is known for the request
		u.Groups = []string{user.AllAuthenticated}
	}
	a := authorizer.AttributesRecord{User: u, Verb: verb}
	if strings.HasPrefix(what, "/") {
		a.Path = what
		return a
	}
	a.ResourceRequest, a.APIVersion, a.Name = true, "v1", "x"
	if group, rest, ok := strings.Cut(what, ":"); ok {
		a.APIGroup, what = group, rest
	}
	a.Resource, a.Subresource, _ = strings.Cut(what, "/")
	return a
}

func defaultPolicy(t *testing.T) *Policy {
	t.Helper()
	p, err := NewPolicy(DefaultPolicy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultPolicy(t *testing.T) {
	p := defaultPolicy(t)
	const (
		none     = auditinternal.LevelNone
		metadata = auditinternal.LevelMetadata
		req      = auditinternal.LevelRequest
		full     = auditinternal.LevelRequestResponse
	)
	for _, c := range []struct {
		who, verb, what string
		want            auditinternal.Level
	}{
		// Credentials, whoever asks.
		{"jane", "create", "secrets", metadata},
		{"jane", "get", "secrets", metadata},
		{"jane", "list", "secrets", metadata},
		{"jane", "deletecollection", "secrets", metadata},
		{"system:apiserver", "list", "secrets", metadata},
		{"jane", "update", "configmaps", metadata},
		{"jane", "create", "serviceaccounts/token", metadata},
		{"jane", "create", "authentication.k8s.io:tokenreviews", metadata},

		// Who changed what is allowed, with bodies; who read it, without.
		{"jane", "create", "rbac.authorization.k8s.io:clusterrolebindings", full},
		{"jane", "patch", "rbac.authorization.k8s.io:roles", full},
		{"jane", "get", "rbac.authorization.k8s.io:roles", metadata},
		{"system:apiserver", "update", "rbac.authorization.k8s.io:clusterroles", full},
		{"jane", "delete", "admissionregistration.k8s.io:validatingwebhookconfigurations", full},
		{"jane", "create", "admissionregistration.k8s.io:mutatingadmissionpolicies", full},
		{"jane", "update", "certificates.k8s.io:certificatesigningrequests/approval", full},
		{"jane", "create", "apiregistration.k8s.io:apiservices", full},
		{"jane", "create", "apiextensions.k8s.io:customresourcedefinitions", full},
		{"jane", "create", "networking.k8s.io:networkpolicies", full},
		{"jane", "create", "gatehouse.io:revocations", full},
		{"jane", "update", "namespaces", full},
		{"jane", "create", "serviceaccounts", full},
		{"jane", "patch", "nodes", full},

		// What is to run; its status, and who looks at it or takes it away, are no bodies.
		{"jane", "create", "pods", req},
		{"jane", "patch", "apps:deployments", req},
		{"jane", "update", "batch:cronjobs", req},
		{"jane", "patch", "services", req},
		{"system:node:n1", "patch", "pods/status", metadata},
		{"jane", "delete", "pods", metadata},
		{"jane", "list", "pods", metadata},
		{"jane", "create", "pods/eviction", metadata},

		// Into a running workload.
		{"jane", "create", "pods/exec", req},
		{"jane", "get", "pods/exec", req},
		{"jane", "create", "pods/portforward", req},
		{"jane", "patch", "pods/ephemeralcontainers", req},

		// Upkeep.
		{"system:apiserver", "list", "pods", none},
		{"system:apiserver", "watch", "rbac.authorization.k8s.io:roles", none},
		{"system:apiserver", "create", "pods", req},
		{"system:node:n1", "update", "coordination.k8s.io:leases", none},
		{"jane", "create", "events", none},
		{"jane", "deletecollection", "events", metadata},
		{"jane", "delete", "events.k8s.io:events", metadata},
		{"jane", "create", "events.k8s.io:events", none},
		{"jane", "get", "/healthz", none},
		{"jane", "get", "/readyz/etcd", none},
		{"jane", "get", "/openapi/v3", none},
		{"jane", "get", "/apis/apps/v1", none},
		{"", "get", "/healthz", none},

		// A credential that was refused, whatever it was for.
		{"", "update", "coordination.k8s.io:leases", metadata},
		{"", "create", "events", metadata},
		{"", "get", "/apis", metadata},
		{"", "get", "/metrics", metadata},

		// The rest.
		{"jane", "get", "apps:deployments", metadata},
		{"jane", "get", "/debug/pprof/heap", metadata},
		{"jane", "post", "/healthz", metadata},
	} {
		got := p.EvaluatePolicyRule(request(c.who, c.verb, c.what))
		if got.Level != c.want {
			t.Errorf("%s %s %s: level %s, want %s", c.who, c.verb, c.what, got.Level, c.want)
		}
		if got.Level != none && (len(got.OmitStages) != 1 || got.OmitStages[0] != auditinternal.StageRequestReceived) {
			t.Errorf("%s %s %s: omits %v", c.who, c.verb, c.what, got.OmitStages)
		}
	}
}

const onlySecrets = `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets]}]
- level: None
`

func TestReplace(t *testing.T) {
	p := defaultPolicy(t)
	pods := request("jane", "create", "pods")
	if err := p.Replace([]byte(onlySecrets)); err != nil {
		t.Fatal(err)
	}
	if got := p.EvaluatePolicyRule(pods).Level; got != auditinternal.LevelNone {
		t.Errorf("level is %s after a replacement", got)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"no rules":      "apiVersion: audit.k8s.io/v1\nkind: Policy\n",
		"another kind":  "apiVersion: v1\nkind: Pod\n",
		"unknown level": "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n",
		"no YAML":       "{",
	} {
		t.Run(name, func(t *testing.T) {
			if err := p.Replace([]byte(bad)); err == nil || !strings.HasPrefix(err.Error(), "parse audit policy: ") {
				t.Errorf("error is %v", err)
			}
			if got := p.EvaluatePolicyRule(pods).Level; got != auditinternal.LevelNone {
				t.Errorf("level is %s: the policy before is no longer in force", got)
			}
		})
	}
}

func TestNewPolicy(t *testing.T) {
	p, err := NewPolicy([]byte(onlySecrets))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.EvaluatePolicyRule(request("jane", "get", "secrets")).Level; got != auditinternal.LevelMetadata {
		t.Errorf("level is %s", got)
	}
	if _, err := NewPolicy([]byte("{")); err == nil || !strings.HasPrefix(err.Error(), "parse audit policy: ") {
		t.Errorf("error is %v", err)
	}
}

// TestReplaceWhileInUse is for the race detector.
func TestReplaceWhileInUse(t *testing.T) {
	p := defaultPolicy(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				if got := p.EvaluatePolicyRule(request("jane", "get", "secrets")).Level; got != auditinternal.LevelMetadata {
					t.Errorf("level is %s", got)
				}
			}
		})
	}
	for range 50 {
		for _, data := range [][]byte{[]byte(onlySecrets), []byte("{"), DefaultPolicy} {
			_ = p.Replace(data)
		}
	}
	all.Wait()
}
