package celevent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/celevent"
)

func env(t testing.TB, o celevent.Options) *celevent.Env {
	t.Helper()
	e, err := celevent.NewEnv(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func compile(t testing.TB, e *celevent.Env, expression string) *celevent.Program {
	t.Helper()
	p, err := e.Compile(expression, celevent.Bool)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return p
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func scaled() *audit.Event {
	return &audit.Event{
		ID: "1", Stage: audit.StageComplete, Level: "RequestResponse", Time: at, Received: at.Add(-20 * time.Millisecond),
		Verb: "patch", URI: "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl",
		User: "jane", UID: "u1", Groups: []string{"developers", "system:authenticated"}, Extra: map[string][]string{"scopes": {"a", "b"}},
		AsUser: "ci", AsGroups: []string{"builders"}, SourceIPs: []string{"1.2.3.4", "10.0.0.7"}, UserAgent: "kubectl/v1.37",
		APIGroup: "apps", APIVersion: "v1", Resource: "deployments", Namespace: "shop", Name: "web",
		Code: 200, Annotations: map[string]string{audit.AnnotationDecision: "allow"},
		Request:  []byte(`{"spec":{"replicas":5,"ratio":1.5}}`),
		Response: []byte(`{"kind":"Deployment","metadata":{"labels":{"app":"web"}},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"x:1"}]}}}}`),
		Source:   "serve",
	}
}

func TestMatch(t *testing.T) {
	e := env(t, celevent.Options{})
	for expression, want := range map[string]bool{
		`event.verb == "patch" && event.stage == "ResponseComplete" && event.level == "RequestResponse"`:                      true,
		`event.user.username == "jane" && event.user.uid == "u1" && "developers" in event.user.groups`:                        true,
		`event.user.extra["scopes"] == ["a", "b"]`:                                                                            true,
		`event.user.extra.scopes[1] == "b"`:                                                                                   true,
		`has(event.impersonatedUser) && event.impersonatedUser.username == "ci" && event.impersonatedUser.groups.size() == 1`: true,
		`event.objectRef.resource == "deployments" && event.objectRef.apiGroup == "apps" && event.objectRef.namespace == "shop" && event.objectRef.name == "web" && event.objectRef.subresource == ""`: true,
		`event.responseStatus.code >= 200 && event.responseStatus.code < 300`:                                      true,
		`has(event.responseStatus.reason)`:                                                                         false,
		`event.requestObject.spec.replicas > 4`:                                                                    true,
		`event.requestObject.spec.ratio == 1.5`:                                                                    true,
		`has(event.requestObject.spec.paused)`:                                                                     false,
		`event.responseObject.spec.template.spec.containers.exists(c, c.image.endsWith(":1"))`:                     true,
		`event.annotations["authorization.k8s.io/decision"] == event.decision`:                                     true,
		`event.sourceIPs.exists(i, ip(i).family() == 4 && cidr("10.0.0.0/8").containsIP(i))`:                       true,
		`event.stageTimestamp - event.requestReceivedTimestamp == event.latency && event.latency < duration("1s")`: true,
		`event.stageTimestamp.getHours() == 5`:                                                                     true,
		`event.requestURI.matches("fieldManager=kube.*")`:                                                          true,
		`has(event.authenticationMetadata) || has(event.unknown) || event.truncated`:                               false,
		`event.user == event.impersonatedUser`:                                                                     false,
		`event.user == event.user && event == event`:                                                               true,
		`[event.user, event.impersonatedUser].exists(u, u.username == "ci")`:                                       true,
		`dyn(event).user.username == "jane" && dyn(event)["requestObject"].spec.replicas == 5`:                     true,
		`has(event.objectRef) && type(event.objectRef) == audit.ObjectReference`:                                   true,
		`event.?requestObject.spec.replicas.orValue(0) == 5 && !event.requestObject.?spec.?x.hasValue()`:           true,
		`event.source == "serve" && event.userAgent.startsWith("kubectl/")`:                                        true,
		`event.authenticationMetadata.impersonationConstraint == "" && event.auditID == "1"`:                       true,
		// Errors, since it is no bool, and since nothing of an event can be made up.
		`event.requestObject`:                         false,
		`audit.UserInfo{username: "x"} == event.user`: false,
	} {
		var a celevent.Activation
		a.Set(scaled())
		got, err := compile(t, e, expression).Match(context.Background(), &a)
		if (err != nil) != (expression == "event.requestObject" || strings.Contains(expression, "{u")) || got != want {
			t.Errorf("%s: %v, %v; want %v", expression, got, err, want)
		}
	}
}

// TestEmptyEvent asks for everything of an event that has nothing.
func TestEmptyEvent(t *testing.T) {
	e := env(t, celevent.Options{})
	var a celevent.Activation
	a.Set(&audit.Event{})
	for _, expression := range []string{
		`event.user.username == "" && event.impersonatedUser.username == "" && event.objectRef.name == "" && event.responseStatus.code == 0`,
		`event.user.groups.size() == 0 && event.annotations.size() == 0 && event.sourceIPs.size() == 0 && event.user.extra.size() == 0`,
		`!has(event.objectRef) && !has(event.responseStatus) && !has(event.impersonatedUser) && !has(event.requestObject)`,
		`event.requestObject == null && event.latency == duration("0s")`,
	} {
		if got, err := compile(t, e, expression).Match(context.Background(), &a); err != nil || !got {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
	}
	// The same Activation, for an event with a body and then one without.
	p := compile(t, e, `event.requestObject.spec.replicas == 5`)
	for i, event := range []*audit.Event{scaled(), {}, {Request: []byte("{broken secret")}} {
		a.Set(event)
		got, err := p.Match(context.Background(), &a)
		if got != (i == 0) || (err == nil) != (i == 0) {
			t.Errorf("event %d: %v, %v", i, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("an error quotes the body: %v", err)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	e := env(t, celevent.Options{})
	for expression, want := range map[string]string{
		`event.user.name == "x"`:              "1:11: undefined field 'name'",
		"event.verb == \"x\" &&\n  evnt.verb": "2:3: undeclared reference to 'evnt'",
		`event.verb`:                          "the expression gives string, not bool",
		`event.responseStatus.code == "403"`:  "no matching overload",
		`event.verb.matches("(")`:             "invalid matches argument",
		`event.verb ==`:                       "Syntax error",
		strings.Repeat("(", 400) + "true" + strings.Repeat(")", 400):    "",
		`event.verb == "` + strings.Repeat("x", celevent.MaxExpression): "bytes long",
		``: "",
	} {
		_, err := e.Compile(expression, celevent.Bool)
		if _, ok := errors.AsType[*celevent.SyntaxError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %s", expression, err, want)
		}
	}
}

func TestFields(t *testing.T) {
	e := env(t, celevent.Options{})
	for expression, want := range map[string]struct {
		fields string
		bodies bool
	}{
		`true`: {"", false},
		`event.verb == "get" && event.user.username == event.verb`: {"user.username verb", false},
		`event.requestObject.spec.replicas > 1`:                    {"requestObject", true},
		`has(event.responseObject)`:                                {"responseObject", true},
		`event.?requestObject.spec.hasValue()`:                     {"event", true},
		`event == event`:                                           {"event", true},
		`dyn(event)["requestObject"] == null`:                      {"event", true},
		`[event].exists(x, has(x.requestObject))`:                  {"event", true},
		`event.user.groups.exists(g, g == "a")`:                    {"user.groups", false},
		`event.annotations["a"] == "b"`:                            {"annotations", false},
		`event.user == event.impersonatedUser`:                     {"impersonatedUser user", false},
	} {
		p := compile(t, e, expression)
		if got := strings.Join(p.Fields(), " "); got != want.fields || p.Bodies() != want.bodies {
			t.Errorf("%s: %q, bodies %v; want %q, %v", expression, got, p.Bodies(), want.fields, want.bodies)
		}
		if !slices.IsSorted(p.Fields()) {
			t.Errorf("%s: not sorted", expression)
		}
	}
}

// TestCostIsBounded evaluates what would take for ever.
func TestCostIsBounded(t *testing.T) {
	e := env(t, celevent.Options{CostLimit: 1_000_000})
	event := scaled()
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + "]"
	event.Request = []byte(`{"a":` + list + `}`)
	var a celevent.Activation
	a.Set(event)
	for _, expression := range []string{
		`event.requestObject.a.all(x, event.requestObject.a.all(y, event.requestObject.a.all(z, x + y + z > 0)))`,
		`event.requestObject.a.map(x, event.requestObject.a.map(y, event.requestObject.a)).size() > 0`,
	} {
		_, err := compile(t, e, expression).Match(context.Background(), &a)
		if err == nil || !strings.Contains(err.Error(), "cost") {
			t.Errorf("%s: error is %v", expression, err)
		}
	}
	// What one can tell to be cheap is not counted, and a limit holds there too.
	tiny := env(t, celevent.Options{CostLimit: 1})
	if _, err := compile(t, tiny, `event.verb == "a" || event.user.username == "b" || event.user.uid == "c"`).Match(context.Background(), &a); err == nil {
		t.Error("a cost above the limit is no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := compile(t, e, `event.requestObject.a.all(x, x > 0)`).Match(ctx, &a); err == nil {
		t.Error("a context that has ended does not end an evaluation")
	}
}

func TestExtend(t *testing.T) {
	e := env(t, celevent.Options{Extend: []cel.EnvOption{cel.Variable("watched", cel.ListType(cel.StringType))}})
	p := compile(t, e, `event.user.username in watched`)
	rest, err := cel.NewActivation(map[string]any{"watched": []string{"jane"}})
	if err != nil {
		t.Fatal(err)
	}
	a := celevent.Activation{Rest: rest}
	a.Set(scaled())
	if got, err := p.Match(context.Background(), &a); err != nil || !got {
		t.Errorf("%v, %v", got, err)
	}
	key, err := e.Compile(`event.user.username + "/" + event.objectRef.namespace`, cel.StringType)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := key.Eval(context.Background(), &a); err != nil || got != types.String("jane/shop") {
		t.Errorf("%v, %v", got, err)
	}
}

// TestUntouchedCostsNothing: what an event has in it is not made anew for an expression
// that does not speak of it.
func TestUntouchedCostsNothing(t *testing.T) {
	e := env(t, celevent.Options{})
	p := compile(t, e, `event.verb == "delete" && event.requestObject.spec.replicas > 1`)
	small, large := scaled(), scaled()
	large.Request = []byte(`{"spec":{"replicas":5,"x":[` + strings.TrimSuffix(strings.Repeat(`{"a":"b"},`, 1000), ",") + `]}}`)
	large.Groups = slices.Repeat([]string{"g"}, 1000)
	var a celevent.Activation
	count := func(event *audit.Event) float64 {
		return testing.AllocsPerRun(100, func() {
			a.Set(event)
			if yes, err := p.Match(context.Background(), &a); yes || err != nil {
				t.Fatal(yes, err)
			}
		})
	}
	if few, many := count(small), count(large); few != many {
		t.Errorf("%v allocations for a small event, %v for a large one", few, many)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`event.verb == "get"`, `event.requestObject.a[0].b`, `event.user.groups.all(g, g.matches("^a+$"))`, `[event].map(e, e.user)`, `event[`} {
		f.Add(s)
	}
	e := env(f, celevent.Options{CostLimit: 10000})
	f.Fuzz(func(t *testing.T, expression string) {
		p, err := e.Compile(expression, celevent.Bool)
		if err != nil {
			return
		}
		var a celevent.Activation
		event := scaled()
		a.Set(event)
		full, fullErr := p.Match(context.Background(), &a)
		if p.Bodies() {
			return
		}
		event.Request, event.Response = nil, nil
		a.Set(event)
		if bare, err := p.Match(context.Background(), &a); bare != full || (err == nil) != (fullErr == nil) {
			t.Errorf("%s is %v, and without the bodies it is not said to mention %v", expression, full, bare)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	e := env(b, celevent.Options{})
	event := scaled()
	for name, expression := range map[string]string{
		"false":   `event.verb == "delete"`,
		"text":    `event.user.username == "jane" && event.objectRef.namespace == "shop"`,
		"groups":  `"developers" in event.user.groups`,
		"regexp":  `event.requestURI.matches("fieldManager=kube.*")`,
		"body":    `event.requestObject.spec.replicas > 4`,
		"counted": `event.requestURI.contains("fieldManager")`,
	} {
		p := compile(b, e, expression)
		b.Run(name, func(b *testing.B) {
			var a celevent.Activation
			b.ReportAllocs()
			for b.Loop() {
				a.Set(event)
				if _, err := p.Match(context.Background(), &a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
