package guard

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gatehouse-io/gatehouse/gate"
)

func withCondition(t testing.TB, expression string) *Authorizer {
	t.Helper()
	g := parse(t, "g", `{subjects: {all: true}, resources: ["*"], nonResourceURLs: ["*"]}`)
	g.Spec.Condition = expression
	a := newTest(t, Options{})
	if err := a.Upsert(&g); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCondition(t *testing.T) {
	request := ask(t, "anna,devs get secrets.apps/status shop/db")
	request.APIVersion = "v1"
	request.User = &user.DefaultInfo{Name: "anna", UID: "7", Groups: []string{"devs"}, Extra: map[string][]string{"example.com/team": {"a", "b"}}}
	selector, err := labels.ParseToRequirements("app=web,tier!=db,!old,env in (a,b)")
	if err != nil {
		t.Fatal(err)
	}
	request.LabelSelectorRequirements = selector
	request.FieldSelectorRequirements = fields.ParseSelectorOrDie("spec.nodeName=n1,status.phase!=Failed").Requirements()
	for expression, want := range map[string]bool{
		`request.user == "anna" && request.uid == "7"`:          true,
		`"devs" in request.groups`:                              true,
		`request.extra["example.com/team"].exists(t, t == "b")`: true,
		`request.resourceAttributes.verb == "get" && request.resourceAttributes.group == "apps" && request.resourceAttributes.version == "v1"`: true,
		`request.resourceAttributes.resource + "/" + request.resourceAttributes.subresource == "secrets/status"`:                               true,
		`request.resourceAttributes.namespace + "/" + request.resourceAttributes.name == "shop/db"`:                                            true,
		`has(request.nonResourceAttributes)`: false,
		`request.resourceAttributes.labelSelector.requirements.exists(r, r.key == "app" && r.operator == "In" && r.values == ["web"])`: true,
		`request.resourceAttributes.labelSelector.requirements.exists(r, r.key == "tier" && r.operator == "NotIn")`:                    true,
		`request.resourceAttributes.labelSelector.requirements.exists(r, r.key == "old" && r.operator == "DoesNotExist")`:              true,
		`request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == "spec.nodeName" && r.values == ["n1"])`:              true,
		`request.resourceAttributes.fieldSelector.requirements.exists(r, r.key == "status.phase" && r.operator == "NotIn")`:            true,
		`!has(request.resourceAttributes.fieldSelector)`:                                                                               false,
		`request.user.startsWith("oidc:")`: false,
	} {
		d, reason, err := withCondition(t, expression).Authorize(t.Context(), request)
		if err != nil || (d == authorizer.DecisionDeny) != want || want && reason != "Guard g: because" {
			t.Errorf("%s: %v, %q, %v", expression, d, reason, err)
		}
	}
	path := ask(t, "anna get /metrics")
	if d, _, _ := withCondition(t, `request.nonResourceAttributes.path == "/metrics" && request.nonResourceAttributes.verb == "get"`).Authorize(t.Context(), path); d != authorizer.DecisionDeny {
		t.Error("a condition does not see the path")
	}
}

// A condition that cannot be judged refuses, with a reason that quotes nothing of
// the request to who is refused.
func TestConditionThatFailsRefuses(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, expression := range map[string]string{
		"no such field": `request.resourceAttributes.name == "x"`, // of a path
		"no such key":   `request.extra["nothing"][0] == "x"`,
		"no number":     `int(request.user) > 1`,
		"too dear":      `request.groups.all(a, request.groups.all(b, request.groups.all(c, a + b + c != request.user)))`,
	} {
		request := ask(t, "anna-secret get /metrics")
		if name == "too dear" {
			groups := make([]string, 200)
			for i := range groups {
				groups[i] = long[:i]
			}
			request.User = &user.DefaultInfo{Name: "anna-secret", Groups: groups}
		}
		recorder := &gate.Recorder{}
		began := time.Now()
		d, reason, err := withCondition(t, expression).Authorize(gate.WithRecorder(t.Context(), recorder), request)
		if d != authorizer.DecisionDeny || err != nil || reason != "Guard g: because (its condition failed, which counts as met)" {
			t.Errorf("%s: %v, %q, %v", name, d, reason, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		if steps := recorder.Steps(); len(steps) != 1 || len(steps[0].Reason) <= len(reason) {
			t.Errorf("%s: the step does not say what failed: %v", name, steps)
		}
	}
}

func TestSelectorsThatCannotBeParsedAreLeftOut(t *testing.T) {
	request := ask(t, "anna list pods shop/-")
	request.LabelSelectorParsingErr = strings.NewReader("").UnreadByte()
	request.FieldSelectorParsingErr = request.LabelSelectorParsingErr
	a := withCondition(t, `!has(request.resourceAttributes.labelSelector) && !has(request.resourceAttributes.fieldSelector)`)
	if d, _, _ := a.Authorize(t.Context(), request); d != authorizer.DecisionDeny {
		t.Error("a request with a broken selector looks narrower than it is")
	}
}
