package sigma_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/sigma"
)

func imported(t testing.TB) *detect.Imported {
	t.Helper()
	text, err := os.ReadFile("testdata/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if !sigma.Looks(text) || sigma.Looks([]byte("- rule: x\n  condition: y\n")) {
		t.Error("it does not know its own files")
	}
	out, err := sigma.Import("rules.yml", text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func told(remarks []detect.Remark) (all []string) {
	for _, r := range remarks {
		all = append(all, fmt.Sprintf("%s: %s", r.Rule, r.Why))
	}
	return all
}

func TestWhatIsLeft(t *testing.T) {
	out := imported(t)
	if got, want := told(out.Left), []string{
		"Mounts the node: it can never fire: no audit event has the field hostPath; requestObject.spec.volumes.hostPath is probably meant",
		`Code that is a word: responseStatus.code: it can never fire: responseStatus.code is a number, and never "ALLOW"`,
		"Counts: its condition counts (| count ( ) by user.username > 10), which Sigma itself has given up: write a DetectionRule with count or distinct",
		"Windows: it is about windows security, not about audit events of Kubernetes",
		`Names nothing: its condition names "elsewhere", which it does not have`,
		"Odd modifier: verb|base64: the modifier base64 is not translated",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := told(out.Notes), []string{
		"Privileged container: replace is no verb of an audit event",
		"Group without its way: apiGroup is no field of an audit event; objectRef.apiGroup is meant",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTranslatedRulesFire(t *testing.T) {
	set, problems := detect.Compile(imported(t).Rules, detect.Options{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	event := func(change func(e *audit.Event)) *audit.Event {
		e := &audit.Event{ID: "1", Stage: audit.StageComplete, Verb: "get", Resource: "pods", Namespace: "shop", User: "jane", Name: "web", Code: 200, SourceIPs: []string{"10.0.0.7"}}
		change(e)
		return e
	}
	for i, c := range []struct {
		change func(e *audit.Event)
		want   string
	}{
		{func(e *audit.Event) { e.Subresource = "exec" }, "sigma-shell-in-a-pod"},
		{func(e *audit.Event) { e.Subresource, e.User = "EXEC", "ops-ann" }, ""},
		{func(e *audit.Event) { e.Subresource, e.Namespace = "exec", "Kube-System" }, ""},
		{func(e *audit.Event) {
			e.Verb, e.Request = "create", []byte(`{"spec":{"containers":[{},{"securityContext":{"privileged":true}}]}}`)
		}, "sigma-privileged-container"},
		{func(e *audit.Event) {
			e.Verb, e.Request = "create", []byte(`{"spec":{"containers":[{"securityContext":{"privileged":false}}]}}`)
		}, ""},
		{func(e *audit.Event) { e.APIGroup, e.Verb = "rbac.authorization.k8s.io", "update" }, "sigma-group-without-its-way"},
		{func(e *audit.Event) { e.APIGroup, e.Verb = "rbac.authorization.k8s.io", "patch" }, ""},
		{func(e *audit.Event) { e.Code, e.SourceIPs = 403, []string{"203.0.113.9"} }, "sigma-refused-from-outside"},
		{func(e *audit.Event) { e.Code = 403 }, ""},
		{func(e *audit.Event) { e.UserAgent, e.URI = "curl/8", "/API/v1/Secrets" }, "sigma-refused-from-outside"},
		{func(e *audit.Event) { e.UserAgent, e.URI = "curl/8", "/api/v1/pods" }, ""},
		{func(e *audit.Event) { e.UserAgent = "SQLMap/1" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) { e.UserAgent = "nmap quick scan" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) { e.Name = "shop-DB" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) { e.Name = "shop-db" }, ""},
		{func(e *audit.Event) { e.Name = "a*B" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) { e.Name = "aab" }, ""},
		{func(e *audit.Event) { e.Name = "x123y" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) { e.Name, e.Resource = "", "secrets" }, "sigma-wildcards-and-words"},
		{func(e *audit.Event) {
			e.Name, e.Resource, e.Annotations = "", "secrets", map[string]string{"example.com/owner": "x"}
		}, ""},
	} {
		state := detect.NewState(set, detect.StateOptions{})
		var got []string
		for _, change := range state.Observe(t.Context(), event(c.change)) {
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
	if r := set.Rule("sigma-shell-in-a-pod"); r.Spec.Severity != "high" || fmt.Sprint(r.Spec.Attack) != "{[Execution] [T1609]}" || r.Spec.FalsePositives != "Debugging" {
		t.Errorf("got %+v", r.Spec)
	}
}

func FuzzImport(f *testing.F) {
	text, err := os.ReadFile("testdata/rules.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, c := range []string{"1 of s*", "not (s", "all of them and s", "s or or", "1 of [", "not not s"} {
		f.Add([]byte("title: '{{x'\nlogsource: {product: kubernetes}\ndetection:\n  s:\n    requestObject.a.containers.b|re: '^(a|b)$'\n    verb|endswith: '*a?\\*b\\\\'\n  condition: '" + c + "'\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		out, err := sigma.Import("x", text)
		if err != nil {
			return
		}
		if _, problems := detect.Compile(out.Rules, detect.Options{}); len(problems) > 0 {
			t.Error(problems)
		}
	})
}
