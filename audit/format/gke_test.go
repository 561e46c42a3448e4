package format

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

const gkeEntry = `{"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","status":{},"authenticationInfo":{"principalEmail":"jane@example.com","principalSubject":"user:jane@example.com"},` +
	`"requestMetadata":{"callerIp":"203.0.113.7","callerSuppliedUserAgent":"kubectl/v1.37"},"serviceName":"k8s.io","methodName":"io.k8s.core.v1.pods.create","authorizationInfo":[{"resource":"core/v1/namespaces/shop/pods/web","permission":"io.k8s.core.v1.pods.create","granted":true}],` +
	`"resourceName":"core/v1/namespaces/shop/pods/web","request":{"@type":"core.k8s.io/v1.Pod","kind":"Pod"},"response":{"@type":"core.k8s.io/v1.Pod","kind":"Pod"}},"insertId":"i1","resource":{"type":"k8s_cluster","labels":{"cluster_name":"c"}},` +
	`"timestamp":"2026-10-01T12:00:00.123456789Z","labels":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: x"},"logName":"projects/p/logs/cloudaudit.googleapis.com%2Factivity","operation":{"id":"op1","producer":"k8s.io","first":true,"last":true},"receiveTimestamp":"2026-10-01T12:00:01Z"}`

func TestGKE(t *testing.T) {
	at := time.Date(2026, 10, 1, 12, 0, 0, 123456000, time.UTC)
	want := &audit.Event{
		ID: "op1", Stage: audit.StageComplete, Level: "RequestResponse", Time: at, Received: at, Verb: "create", URI: "/api/v1/namespaces/shop/pods/web", User: "jane@example.com",
		SourceIPs: []string{"203.0.113.7"}, UserAgent: "kubectl/v1.37", APIVersion: "v1", Resource: "pods", Namespace: "shop", Name: "web", Code: 200,
		Annotations: map[string]string{"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: x"}, Request: []byte(`{"@type":"core.k8s.io/v1.Pod","kind":"Pod"}`), Response: []byte(`{"@type":"core.k8s.io/v1.Pod","kind":"Pod"}`),
		Source: GKE, Unknown: []string{audit.UnknownGroups, audit.UnknownUID},
	}
	for name, text := range map[string]string{"line": gkeEntry, "gcloud": pretty("[" + gkeEntry + "]"), "list": "[" + gkeEntry + "]", "pretty": pretty(gkeEntry)} {
		for _, format := range []string{Auto, GKE} {
			got, problems := read(t, text, Options{Format: format})
			if len(problems) != 0 || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Errorf("%s: %+v, %v, want %+v", name, got, problems, want)
			}
		}
	}
	if !want.Knows(audit.UnknownDecision) || want.Knows(audit.UnknownGroups) {
		t.Error("what is unknown")
	}
}

func TestGKEObjects(t *testing.T) {
	for _, c := range []struct{ method, name, want string }{
		{"io.k8s.core.v1.pods.exec.create", "core/v1/namespaces/n/pods/p/exec", "create /api/v1/namespaces/n/pods/p/exec |v1|pods|exec|n|p"},
		{"io.k8s.core.v1.pods.list", "core/v1/namespaces/n/pods", "list /api/v1/namespaces/n/pods |v1|pods||n|"},
		{"io.k8s.core.v1.nodes.get", "core/v1/nodes/n1", "get /api/v1/nodes/n1 |v1|nodes|||n1"},
		{"io.k8s.core.v1.nodes.proxy.get", "core/v1/nodes/n1/proxy/stats/summary", "get /api/v1/nodes/n1/proxy/stats/summary |v1|nodes|proxy||n1"},
		{"io.k8s.core.v1.namespaces.get", "core/v1/namespaces/n", "get /api/v1/namespaces/n |v1|namespaces||n|n"},
		{"io.k8s.core.v1.namespaces.status.update", "core/v1/namespaces/n/status", "update /api/v1/namespaces/n/status |v1|namespaces|status|n|n"},
		{"io.k8s.core.v1.secrets.list", "core/v1/secrets", "list /api/v1/secrets |v1|secrets|||"},
		{"io.k8s.authorization.rbac.v1.clusterroles.patch", "rbac.authorization.k8s.io/v1/clusterroles/r", "patch /apis/rbac.authorization.k8s.io/v1/clusterroles/r rbac.authorization.k8s.io|v1|clusterroles|||r"},
		{"io.k8s.apps.v1beta2.deployments.scale.update", "apps/v1beta2/namespaces/n/deployments/d/scale", "update /apis/apps/v1beta2/namespaces/n/deployments/d/scale apps|v1beta2|deployments|scale|n|d"},
		{"com.example.v1alpha1.widgets.delete", "example.com/v1alpha1/namespaces/n/widgets/w", "delete /apis/example.com/v1alpha1/namespaces/n/widgets/w example.com|v1alpha1|widgets||n|w"},
		{"io.k8s.get", "readyz", "get /readyz |||||"},
		{"io.k8s.post", "apis/x/v1/y", "post /apis/x/v1/y |||||"},
		{"x", "", "x / |||||"},
	} {
		var e audit.Event
		gkeObject(&e, c.method, c.name)
		got := e.Verb + " " + e.URI + " " + strings.Join([]string{e.APIGroup, e.APIVersion, e.Resource, e.Subresource, e.Namespace, e.Name}, "|")
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.name, got, c.want)
		}
	}
}

func TestGKEOutcomes(t *testing.T) {
	for _, c := range []struct {
		replace, with string
		code          int32
		unknown       string
		stage         string
	}{
		{`"status":{}`, `"status":{"code":7,"message":"PERMISSION_DENIED"}`, 403, "", ""},
		{`"status":{}`, `"status":{"code":5}`, 404, "", ""},
		{`"status":{}`, `"status":{"code":16}`, 401, "", ""},
		{`"status":{}`, `"status":{"code":422}`, 422, "", ""},
		{`"status":{}`, `"status":{"code":99}`, 0, audit.UnknownCode, ""},
		{`"status":{},`, ``, 0, audit.UnknownCode, ""},
		{`"response":{"@type":"core.k8s.io/v1.Pod","kind":"Pod"}`, `"response":{"@type":"core.k8s.io/v1.Status","code":409,"reason":"AlreadyExists","status":"Failure"}`, 409, "", ""},
		{`"last":true`, `"last":false`, 200, "", audit.StageStarted},
		{`,"labels":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC: x"},"logName"`, `,"logName"`, 200, audit.UnknownDecision, ""},
		{`"principalEmail":"jane@example.com"`, `"principalEmail":"jane@example.com","authoritySelector":"bob"`, 200, audit.UnknownAsGroups, ""},
	} {
		text := strings.Replace(gkeEntry, c.replace, c.with, 1)
		got, problems := read(t, text, Options{})
		if text == gkeEntry || len(got) != 1 || len(problems) != 0 {
			t.Fatalf("%s: %d events, %v", c.with, len(got), problems)
		}
		e := got[0]
		if e.Code != c.code || c.unknown != "" && e.Knows(c.unknown) || c.unknown == "" && len(e.Unknown) != 2 || c.stage != "" && e.Stage != c.stage {
			t.Errorf("%s: code %d, unknown %v, stage %s", c.with, e.Code, e.Unknown, e.Stage)
		}
	}
}

func TestAKSSkippedBodies(t *testing.T) {
	e := someEvents(1, 1)[0]
	e.Level, e.Request, e.Response = "RequestResponse", []byte(tooBig), []byte(`{"kind":"Pod"}`)
	for _, text := range []string{`{"properties":{"log":` + quoted(lineOf(e)) + `}}`, columnsOf(lineOf(e), false), columnsOf(lineOf(e), true)} {
		got, problems := read(t, text, Options{})
		if len(got) != 1 || len(problems) != 0 || got[0].Request != nil || string(got[0].Response) != `{"kind":"Pod"}` || !got[0].Truncated || got[0].Knows(audit.UnknownBody) {
			t.Errorf("%+v, %v", got, problems)
		}
	}
}

func TestOpenShift(t *testing.T) {
	e := someEvents(1, 1)[0]
	e.Annotations = map[string]string{"authentication.openshift.io/username": "jane"}
	text := lineOf(e) + "\n" + lineOf(someEvents(2, 1)[0])
	got, _ := read(t, text, Options{})
	if len(got) != 2 || got[0].Source != OpenShift || got[1].Source != OpenShift {
		t.Errorf("%+v", got)
	}
	if got, _ := read(t, lineOf(someEvents(2, 1)[0]), Options{Format: OpenShift}); len(got) != 1 || got[0].Source != OpenShift {
		t.Errorf("%+v", got)
	}
}
