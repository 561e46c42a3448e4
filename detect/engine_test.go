package detect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
)

var begun = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func files(t testing.TB, text string) *detect.Files {
	t.Helper()
	f, err := detect.ReadText(context.Background(), "rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// rules compiles rules of which only the spec is written, one a line: NAME: {…}.
func rules(t testing.TB, lines string) *detect.Set {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		name, spec, _ := strings.Cut(strings.TrimSpace(line), ": ")
		spec = strings.TrimSuffix(strings.TrimPrefix(spec, "{"), "}")
		if !strings.Contains(spec, "message:") {
			spec += `, message: "{{user}} {{count}}"`
		}
		fmt.Fprintf(&text, "---\napiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: %s}\nspec: {title: t, severity: high, %s}\n", name, strings.TrimPrefix(spec, ", "))
	}
	f := files(t, text.String())
	set, problems := detect.Compile(f.Rules, detect.Options{})
	if err := f.Locate(problems); err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	return set
}

// request is an event: VERB RESOURCE[.GROUP][/SUB] of a user after some time.
func request(seconds int, user, verb, what string) *audit.Event {
	e := &audit.Event{
		ID: fmt.Sprintf("%s-%d-%s", user, seconds, what), Stage: audit.StageComplete, Level: "Metadata", Verb: verb, User: user, Namespace: "shop",
		Time: begun.Add(time.Duration(seconds) * time.Second), Code: 200,
	}
	e.Received = e.Time
	if strings.HasPrefix(what, "/") {
		e.URI, e.Namespace = what, ""
		return e
	}
	what, e.Subresource, _ = strings.Cut(what, "/")
	e.Resource, e.APIGroup, _ = strings.Cut(what, ".")
	e.URI = "/apis/" + what
	return e
}

func observe(t *testing.T, s *detect.State, events ...*audit.Event) (told []string) {
	t.Helper()
	for _, e := range events {
		for _, c := range s.Observe(t.Context(), e) {
			told = append(told, fmt.Sprintf("%s %s %d", c.What, c.Finding.Rule, c.Finding.Count))
		}
	}
	return told
}

func TestFindings(t *testing.T) {
	s := detect.NewState(rules(t, `
exec: {match: {resources: [pods/exec]}, key: [user], message: "{{user}} went into {{event.objectRef.namespace}}, {{count}}", attack: {tactics: [Execution], techniques: [T1609]}}
`), detect.StateOptions{})
	got := observe(t, s,
		request(0, "jane", "create", "pods"),
		request(1, "jane", "create", "pods/exec"),
		request(2, "ci", "get", "pods/exec"),
		request(3, "jane", "get", "pods/exec"),
		request(3603, "ci", "get", "pods"), // quiet for an hour, and a second more
		request(3604, "jane", "get", "pods/exec"))
	want := []string{"new exec 1", "new exec 1", "again exec 2", "over exec 2", "over exec 1", "new exec 1"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	all := s.Findings()
	f := all[0]
	if len(all) != 1 || f.Message != "jane went into shop, 1" || f.Runbook != "exec" || len(f.Fingerprint) != 16 || f.Subject.User != "jane" ||
		f.Object.Subresource != "exec" || f.Attack.Techniques[0] != "T1609" || !f.First.Equal(begun.Add(3604*time.Second)) || len(f.Events) != 1 || f.Key[0] != "jane" {
		t.Errorf("got %+v", all)
	}
}

// TestOnceARequest brings the events of requests that go on.
func TestOnceARequest(t *testing.T) {
	s := detect.NewState(rules(t, `
watch: {match: {verbs: [watch], resources: [secrets]}, key: [user]}
done: {match: {verbs: [watch], stages: [ResponseComplete]}, key: [user]}
every: {match: {verbs: [watch], stages: [RequestReceived]}, key: [user]}
`), detect.StateOptions{})
	watch := func(id string, received int, stage string) *audit.Event {
		e := request(received, "jane", "watch", "secrets")
		e.ID, e.Stage, e.Time = id, stage, e.Time.Add(5*time.Second)
		if stage == audit.StageComplete {
			e.Time = e.Time.Add(10 * time.Minute)
		}
		return e
	}
	got := observe(t, s,
		watch("a", 0, audit.StageReceived), watch("a", 0, audit.StageStarted), watch("a", 0, audit.StageStarted), watch("b", 1, audit.StageStarted),
		watch("a", 0, audit.StageComplete), watch("b", 1, audit.StageComplete),
		// A client that gives another request the same auditID does not hide it.
		watch("a", 2, audit.StageComplete))
	want := []string{"new every 1", "new watch 1", "again watch 2", "new done 1", "again done 2", "again done 3", "again watch 3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := s.Stats().Again; n != 3 {
		t.Errorf("%d had been judged before", n)
	}
}

func TestOperators(t *testing.T) {
	one := func(rule string) *detect.State {
		return detect.NewState(rules(t, "r: {"+rule+"}"), detect.StateOptions{})
	}
	got := func(user, name string, seconds int, verb, what string) *audit.Event {
		e := request(seconds, user, verb, what)
		e.Name = name
		return e
	}
	for name, c := range map[string]struct {
		rule   string
		events []*audit.Event
		want   string
	}{
		"count": {`match: {verbs: [get]}, count: {atLeast: 3, window: 10s}, message: "{{count}}"`,
			[]*audit.Event{got("a", "", 0, "get", "pods"), got("a", "", 1, "list", "pods"), got("b", "", 2, "get", "pods"), got("a", "", 5, "get", "pods"), got("a", "", 9, "get", "pods"), got("a", "", 9, "get", "pods")}, "new 3, again 4"},
		"distinct": {`distinct: {of: event.objectRef.name, atLeast: 3, window: 10s}, message: "{{count}} {{values}}"`,
			[]*audit.Event{got("a", "x", 0, "get", "pods"), got("a", "x", 1, "get", "pods"), got("a", "y", 2, "get", "pods"), got("a", "z", 3, "get", "pods")}, "new 3 x, y, z"},
		"rate": {`rate: {of: "event.objectRef.name.size()", atLeast: 6, window: 1m}, message: "{{count}}"`,
			[]*audit.Event{got("a", "four", 0, "get", "pods"), got("a", "one", 30, "get", "pods"), got("a", "two", 300, "get", "pods")}, "new 7"},
		"first seen": {`firstSeen: {of: event.objectRef.name, learn: 10s}, message: "{{values}}"`,
			[]*audit.Event{got("a", "x", 0, "get", "pods"), got("a", "y", 9, "get", "pods"), got("a", "x", 20, "get", "pods"), got("a", "z", 21, "get", "pods"), got("a", "z", 22, "get", "pods")}, "new z"},
		"sequence": {`match: {resources: [pods, secrets]}, sequence: {window: 1m, steps: [{match: {resources: [secrets]}}, {match: {resources: [pods]}, condition: 'event.verb == "create"'}]}, message: "{{count}}"`,
			[]*audit.Event{got("a", "", 0, "create", "pods"), got("a", "", 1, "get", "secrets"), got("b", "", 2, "create", "pods"), got("a", "", 3, "get", "pods"), got("a", "", 4, "create", "pods")}, "new 2"},
		"sequence by its steps": {`sequence: {window: 1m, steps: [{match: {resources: [secrets]}}, {match: {verbs: [delete]}}]}, message: "{{count}}"`,
			[]*audit.Event{got("a", "", 1, "get", "secrets"), got("a", "", 4, "delete", "nodes")}, "new 2"},
		"absence": {`match: {verbs: [create], resources: [leases]}, absence: {window: 10s}, message: "{{values}}"`,
			[]*audit.Event{got("a", "", 0, "create", "leases"), got("x", "", 500, "get", "pods")}, "new a, shop"},
		"absence after": {`match: {verbs: [delete]}, absence: {window: 10s, after: {match: {verbs: [create]}}}, key: [user], message: "{{values}}"`,
			[]*audit.Event{got("a", "", 0, "create", "pods"), got("b", "", 1, "create", "pods"), got("b", "", 5, "delete", "pods"), got("x", "", 500, "get", "pods")}, "new a"},
	} {
		s, told := one(c.rule), []string{}
		for _, e := range c.events {
			for _, change := range s.Observe(t.Context(), e) {
				told = append(told, string(change.What)+" "+change.Finding.Message)
			}
		}
		if got := strings.Join(told, ", "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestNotRecorded: a rule that looks at bodies is not asked about an event without one.
func TestNotRecorded(t *testing.T) {
	s := detect.NewState(rules(t, `
plain: {match: {resources: [ingresses]}, condition: '!has(object.spec) || !has(object.spec.tls)'}
response: {match: {resources: [ingresses]}, condition: '!has(event.responseObject.spec)'}
anyway: {match: {resources: [ingresses]}, condition: 'object.size() == 0', needs: {level: Metadata}}
broken: {match: {resources: [pods]}, condition: 'object.spec.hostPID'}
`), detect.StateOptions{})
	without, with := request(0, "jane", "create", "ingresses"), request(1, "jane", "create", "ingresses")
	with.Request = []byte(`{"spec":{}}`)
	pod := request(2, "jane", "create", "pods")
	pod.Request = []byte(`{"spec":{}}`)
	if got := observe(t, s, without, with, pod); !slices.Equal(got, []string{"new anyway 1", "new plain 1"}) {
		t.Errorf("got %q", got)
	}
	if stats := s.Stats().Rules["broken"]; stats.Failed != 1 || !strings.Contains(stats.Last, "no such key") {
		t.Errorf("got %+v", stats)
	}
}

// TestExamplesHold loads rules that do not do what their examples say.
func TestExamplesHold(t *testing.T) {
	const head = "apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: r}\nspec:\n  title: t\n  severity: high\n  message: m\n  match: {resources: [secrets]}\n"
	for name, c := range map[string]struct{ text, want string }{
		"good": {"  count: {atLeast: 3, window: 1m}\n  examples:\n    positive:\n    - events: [{repeat: 3, event: {verb: get, objectRef: {resource: secrets, name: 's-{n}'}}}]\n" +
			"    negative:\n    - events: [{repeat: 3, every: 1m, event: {verb: get, objectRef: {resource: secrets}}}]\n", ""},
		"silent": {"  examples:\n    positive:\n    - events: [{event: {verb: get, objectRef: {resource: secrets}}}]\n    - says: a pod is read\n      events: [{event: {verb: get, objectRef: {resource: pods}}}]\n",
			"rules.yaml:12:7: DetectionRule r: spec.examples.positive[1]: positive example 2 (a pod is read) makes no finding"},
		"loud": {"  examples:\n    negative:\n    - events: [{event: {verb: get, objectRef: {resource: secrets}}}]\n",
			"rules.yaml:11:7: DetectionRule r: spec.examples.negative[0]: negative example 1 makes a finding: m"},
		"cannot judge": {"  condition: event.requestObject.a == 1\n  examples:\n    negative:\n    - events: [{event: {verb: get, objectRef: {resource: secrets}, requestObject: {}}}]\n",
			"negative example 1 cannot be judged: no such key: a"},
		"no event":  {"  examples:\n    positive:\n    - events: [{event: {verb: get, objectRef: {rsource: secrets}}}]\n", "event 1 has a field that no Event of audit.k8s.io/v1 has"},
		"condition": {"  condition: event.vrb == 'get'\n", "rules.yaml:9:14: DetectionRule r: spec.condition: 1:6: undefined field 'vrb'"},
		"key":       {"  key: [user, usr]\n", "rules.yaml:9:15: DetectionRule r: spec.key[1]: 1:1: undeclared reference to 'usr'"},
		"message":   {"  needs: {level: Everything}\n", "rules.yaml:9:18: DetectionRule r: spec.needs.level: "},
		"window":    {"  count: {atLeast: 3, window: 0s}\n", "rules.yaml:9:31: DetectionRule r: spec.count.window: must be 1s to 2160h0m0s"},
		"two":       {"  count: {atLeast: 3, window: 1m}\n  absence: {window: 1m}\n", "set at most one of count"},
		"step":      {"  sequence: {window: 1m, steps: [{}, {condition: x}]}\n", "spec.sequence.steps[1].condition: 1:1: undeclared reference"},
		"absence": {"  absence: {window: 1m}\n  examples:\n    positive:\n    - until: 61s\n      events: [{event: {verb: get, objectRef: {resource: secrets}}}]\n" +
			"    negative:\n    - until: 59s\n      events: [{event: {verb: get, objectRef: {resource: secrets}}}]\n", ""},
	} {
		f := files(t, head+c.text)
		set, problems := detect.Compile(f.Rules, detect.Options{})
		err := f.Locate(problems)
		if c.want == "" && (err != nil || len(set.Rules()) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(set.Rules()) != 0) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestFilesAreStrict(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: r}\nspec:\n  title: t\n  conditions: x\n": `rules.yaml:6:15: decode DetectionRule: unknown field "spec.conditions"`,
		"apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: r}\nspec:\n  title: [t]\n":                "rules.yaml:5:10: decode DetectionRule",
		"apiVersion: gatehouse.io/v1\nkind: DetectionRule\nmetadata: {name: r}\n":                                           "there is no DetectionRule of gatehouse.io/v1",
		"apiVersion: gatehouse.io/v1alpha1\nkind: Mute\nmetadata: {name: m}\nspec: {owner: o, reason: r}\n":                 "spec.match: say which findings",
		"apiVersion: gatehouse.io/v1alpha1\nkind: Mute\nmetadata: {name: m}\nspec: {match: {rules: [x]}, reason: r}\n":      "say who answers",
	} {
		_, err := detect.ReadText(t.Context(), "rules.yaml", []byte(text))
		if _, ok := errors.AsType[*v1alpha1.FieldError](err); !ok || !strings.Contains(strings.ReplaceAll(err.Error(), "spec.match: say", "say"), strings.TrimPrefix(want, "spec.match: ")) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	f := files(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\napiVersion: gatehouse.io/v1alpha1\nkind: Mute\nmetadata: {name: m}\nspec: {match: {rules: [x]}, owner: o, reason: r, expiresAt: 2026-05-01T00:00:00Z}\n")
	if f.Others != 1 || len(f.Mutes) != 1 || f.Mutes[0].Spec.ExpiresAt.Year() != 2026 {
		t.Errorf("got %+v", f)
	}
}

func TestMutes(t *testing.T) {
	s := detect.NewState(rules(t, `
read: {match: {resources: [secrets]}, key: [user]}
exec: {match: {resources: [pods/exec]}, key: [user]}
`), detect.StateOptions{})
	f := files(t, "apiVersion: gatehouse.io/v1alpha1\nkind: Mute\nmetadata: {name: backup}\nspec: {match: {rules: ['re*'], users: ['system:*']}, owner: o, reason: r, expiresAt: \"2026-03-04T06:00:00Z\"}\n")
	s.SetMutes(f.Mutes)
	muted := func(e *audit.Event) (told []string) {
		for _, c := range s.Observe(t.Context(), e) {
			told = append(told, fmt.Sprintf("%s %s %s", c.What, c.Finding.Rule, c.Finding.Muted))
		}
		return told
	}
	for i, c := range []struct {
		event *audit.Event
		want  []string
	}{
		{request(0, "system:backup", "get", "secrets"), []string{"new read backup"}},
		{request(1, "jane", "get", "secrets"), []string{"new read "}},
		{request(2, "system:backup", "get", "pods/exec"), []string{"new exec "}},
		{request(3300, "system:backup", "get", "secrets"), []string{"new expired-mute ", "again read ", "again read "}},
		{request(3301, "system:backup", "get", "secrets"), []string{"again read "}},
		{request(9000, "jane", "get", "pods"), []string{"over read ", "over exec ", "over read "}},
	} {
		got := muted(c.event)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("event %d: %q, want %q", i, got, c.want)
		}
	}
	if n := s.Stats().Muted["backup"]; n != 1 {
		t.Errorf("muted %d", n)
	}
	s.Observe(t.Context(), request(10000, "system:backup", "get", "secrets"))
	later := *f.Mutes[0]
	later.Spec.ExpiresAt.Time = later.Spec.ExpiresAt.Add(24 * time.Hour)
	for i, c := range []struct {
		mutes []*v1alpha1.Mute
		want  string
	}{{[]*v1alpha1.Mute{&later}, "again read backup"}, {[]*v1alpha1.Mute{&later}, ""}, {nil, "again read "}} {
		told := ""
		for _, change := range s.SetMutes(c.mutes) {
			told += fmt.Sprintf("%s %s %s", change.What, change.Finding.Rule, change.Finding.Muted)
		}
		if told != c.want {
			t.Errorf("mutes %d: %q, want %q", i, told, c.want)
		}
	}
	if got := muted(request(20000, "jane", "get", "pods")); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"over expired-mute ", "over read "}) {
		t.Errorf("got %q", got)
	}
}

func TestResume(t *testing.T) {
	s := detect.NewState(rules(t, "beat: {match: {resources: [leases]}, key: [user], absence: {window: 5m}}\n"), detect.StateOptions{})
	s.Observe(t.Context(), request(0, "scheduler", "update", "leases"))
	began := request(0, "", "", "").Time
	s.Resume(began.Add(8 * time.Hour))
	if got := s.Advance(t.Context(), began.Add(8*time.Hour+4*time.Minute)); len(got) != 0 {
		t.Errorf("what was not recorded is missed: %+v", got)
	}
	if got := s.Advance(t.Context(), began.Add(8*time.Hour+7*time.Minute)); len(got) != 1 || got[0].Finding.Rule != "beat" {
		t.Errorf("what has not come since is not missed: %+v", got)
	}
}

func TestJoin(t *testing.T) {
	a, b := rules(t, "one: {match: {resources: [a]}}\ntwo: {match: {resources: [b]}}\n"), rules(t, "two: {match: {resources: [c]}}\nthree: {match: {resources: [d]}}\n")
	joined, problems := detect.Join(a, b)
	if len(joined.Rules()) != 3 || joined.Rule("three") == nil || joined.Rule("two") != a.Rule("two") || len(problems) != 1 || problems[0].Rule != "two" {
		t.Errorf("%v %v", joined.Rules(), problems)
	}
	for resource, want := range map[string]string{"a": "one", "b": "two", "c": "", "d": "three"} {
		got := ""
		for _, h := range joined.NewEvaluator().Evaluate(t.Context(), request(0, "jane", "get", resource)) {
			got += h.Rule.Name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", resource, got, want)
		}
	}
}

// TestSetIsOneByOne holds the dispatch of a set against each rule alone.
func TestSetIsOneByOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	verbs := []string{"get", "list", "create", "delete", "post"}
	resources := []string{"pods", "secrets", "pods/exec", "pods/*", "*", "*/scale", "deployments.apps", "deployments.apps/scale", "*hooks", "events.events.k8s.io", "*.apps", "events."}
	var text strings.Builder
	for i := range 150 {
		fmt.Fprintf(&text, "r%d: {match: {", i)
		if r.IntN(3) > 0 {
			fmt.Fprintf(&text, "verbs: [%s], ", verbs[r.IntN(len(verbs))])
		}
		if r.IntN(4) > 0 {
			fmt.Fprintf(&text, "resources: ['%s'], ", resources[r.IntN(len(resources))])
		}
		if r.IntN(4) == 0 {
			fmt.Fprintf(&text, "paths: ['%s'], ", pick("/metrics", "/logs*", "*"))
		}
		fmt.Fprintf(&text, "}, condition: 'event.user.username != \"%s\"%s'}\n", pick("a", "b"), pick("", ` && who == "user"`))
	}
	set := rules(t, text.String())
	all := set.NewEvaluator()
	alone := map[string]*detect.Evaluator{}
	for _, rule := range set.Rules() {
		one, problems := detect.Compile([]*v1alpha1.DetectionRule{{ObjectMeta: metaName(rule.Name), Spec: rule.Spec}}, detect.Options{})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		alone[rule.Name] = one.NewEvaluator()
	}
	hits := 0
	for range 2000 {
		what := pick("pods", "secrets", "pods/exec", "pods/log", "deployments.apps", "deployments.apps/scale", "webhooks.x", "events", "events.events.k8s.io", "x.apps/scale", "*", "/metrics", "/logs/x?y", "/")
		e := request(0, pick("a", "b", "c", "system:node:n1"), pick(append(verbs, "watch")...), what)
		var got, want []string
		for _, h := range all.Evaluate(t.Context(), e) {
			got = append(got, h.Rule.Name)
		}
		for _, rule := range set.Rules() {
			// A fresh kind each time would hide what is remembered of kinds: it is kept.
			if len(alone[rule.Name].Evaluate(t.Context(), e)) > 0 {
				want = append(want, rule.Name)
			}
			if m := rule.Spec.Match; slices.Contains(want, rule.Name) != plainly(m, rule.Spec.Condition, e) {
				t.Fatalf("%s %s: %+v: %v", e.Verb, what, m, slices.Contains(want, rule.Name))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s %s of %s: %q, one by one %q", e.Verb, what, e.User, got, want)
		}
		hits += len(got)
	}
	if hits < 5000 {
		t.Errorf("only %d hits", hits)
	}
}

// plainly is what a match says, read word by word.
func plainly(m v1alpha1.DetectionMatch, condition string, e *audit.Event) bool {
	f := audit.Filter{Verbs: m.Verbs, Resources: m.Resources}
	target := len(m.Resources) == 0 && len(m.Paths) == 0
	if e.Resource != "" {
		target = target || len(m.Resources) > 0 && f.Matches(e)
	} else {
		path, _, _ := strings.Cut(e.URI, "?")
		target = target || slices.ContainsFunc(m.Paths, func(p string) bool { return audit.MatchesText(p, path) })
	}
	return target && (len(m.Verbs) == 0 || slices.Contains(m.Verbs, e.Verb)) && !strings.Contains(condition, `"`+e.User+`"`) &&
		!(strings.Contains(condition, "who") && strings.HasPrefix(e.User, "system:node:"))
}

// TestRestart stops in the middle and goes on with what was saved.
func TestRestart(t *testing.T) {
	set := rules(t, `
count: {match: {verbs: [get]}, count: {atLeast: 3, window: 30s}}
distinct: {distinct: {of: event.objectRef.resource, atLeast: 3, window: 30s}}
first: {firstSeen: {of: event.objectRef.resource, learn: 60s}}
sequence: {sequence: {window: 1m, steps: [{match: {verbs: [get]}}, {match: {verbs: [delete]}}, {match: {verbs: [watch]}}]}}
absence: {match: {verbs: [delete]}, absence: {window: 40s}}
plain: {match: {verbs: [watch]}, quiet: 20s}
rate: {rate: {atLeast: 5, window: 30s, over: {factor: 2, before: 5m}}}
`)
	r := rand.New(rand.NewPCG(7, 7))
	var events []*audit.Event
	for i := range 400 {
		e := request(i*3+r.IntN(3), []string{"a", "b"}[r.IntN(2)], []string{"get", "delete", "watch"}[r.IntN(3)], []string{"pods", "secrets", "nodes", "jobs"}[r.IntN(4)])
		if r.IntN(3) == 0 {
			e.Stage = audit.StageStarted
			done := *e
			done.Stage, done.Time = audit.StageComplete, e.Time.Add(time.Second)
			events = append(events, e, &done)
			continue
		}
		events = append(events, e)
	}
	straight, stopped := detect.NewState(set, detect.StateOptions{}), detect.NewState(set, detect.StateOptions{})
	changes := 0
	for i, e := range events {
		want, got := straight.Observe(t.Context(), e), stopped.Observe(t.Context(), e)
		if fmt.Sprintf("%+v", want) != fmt.Sprintf("%+v", got) {
			t.Fatalf("event %d: %+v\nstopped and begun again: %+v", i, want, got)
		}
		changes += len(want)
		if i%50 == 25 {
			var file bytes.Buffer
			if err := stopped.Save(&file); err != nil {
				t.Fatal(err)
			}
			stopped = detect.NewState(set, detect.StateOptions{})
			if aside, err := stopped.Load(bytes.NewReader(file.Bytes())); err != nil || aside != 0 {
				t.Fatal(aside, err)
			}
			// A file that is cut or damaged is refused, and nothing of it counts.
			empty := detect.NewState(set, detect.StateOptions{})
			for _, bad := range [][]byte{file.Bytes()[:file.Len()-5], file.Bytes()[:file.Len()/2], bytes.Replace(file.Bytes(), []byte(`"version":1`), []byte(`"version":9`), 1), {}} {
				if _, err := empty.Load(bytes.NewReader(bad)); err == nil || len(empty.Findings()) > 0 || empty.Stats().Numbers > 0 {
					t.Fatalf("damaged: %v, %d findings", err, len(empty.Findings()))
				}
			}
			// Other rules leave aside what is not theirs.
			other := detect.NewState(rules(t, `count: {match: {verbs: [get]}, count: {atLeast: 4, window: 30s}}`), detect.StateOptions{})
			if aside, err := other.Load(&file); err != nil || aside == 0 {
				t.Fatal(aside, err)
			}
		}
	}
	if changes < 300 {
		t.Errorf("only %d changes", changes)
	}
	if a, b := straight.Findings(), stopped.Findings(); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
	// Rules that are replaced by the same rules forget nothing.
	before := straight.Stats().Numbers
	straight.Replace(set)
	if after := straight.Stats().Numbers; after != before || before == 0 {
		t.Errorf("%d numbers, %d after the rules were replaced", before, after)
	}
}

func TestBounded(t *testing.T) {
	s := detect.NewState(rules(t, `
count: {key: [event.objectRef.name], count: {atLeast: 100, window: 1h}}
plain: {key: [event.objectRef.name]}
`), detect.StateOptions{Findings: 100, Numbers: 5000})
	for i := range 5000 {
		e := request(i, "a", "get", "pods")
		e.Name = fmt.Sprint(i)
		s.Observe(t.Context(), e)
	}
	stats := s.Stats()
	if stats.Findings > 100 || stats.FindingsEvicted == 0 || stats.Numbers > 5000 || stats.Rules["count"].Evicted == 0 || stats.Rules["count"].Keys == 0 {
		t.Errorf("got %+v", stats)
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	set := rules(t, `count: {match: {verbs: [get]}, count: {atLeast: 3, window: 30s}}`)
	s := detect.NewState(set, detect.StateOptions{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				s.Observe(t.Context(), request(i, fmt.Sprint(g), "get", "pods"))
				if i%50 == 0 {
					s.Replace(set)
					_ = s.Save(io.Discard)
					s.Stats()
				}
			}
		})
	}
	all.Wait()
	if n := len(s.Findings()); n != 4 {
		t.Errorf("%d findings", n)
	}
}

// TestClock: an event from the future ends nothing that is waited for.
func TestClock(t *testing.T) {
	s := detect.NewState(rules(t, `r: {match: {verbs: [create]}, absence: {window: 10m}}`), detect.StateOptions{Clock: func() time.Time { return begun.Add(time.Minute) }})
	future := request(1e6, "a", "get", "pods")
	if got := observe(t, s, request(0, "a", "create", "pods"), future, request(5, "a", "get", "pods")); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if got := s.Advance(t.Context(), begun.Add(12*time.Minute)); len(got) != 1 || got[0].What != detect.New {
		t.Errorf("got %+v", got)
	}
}

// TestTimes: a step of a sequence may be several requests.
func TestTimes(t *testing.T) {
	s := detect.NewState(rules(t, `r: {key: [user], sequence: {window: 1m, steps: [{match: {verbs: [get]}, times: 3}, {match: {verbs: [delete]}}]}}`), detect.StateOptions{})
	if got := observe(t, s, request(1, "a", "get", "pods"), request(2, "a", "get", "pods"), request(3, "a", "delete", "pods"), request(4, "b", "delete", "pods")); len(got) > 0 {
		t.Errorf("two are enough: %q", got)
	}
	if got := observe(t, s, request(5, "a", "get", "pods"), request(6, "a", "delete", "pods")); len(got) != 1 {
		t.Errorf("three are not: %q", got)
	}
}

func FuzzReadText(f *testing.F) {
	f.Add([]byte("apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: r}\nspec: {title: t, severity: high, message: '{{user}}', count: {atLeast: 2, window: 1m}, examples: {positive: [{events: [{repeat: 2, event: {verb: get}}]}]}}\n"))
	f.Add([]byte("apiVersion: gatehouse.io/v1alpha1\nkind: Mute\nmetadata: {name: m}\nspec: {match: {rules: [x]}, owner: o, reason: r, expiresAt: 2026-05-01T00:00:00Z}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := detect.ReadText(context.Background(), "x.yaml", text)
		if err != nil {
			return
		}
		set, problems := detect.Compile(files.Rules, detect.Options{})
		_ = files.Locate(problems)
		s := detect.NewState(set, detect.StateOptions{})
		s.SetMutes(files.Mutes)
		for i := range 3 {
			s.Observe(context.Background(), request(i, "jane", "get", "pods"))
		}
	})
}

// Whoever makes a Mute of everything is told about, and so is whoever changes it; by
// another Mute that can be kept quiet.
func TestAMuteDoesNotMuteItself(t *testing.T) {
	f := files(t, `
apiVersion: gatehouse.io/v1alpha1
kind: Mute
metadata: {name: all}
spec: {match: {rules: ['*']}, owner: o, reason: r, expiresAt: "2026-03-04T06:00:00Z"}
`)
	for name, muted := range map[string]bool{"all": false, "": false, "another": true} {
		finding := &detect.Finding{Rule: "detection-changed", Object: detect.Object{APIGroup: v1alpha1.GroupName, Resource: "mutes", Name: name}}
		if got := detect.MuteMatches(f.Mutes[0], finding); got != muted {
			t.Errorf("a finding about the Mute %q is muted: %v", name, got)
		}
	}
	if !detect.MuteMatches(f.Mutes[0], &detect.Finding{Rule: "x", Object: detect.Object{APIGroup: "example.com", Resource: "mutes", Name: "all"}}) {
		t.Error("mutes of another group are not muted")
	}
}
