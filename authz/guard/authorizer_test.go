package guard

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

func TestAuthorize(t *testing.T) {
	opts := Options{
		Namespaces: labelled{"shop": {"env": "prod"}, "lab": {"env": "test"}},
		Scopes:     scopes{"widgets.example.com": true, "clusters.example.com": false},
	}
	for _, c := range []struct {
		name, spec string
		denied     []string
		passes     []string
	}{{
		"secrets for all but break-glass",
		`{subjects: {groups: ["system:authenticated"]}, except: {groups: [break-glass], users: [root]}, verbs: [get, list, watch], resources: [secrets]}`,
		[]string{"anna,system:authenticated get secrets shop/db", "anna,system:authenticated list secrets", "anna,x,system:authenticated watch secrets shop/-"},
		[]string{"anna,system:authenticated create secrets shop/-", "anna,system:authenticated,break-glass get secrets shop/db",
			"root,system:authenticated get secrets shop/db", "anna,system:authenticated get pods shop/a", "system:anonymous,system:unauthenticated get secrets shop/db",
			"anna,system:authenticated get /api", "anna,system:authenticated get secrets/status shop/db"},
	}, {
		"nothing but secrets",
		`{subjects: {users: [anna]}, exceptResources: [secrets]}`,
		[]string{"anna get pods shop/a", "anna get pods/log shop/a", "anna create deployments.apps shop/-", "anna list nodes", "anna get secrets/x shop/a", "anna * * -/-"},
		[]string{"anna get secrets shop/db", "anna list secrets", "bob get pods shop/a", "anna get /metrics"},
	}, {
		"service accounts",
		`{subjects: {serviceAccounts: [{namespace: ci, name: "*"}, {namespace: shop, name: web}]}, resources: ["*"], nonResourceURLs: ["*"]}`,
		[]string{"system:serviceaccount:ci:build get pods shop/a", "system:serviceaccount:shop:web get /healthz"},
		[]string{"system:serviceaccount:shop:db get pods shop/a", "system:serviceaccount:ci get pods shop/a", "ci get pods shop/a", "system:serviceaccount:ci: get pods shop/a"},
	}, {
		"service accounts excepted",
		`{subjects: {all: true}, except: {serviceAccounts: [{namespace: kube-system, name: "*"}]}, resources: ["*"]}`,
		[]string{"system:serviceaccount:ci:build get pods shop/a", "anna get pods shop/a", "system:anonymous get pods shop/a"},
		[]string{"system:serviceaccount:kube-system:gc get pods shop/a"},
	}, {
		"freeze",
		`{subjects: {all: true}, exceptVerbs: [get, list, watch], resources: ["*"], namespaces: [shop, "prod-*"]}`,
		[]string{"anna create pods shop/-", "anna delete namespaces shop/shop", "anna patch deployments.apps/scale prod-eu/web",
			"anna create widgets.example.com -/-", "anna deletecollection pods -/-", "anna deletecollection namespaces"},
		[]string{"anna get pods shop/a", "anna create pods lab/-", "anna list pods", "anna create nodes", "anna update nodes/status -/n1",
			"anna create clusters.example.com", "anna create namespaces -/-", "anna create unknown.example.com -/-", "anna create pods prod/-"},
	}, {
		"reads across namespaces",
		`{subjects: {all: true}, resources: ["*"], namespaces: [shop]}`,
		[]string{"anna list pods", "anna watch secrets", "anna list unknown.example.com", "anna list namespaces", "anna * pods", "anna list *", "anna get namespaces shop/shop", "anna list widgets.example.com"},
		[]string{"anna list nodes", "anna list clusters.example.com", "anna list pods lab/-", "anna get nodes -/n1", "anna get namespaces lab/lab", "anna list guards.gatehouse.io"},
	}, {
		"namespaces by label",
		`{subjects: {all: true}, resources: [pods], namespaceSelector: {matchLabels: {env: prod}}}`,
		[]string{"anna get pods shop/a", "anna get pods not-known/a", "anna list pods"},
		[]string{"anna get pods lab/a"},
	}, {
		"namespaces by name and label",
		`{subjects: {all: true}, resources: [pods], namespaces: ["l*", shop], namespaceSelector: {matchLabels: {env: test}}}`,
		[]string{"anna get pods lab/a", "anna get pods lost/a"},
		[]string{"anna get pods shop/a", "anna get pods other/a"},
	}, {
		"names",
		`{subjects: {all: true}, resources: [secrets], names: [db, "tls-*", "*-key"]}`,
		[]string{"anna get secrets shop/db", "anna get secrets shop/tls-", "anna get secrets shop/tls-web", "anna get secrets shop/a-key", "anna list secrets shop/-", "anna create secrets shop/-"},
		[]string{"anna get secrets shop/db2", "anna get secrets shop/tls", "anna get secrets shop/key"},
	}, {
		"subresources",
		`{subjects: {all: true}, resources: [pods/exec, "*/scale", "services/*"]}`,
		[]string{"anna create pods/exec shop/a", "anna update deployments.apps/scale shop/a", "anna get services/proxy shop/a", "anna get pods/* shop/a", "anna get * shop/a", "anna get */exec shop/a"},
		[]string{"anna get pods shop/a", "anna get pods/log shop/a", "anna get services shop/a", "anna get deployments.apps shop/a"},
	}, {
		"groups of the API",
		`{subjects: {all: true}, apiGroups: ["", rbac.authorization.k8s.io]}`,
		[]string{"anna get pods shop/a", "anna bind clusterroles.rbac.authorization.k8s.io -/a", "anna get x.* shop/a"},
		[]string{"anna get deployments.apps shop/a"},
	}, {
		"paths",
		`{subjects: {all: true}, verbs: [get], nonResourceURLs: [/metrics, "/debug/*"]}`,
		[]string{"anna get /metrics", "anna get /debug/", "anna get /debug/pprof/heap", "anna * /metrics", "anna get /m*"},
		[]string{"anna get /metrics/", "anna post /metrics", "anna get /healthz", "anna get pods shop/a", "anna get /debug"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			a := newTest(t, opts, parse(t, "g", c.spec))
			for _, request := range c.denied {
				if denied, reason := decide(t, a, request); !denied || reason != "Guard g: because" {
					t.Errorf("%s: denied %v, reason %q", request, denied, reason)
				}
			}
			for _, request := range c.passes {
				if denied, _ := decide(t, a, request); denied {
					t.Errorf("%s: denied", request)
				}
			}
		})
	}
}

func TestNothingIsKnownWithoutOptions(t *testing.T) {
	a := New(Options{})
	if denied, reason := decide(t, a, "anna get pods shop/a"); !denied || reason != notSynced {
		t.Errorf("before the Guards were read: denied %v, %q", denied, reason)
	}
	if err := a.Replace([]v1alpha1.Guard{parse(t, "g", `{subjects: {all: true}, resources: [pods], namespaceSelector: {matchLabels: {env: prod}}}`)}); err != nil {
		t.Fatal(err)
	}
	if denied, _ := decide(t, a, "anna get pods shop/a"); !denied {
		t.Error("a namespace nobody knows does not match the selector")
	}
	if d, _, err := a.Authorize(t.Context(), authorizer.AttributesRecord{Verb: "get", ResourceRequest: true, Resource: "pods", Namespace: "shop"}); d != authorizer.DecisionDeny || err != nil {
		t.Errorf("a request of nobody: %v, %v", d, err)
	}
}

func TestConditionsAreNotForLater(t *testing.T) {
	a := newTest(t, Options{}, parse(t, "g", `{subjects: {users: [anna]}, resources: [pods]}`))
	if d := a.ConditionsAwareAuthorize(t.Context(), ask(t, "anna get pods shop/a")); !d.IsDeny() || d.Reason() != "Guard g: because" {
		t.Errorf("got %v", d)
	}
	if d := a.ConditionsAwareAuthorize(t.Context(), ask(t, "bob get pods shop/a")); !d.IsNoOpinion() {
		t.Errorf("got %v", d)
	}
	if d, _, err := a.EvaluateConditions(t.Context(), authorizer.ConditionsAwareDecision{}, nil); d != authorizer.DecisionDeny || !errors.Is(err, authorizer.ErrorConditionEvaluationNotSupported) {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestAuditMode(t *testing.T) {
	a := newTest(t, Options{},
		parse(t, "b", `{subjects: {all: true}, resources: [pods], mode: audit, reason: two}`),
		parse(t, "a", `{subjects: {all: true}, resources: ["*"], mode: audit, reason: one}`),
		parse(t, "z", `{subjects: {all: true}, resources: [nodes]}`))
	for request, want := range map[string]string{
		"anna get pods shop/a":   "Guard a: one; Guard b: two",
		"anna get secrets lab/a": "Guard a: one",
		"anna get nodes -/n":     "", // refused: what others would have done changes nothing
		"anna get /metrics":      "",
	} {
		ctx := audit.WithAuditContext(t.Context())
		if err := audit.AuditContextFrom(ctx).Init(audit.RequestAuditConfig{Level: auditinternal.LevelMetadata}, nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if d, _, _ := a.Authorize(ctx, ask(t, request)); (d == authorizer.DecisionDeny) != strings.Contains(request, "nodes") {
				t.Errorf("%s: %v", request, d)
			}
		}
		if got, _ := audit.AuditContextFrom(ctx).GetEventAnnotation(AnnotationAudit); got != want {
			t.Errorf("%s: annotation %q, want %q", request, got, want)
		}
		if _, _, err := a.Authorize(ctx, ask(t, "anna get configmaps shop/a")); err != nil { // another value for the same event
			t.Error(err)
		}
	}
}

func TestRecorder(t *testing.T) {
	a := newTest(t, Options{},
		parse(t, "b", `{subjects: {all: true}, resources: [pods], reason: two}`),
		parse(t, "a", `{subjects: {all: true}, resources: ["*"], verbs: [get], reason: one}`),
		parse(t, "c", `{subjects: {groups: [devs, all]}, resources: [pods], mode: audit, reason: three}`),
		parse(t, "d", `{subjects: {all: true}, resources: [pods], windows: [{days: [Sunday]}], reason: closed}`))
	for _, c := range []struct {
		request string
		all     bool
		want    []string
	}{
		{"anna,devs,all get pods shop/a", true, []string{"deny Guard a: one by Guard a", "deny Guard b: two by Guard b",
			"no opinion would be refused, but its mode is audit: Guard c: three by Guard c"}},
		{"anna,devs,all get pods shop/a", false, []string{"deny Guard a: one by Guard a"}},
		{"anna,devs list secrets", true, []string{"no opinion no Guard touches this"}},
	} {
		recorder := &gate.Recorder{All: c.all}
		decision, reason, _ := a.Authorize(gate.WithRecorder(t.Context(), recorder), ask(t, c.request))
		plain, plainReason, _ := a.Authorize(t.Context(), ask(t, c.request))
		if decision != plain || reason != plainReason {
			t.Errorf("%s: recording changed the verdict: %v %q, %v %q", c.request, decision, reason, plain, plainReason)
		}
		var got []string
		for _, s := range recorder.Steps() {
			if s.Gate != "authorization" || s.Part != "Guard" {
				t.Errorf("step of %s %s", s.Gate, s.Part)
			}
			text := string(s.Opinion) + " " + s.Reason
			for _, source := range s.Sources {
				text += " by " + source.String()
			}
			got = append(got, text)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: steps %q, want %q", c.request, got, c.want)
		}
	}
	recorder := &gate.Recorder{}
	New(Options{}).Authorize(gate.WithRecorder(t.Context(), recorder), ask(t, "anna get pods shop/a"))
	if steps := recorder.Steps(); len(steps) != 1 || steps[0].Opinion != gate.Deny {
		t.Errorf("not synced: %v", steps)
	}
}
