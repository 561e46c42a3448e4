package condition_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect/condition"
)

func env(t testing.TB) *condition.Env {
	t.Helper()
	e, err := condition.NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func privileged() *audit.Event {
	return &audit.Event{
		ID: "1", Stage: audit.StageComplete, Level: "RequestResponse", Verb: "create", URI: "/api/v1/namespaces/shop/pods?dryRun=All",
		User: "jane", Groups: []string{"devs"}, AsUser: "ci", SourceIPs: []string{"1.2.3.4", "10.0.0.7"}, UserAgent: "kubectl/v1.37",
		Resource: "pods", Namespace: "shop", Name: "web", Code: 201, Annotations: map[string]string{audit.AnnotationDecision: "allow"},
		Request:  []byte(`{"kind":"Pod","spec":{"hostNetwork":true,"containers":[{"image":"a"}],"initContainers":[{"image":"b","securityContext":{"privileged":true}}]}}`),
		Response: []byte(`{"kind":"Pod","metadata":{"name":"web"},"spec":{"hostNetwork":true,"containers":[{"image":"a"}],"initContainers":[{"image":"b","securityContext":{"privileged":true}}],"ephemeralContainers":[{"image":"c"}]}}`),
	}
}

func match(t *testing.T, e *condition.Env, expression string, event *audit.Event) (bool, error) {
	t.Helper()
	c, err := e.Condition(expression)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	var in condition.Input
	in.Set(event)
	return c.Match(context.Background(), &in)
}

func TestVariables(t *testing.T) {
	e := env(t)
	for _, expression := range []string{
		``, `user == "jane" && actor == "ci" && address == "10.0.0.7" && ns == "shop"`,
		`object.metadata.name == "web" && pod.hostNetwork && containers.size() == 3`,
		`containers.exists(c, has(c.securityContext) && c.securityContext.privileged == true)`,
		`containers.map(c, c.image) == ["a", "b", "c"]`,
		`[user].exists(event, event == "jane")`, `who == "user"`,
	} {
		if yes, err := match(t, e, expression, privileged()); !yes || err != nil {
			t.Errorf("%s: %v, %v", expression, yes, err)
		}
	}
	for _, expression := range []string{`user == "" && actor == "" && address == ""`, `object.size() == 0 && pod.size() == 0 && containers.size() == 0`} {
		if yes, err := match(t, e, expression, &audit.Event{}); !yes || err != nil {
			t.Errorf("%s: %v, %v", expression, yes, err)
		}
	}
	if yes, err := match(t, e, `pod.hostPID`, privileged()); yes || err == nil {
		t.Errorf("what is not there is %v, %v", yes, err)
	}
}

// TestObject looks for what was written in bodies of all kinds.
func TestObject(t *testing.T) {
	const template = `"template":{"spec":{"hostPID":true,"containers":[{"image":"a"}]}}`
	e := env(t)
	for name, c := range map[string]struct {
		resource, request, response, condition string
	}{
		"pod":                   {"pods", `{"spec":{"hostPID":true}}`, ``, `pod.hostPID`},
		"no pod":                {"nodes", `{"spec":{"hostPID":true}}`, ``, `pod.size() == 0`},
		"deployment":            {"deployments", `{"spec":{` + template + `}}`, ``, `pod.hostPID && containers.size() == 1`},
		"cron job":              {"cronjobs", `{"spec":{"jobTemplate":{"spec":{` + template + `}}}}`, ``, `pod.hostPID`},
		"pod template":          {"podtemplates", `{` + template + `}`, ``, `pod.hostPID`},
		"a refusal":             {"pods", `{"spec":{"hostPID":true}}`, `{"kind":"Status","code":403}`, `pod.hostPID`},
		"response first":        {"pods", `{"spec":{}}`, `{"kind":"Pod","spec":{"hostPID":true}}`, `pod.hostPID`},
		"json patch":            {"deployments", `[{"op":"add","path":"/spec/template/spec/hostPID","value":true},{"op":"test","path":"/spec/x","value":1}]`, ``, `pod.hostPID && !has(object.spec.x)`},
		"json patch of a list":  {"pods", `[{"op":"add","path":"/spec/containers/0/securityContext","value":{"privileged":true}},{"op":"add","path":"/spec/containers/-","value":{"image":"b"}}]`, ``, `containers.size() == 2 && containers[0].securityContext.privileged`},
		"json patch of a label": {"pods", `[{"op":"replace","path":"/metadata/labels/a~1b~0c","value":"d"}]`, ``, `object.metadata.labels["a/b~c"] == "d"`},
		"json patch of all":     {"pods", `[{"op":"add","path":"","value":{"spec":{"a":1}}},{"op":"add","path":"/spec/hostPID","value":true}]`, ``, `pod.hostPID && pod.a == 1`},
		"broken json":           {"pods", `{`, `{`, `object.size() == 0`},
		"containers of no kind": {"pods", `{"spec":{"containers":["a",{"image":"b"}],"initContainers":"c"}}`, ``, `containers.size() == 1`},
	} {
		event := &audit.Event{Verb: "patch", Resource: c.resource, Request: []byte(c.request), Response: []byte(c.response)}
		if yes, err := match(t, e, c.condition, event); !yes || err != nil {
			t.Errorf("%s: %v, %v", name, yes, err)
		}
	}
}

func TestMentions(t *testing.T) {
	e := env(t)
	for expression, want := range map[string]string{
		``: "Metadata false []", `event.verb == "get"`: "Metadata false [verb]", `user == "a"`: "Metadata false []",
		`event.requestObject.a == 1`: "Request true [requestObject]", `object.a == 1`: "Request true []", `containers.size() > 0`: "Request true []",
		`event.responseObject.a == 1 || pod.a == 1`: "RequestResponse true [responseObject]",
	} {
		c, err := e.Condition(expression)
		if err != nil {
			t.Fatal(err)
		}
		if m := c.Mentions(); fmt.Sprint(m.Level, " ", m.Bodies, " ", m.Fields) != want {
			t.Errorf("%s: %v, want %s", expression, m, want)
		}
	}
}

func TestMessage(t *testing.T) {
	e := env(t)
	for template, want := range map[string]string{
		`plain`: "plain", ``: "",
		`{{user}} made {{ event.objectRef.name }} of {{containers.size()}} containers ({{containers.map(c, c.image)}}).`: "jane made web of 3 containers (a, b, c).",
		`{{count}} of {{values}}`: "7 of x, y", `{{pod.nothing}}`: "?", `{{event.objectRef.subresource}}`: "?",
		`{{"}}" + '{{'}}{{ {"a": {"b": "c"}}.a.b }}`: "}}{{c", `{{event.requestURI + event.requestURI}}`: strings.Repeat("/api/v1/namespaces/shop/pods?dryRun=All", 2),
		`{{[1, 2].map(x, event.userAgent)}} } }`: "kubectl/v1.37, kubectl/v1.37 } }",
	} {
		m, err := e.Message(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		var in condition.Input
		in.Set(privileged())
		in.Count, in.Values = 7, []string{"x", "y"}
		if got := m.Text(context.Background(), &in); got != want {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
	for template, want := range map[string]string{`a {{user`: "{{ at byte 2 has no }}", `{{usr}}`: "undeclared reference", `{{}}`: ""} {
		if _, err := e.Message(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", template, err)
		}
	}
	long := privileged()
	long.UserAgent = strings.Repeat("ä", 1000)
	m, _ := e.Message(`{{event.userAgent}}`)
	var in condition.Input
	in.Set(long)
	if got := m.Text(context.Background(), &in); len(got) > 260 || !strings.HasSuffix(got, "ä…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestValues(t *testing.T) {
	e := env(t)
	var in condition.Input
	in.Set(privileged())
	for expression, want := range map[string]string{`user`: "jane", `event.responseStatus.code`: "201", `double(containers.size()) * 1.5`: "4.5", `event.userAgent == ""`: "false", `null`: ""} {
		v, err := e.Text(expression)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Text(context.Background(), &in); got != want || err != nil {
			t.Errorf("%s: %q, %v", expression, got, err)
		}
	}
	n, err := e.Number(`containers.size()`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Number(context.Background(), &in); got != 3 || err != nil {
		t.Error(got, err)
	}
	if _, err := e.Number(`user`); err == nil {
		t.Error("a text is a number")
	}
}

// atoms are conditions that the predicate knows, or is meant not to know.
var atoms = []string{
	`true`, `false`, `event.verb == "create"`, `"get" != event.verb`, `event.verb in ["create", "patch"]`, `event.verb.startsWith("cre")`,
	`event.user.username == user`, `user != actor`, `"devs" in event.user.groups`, `event.objectRef.resource in ["pods", "secrets"]`,
	`event.requestURI.contains("dryRun")`, `event.userAgent.endsWith("37")`, `event.userAgent.matches("^kubectl/v[0-9.]+$")`,
	`event.userAgent.lowerAscii() == "kubectl/v1.37"`, `event.userAgent.lowerAscii().contains("KUBE")`, `event.userAgent.lowerAscii().startsWith("kube")`,
	`event.userAgent.lowerAscii().endsWith("1.37")`, `event.userAgent.lowerAscii() in ["a", "curl"]`, `event.userAgent.lowerAscii() != "curl"`,
	`event.responseStatus.code == 201`, `event.responseStatus.code != 201`, `event.responseStatus.code >= 400`, `event.responseStatus.code < 300`,
	`has(event.impersonatedUser)`, `has(event.objectRef.name)`, `has(event.user.groups)`, `has(event.requestObject)`, `has(event.responseObject.x)`,
	`"a" in event.annotations`, `event.annotations["a"] == "b"`, `event.truncated`, `event.requestObject.a == 1`, `object.a == 1`,
	`event.user.groups.exists(g, g == "devs")`, `event.sourceIPs[0] == "1.2.3.4"`, `event.user == event.impersonatedUser`, `ns == address`, `who == "user"`, `who in ["node", "controller"]`,
	`event.responseStatus.code in [201, 403]`, `.event.verb == "create"`, `dyn(event.verb) == 1`, `event.objectRef.name == event.objectRef.namespace`,
}

func expression(r *rand.Rand, depth int) string {
	if depth == 0 || r.IntN(4) == 0 {
		return atoms[r.IntN(len(atoms))]
	}
	switch r.IntN(4) {
	case 0:
		return "!(" + expression(r, depth-1) + ")"
	case 1:
		return "(" + expression(r, depth-1) + " || " + expression(r, depth-1) + ")"
	case 2:
		return "(" + expression(r, depth-1) + " ? " + expression(r, depth-1) + " : " + expression(r, depth-1) + ")"
	}
	return "(" + expression(r, depth-1) + " && " + expression(r, depth-1) + ")"
}

func randomEvent(r *rand.Rand) *audit.Event {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	e := &audit.Event{
		Verb: pick("create", "get", "patch", ""), URI: pick("/a", "/b?dryRun=All"), User: pick("jane", "ci", "", "system:node:a", "system:serviceaccount:kube-system:job-controller"), AsUser: pick("", "", "ci"),
		UserAgent: pick("kubectl/v1.37", "KUBECTL/V1.37", "curl", ""), Resource: pick("pods", "secrets", ""), Namespace: pick("shop", "web", ""),
		Name: pick("web", ""), Code: []int32{0, 201, 403}[r.IntN(3)], Truncated: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		e.Groups = []string{"x", pick("devs", "ops")}
	}
	if r.IntN(2) == 0 {
		e.SourceIPs = []string{"1.2.3.4", pick("shop", "10.0.0.7")}
	}
	if r.IntN(2) == 0 {
		e.Annotations = map[string]string{pick("a", "c"): pick("b", "d")}
	}
	e.Request = [][]byte{nil, []byte(`{"a":1}`), []byte(`{"a":2}`), []byte(`{`)}[r.IntN(4)]
	return e
}

// TestPredicateIsCEL holds what is known without CEL against CEL.
func TestPredicateIsCEL(t *testing.T) {
	e := env(t)
	r := rand.New(rand.NewPCG(1, 1))
	events := make([]*audit.Event, 60)
	for i := range events {
		events[i] = randomEvent(r)
	}
	expressions := slices.Clone(atoms)
	for range 400 {
		expressions = append(expressions, expression(r, 3))
	}
	trues := 0
	var in condition.Input
	for _, x := range expressions {
		c, err := e.Condition(x)
		if err != nil {
			t.Fatalf("%s: %v", x, err)
		}
		for _, event := range events {
			in.Set(event)
			got, gotErr := c.Match(t.Context(), &in)
			want, wantErr := c.Slow(t.Context(), &in)
			if got != want || (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("%s of %+v: %v, %v; CEL says %v, %v", x, event, got, gotErr, want, wantErr)
			}
			if got {
				trues++
			}
		}
	}
	if trues < 1000 {
		t.Errorf("only %d are true", trues)
	}
}

func TestNothingAllocates(t *testing.T) {
	e := env(t)
	event := privileged()
	var in condition.Input
	for _, x := range []string{
		`event.verb == "delete" && object.spec.x == 1`, `event.user.username in ["a", "b"] || event.userAgent.lowerAscii().contains("curl")`,
		`"ops" in event.user.groups`, `event.decision == "allow" && event.responseStatus.code == 403`, `!event.userAgent.matches("^kubectl/")`,
	} {
		c, err := e.Condition(x)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			in.Set(event)
			if yes, err := c.Match(context.Background(), &in); yes || err != nil {
				t.Fatal(x, yes, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", x, n)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{{user}} did {{event.verb}}`, `{{ {"a":{}} }}`, `{{"}}"}}`, `}}{{`, `{{'\''}}`} {
		f.Add(s)
	}
	e := env(f)
	var in condition.Input
	f.Fuzz(func(t *testing.T, template string) {
		m, err := e.Message(template)
		if err != nil {
			return
		}
		in.Set(privileged())
		m.Text(context.Background(), &in)
	})
}
