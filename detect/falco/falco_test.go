package falco_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/falco"
)

func imported(t testing.TB) *detect.Imported {
	t.Helper()
	text, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !falco.Looks(text) || falco.Looks([]byte("title: x\ndetection:\n  a: {b: c}\n")) {
		t.Error("it does not know its own files")
	}
	out, err := falco.Import("rules.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsLeft(t *testing.T) {
	var got []string
	for _, l := range imported(t).Left {
		got = append(got, fmt.Sprintf("%s: %s", l.Rule, l.Why))
		if l.Line == 0 {
			t.Errorf("%s has no line", l.Rule)
		}
	}
	want := []string{
		"Never: it can never fire: its condition is always false",
		"Off: it is switched off (enabled: false)",
		"Shell: it is about system calls, not about audit events",
		"Strange field: no audit event has the field ka.moon.phase",
		"Broken: its condition cannot be read: a parenthesis is not closed",
		"No macro: there is no macro elsewhere",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTranslatedRulesFire(t *testing.T) {
	set, problems := detect.Compile(imported(t).Rules, detect.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	event := func(user, verb, resource, namespace, body string) *audit.Event {
		return &audit.Event{ID: "1", Stage: audit.StageComplete, Verb: verb, Resource: resource, Namespace: namespace, User: user, Code: 200, Name: "x", Request: []byte(body), SourceIPs: []string{"10.0.0.7"}}
	}
	agent := func(name string, code int32) *audit.Event {
		return &audit.Event{ID: "1", Stage: audit.StageComplete, Verb: "get", UserAgent: name, Code: code}
	}
	const privileged = `{"spec":{"containers":[{"image":"a"},{"image":"b","securityContext":{"privileged":true}}]}}`
	for i, c := range []struct {
		event *audit.Event
		want  string
	}{
		{event("jane", "create", "pods", "bank", privileged), "falco-images-of-others falco-privileged-in-a-watched-namespace"},
		{event("jane", "patch", "pods", "kube-system", privileged), "falco-images-of-others falco-privileged-in-a-watched-namespace"},
		{event("ops", "create", "pods", "bank", privileged), "falco-images-of-others"},
		{event("jane", "create", "pods", "shop", privileged), "falco-images-of-others"},
		{event("jane", "create", "pods", "bank", `{"spec":{"containers":[{"image":"nginx:1"},{"image":"registry:5000/web@sha256:ab"}]}}`), ""},
		{event("jane", "get", "secrets", "shop", ""), "falco-secret-by-strangers"},
		{event("ann", "get", "secrets", "shop", ""), ""},
		{event("system:serviceaccount:a:b", "list", "secrets", "bank", ""), ""},
		{event("system:serviceaccount:a:b", "list", "secrets", "kube-system", ""), "falco-secret-by-strangers"},
		{event("jane", "create", "pods", "shop", `{"spec":{"volumes":[{"emptyDir":{}},{"hostPath":{"path":"/etc"}}]}}`), "falco-mounts-of-the-node"},
		{event("jane", "create", "pods", "shop", `{"spec":{"volumes":[{"hostPath":{"path":"/var/lib/kubelet/pki"}}]}}`), "falco-mounts-of-the-node"},
		{event("jane", "create", "pods", "shop", `{"spec":{"volumes":[{"hostPath":{"path":"/etcetera"}}]}}`), ""},
		{event("jane", "create", "clusterroles", "", `{"rules":[{"verbs":["get"]},{"verbs":["*"]}]}`), "falco-wildcard"},
		{event("jane", "create", "clusterroles", "", `{"rules":[{"verbs":["get"]}]}`), ""},
		{event("jane", "create", "configmaps", "shop", `{"data":{"x":"Password: 1"}}`), "falco-config-with-passwords"},
		{agent("x sqlmap/1.7", 200), "falco-agent"},
		{agent("curl/8.5", 200), "falco-agent"},
		{agent("my-curl/8.5", 200), ""},
		{agent("kubectl", 503), "falco-agent"},
		{agent("kubectl", 0), ""},
	} {
		state := detect.NewState(set, detect.StateOptions{})
		var got []string
		for _, change := range state.Observe(t.Context(), c.event) {
			got = append(got, change.Finding.Rule)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("event %d: %q, want %q", i, got, c.want)
		}
		for name, s := range state.Stats().Rules {
			if s.Failed > 0 {
				t.Errorf("event %d: %s: %s", i, name, s.Last)
			}
		}
	}
	rule := set.Rule("falco-privileged-in-a-watched-namespace")
	if rule.Spec.Severity != "medium" || rule.Spec.Attack.Techniques[0] != "T1610" || rule.Needs.Level != "Request" {
		t.Errorf("got %+v, needs %+v", rule.Spec, rule.Needs)
	}
	state := detect.NewState(set, detect.StateOptions{})
	if changes := state.Observe(t.Context(), event("jane", "create", "pods", "bank", privileged)); changes[1].Finding.Message != "Privileged pod (user=jane pod=? images=a, b)" {
		t.Errorf("got %q", changes[1].Finding.Message)
	}
}

func FuzzImport(f *testing.F) {
	text, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, c := range []string{"ka.verb in (a, (b))", "not not (ka.uri.param[a b] = 'x\\'')", "m or m", "ka.verb = \"", "a.b < 3 and c >= x", "jevt.value[/requestObject/a/b] = 1"} {
		f.Add([]byte("- macro: m\n  condition: m\n- rule: r\n  source: k8s_audit\n  output: '%ka.verb {{'\n  condition: >-\n    " + c + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		out, err := falco.Import("x", text)
		if err != nil {
			return
		}
		if _, problems := detect.Compile(out.Rules, detect.Options{}); len(problems) > 0 {
			t.Error(problems)
		}
	})
}
