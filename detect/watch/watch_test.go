package watch

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/component-base/metrics"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// told is a Teller that remembers.
type told struct {
	mu      sync.Mutex
	changes []detect.Change
	open    []detect.Finding
	flushed int
}

func (t *told) Tell(changes ...detect.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes = append(t.changes, changes...)
}

func (t *told) Reconcile(open []detect.Finding, _ time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = open
}

func (t *told) Flush(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushed++
	return nil
}

func (t *told) all() []detect.Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.changes)
}

const ruleFile = `
apiVersion: gatehouse.io/v1alpha1
kind: DetectionRule
metadata: {name: read}
spec: {title: t, severity: high, message: "{{user}} read", match: {resources: [secrets]}, key: [user], quiet: 8h}
---
apiVersion: gatehouse.io/v1alpha1
kind: DetectionRule
metadata: {name: often}
spec: {title: t, severity: low, message: m, match: {resources: [pods]}, key: [user], quiet: 8h, count: {atLeast: 5, window: 10m}}
---
apiVersion: gatehouse.io/v1alpha1
kind: DetectionRule
metadata: {name: steps}
spec:
  {title: t, severity: critical, message: m, key: [user], quiet: 8h, sequence: {window: 1h, steps: [{match: {resources: [secrets]}}, {match: {resources: [roles]}}]}}
`

// base is when events happen: a while ago, so that clocks are none's concern.
var base = time.Now().Add(-5 * time.Minute).UTC().Truncate(time.Microsecond)

func event(n int, user, verb, resource string) *audit.Event {
	at := base.Add(time.Duration(n) * 100 * time.Millisecond)
	return &audit.Event{
		ID: fmt.Sprintf("id-%d", n), Stage: audit.StageComplete, Level: "Metadata", Time: at, Received: at, Verb: verb, User: user, Code: 200,
		Resource: resource, Namespace: "shop", Name: "n", URI: "/", SourceIPs: []string{"10.0.0.1"}, Annotations: map[string]string{audit.AnnotationDecision: "allow"},
	}
}

// traffic is what three users do.
func traffic(n int) (all []*audit.Event) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		all = append(all, event(i, fmt.Sprintf("user-%d", r.IntN(3)), "get", []string{"pods", "pods", "secrets", "roles", "configmaps"}[r.IntN(5)]))
	}
	return all
}

func rulesDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// watched is a Watcher that runs.
type watched struct {
	*Watcher
	told     *told
	registry metrics.KubeRegistry
	stop     func()
}

func start(t *testing.T, o Options) *watched {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Builtin == nil {
		o.Builtin = []string{"-*"}
	}
	if o.Log == nil {
		o.Log = func(m string) { t.Log(m) }
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, w)
}

func run(t *testing.T, w *Watcher) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	one, ended := &watched{Watcher: w, told: &told{}, registry: metrics.NewKubeRegistry()}, make(chan struct{})
	if err := w.Register(one.registry.Register, one.registry.CustomRegister); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		if err := w.Run(ctx, one.told); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	one.stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(one.stop)
	await(t, "it has caught up", func() bool {
		select {
		case <-ended:
			t.Fatal("it has ended")
		default:
		}
		return w.CaughtUp()
	})
	return one
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// take has events judged.
func (w *watched) take(t *testing.T, events ...*audit.Event) {
	t.Helper()
	w.Take(events)
	w.idle(t)
}

func (w *watched) idle(t *testing.T) {
	t.Helper()
	await(t, "nothing waits", func() bool {
		w.queue.mu.Lock()
		lost := w.queue.lost.count
		w.queue.mu.Unlock()
		return lost == 0 && w.lag(time.Now()) == 0
	})
	w.do(func() {}) // what was taken is judged before calls
}

// do has something done where the state is.
func (w *watched) do(f func()) {
	done := make(chan struct{})
	w.call(context.Background(), func() { f(); close(done) })
	<-done
}

// findings are what is open, in words.
func (w *watched) findings() map[string]string {
	all := map[string]string{}
	for _, f := range w.Findings() {
		all[f.Rule+" "+strings.Join(f.Key, ",")] = fmt.Sprintf("%d %s %s %v", f.Count, f.First.Format(time.RFC3339Nano), f.Last.Format(time.RFC3339Nano), f.Events)
	}
	return all
}

func kept(events []*audit.Event) *audit.Memory {
	m := &audit.Memory{}
	m.Add(events...)
	return m
}

// TestAKillLosesNothing stops short at any event after any save, and goes on.
func TestAKillLosesNothing(t *testing.T) {
	dir, events := rulesDir(t, ruleFile), traffic(200)
	whole := start(t, Options{RulesDir: dir, Reader: &audit.Memory{}})
	whole.take(t, events...)
	want := whole.findings()
	if len(want) < 8 {
		t.Fatalf("the events make few findings: %v", want)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		saved := r.IntN(len(events))
		killed := saved + r.IntN(len(events)-saved)
		state, reader := t.TempDir(), kept(nil)
		first := start(t, Options{RulesDir: dir, Dir: state, Reader: reader})
		reader.Add(events[:saved]...)
		first.take(t, events[:saved]...)
		var snapshot []byte
		first.do(func() { snapshot = first.snapshot() })
		reader.Add(events[saved:killed]...)
		first.take(t, events[saved:killed]...)
		first.stop()
		// What it wrote at its end is what a kill would not have left.
		if err := os.WriteFile(filepath.Join(state, stateFile), snapshot, 0o600); err != nil {
			t.Fatal(err)
		}
		second := start(t, Options{RulesDir: dir, Dir: state, Reader: reader})
		reader.Add(events[killed:]...)
		second.take(t, events[killed:]...)
		if got := second.findings(); !maps.Equal(got, want) {
			t.Errorf("saved at %d, killed at %d:\n%v\nwant\n%v", saved, killed, got, want)
		}
		// What was found between the save and the kill is told again.
		new1, new2 := map[string]bool{}, map[string]bool{}
		for of, changes := range map[*map[string]bool][]detect.Change{&new1: first.told.all(), &new2: second.told.all()} {
			for _, c := range changes {
				if c.What == detect.New {
					(*of)[c.Finding.Fingerprint] = true
				}
			}
		}
		maps.Copy(new1, new2)
		if len(new1) != len(want) {
			t.Errorf("saved at %d, killed at %d: %d findings were told, want %d", saved, killed, len(new1), len(want))
		}
		second.stop()
	}
}

// TestTheFirstHour: a process that was killed before it saved anything loses nothing.
func TestTheFirstHour(t *testing.T) {
	dir, events := rulesDir(t, ruleFile), traffic(100)
	whole := start(t, Options{RulesDir: dir, Reader: &audit.Memory{}})
	whole.take(t, events...)
	again := start(t, Options{RulesDir: dir, Reader: kept(events)})
	if got := again.findings(); !maps.Equal(got, whole.findings()) {
		t.Errorf("got %v\nwant %v", got, whole.findings())
	}
	if len(again.told.open) != len(again.findings()) {
		t.Errorf("what is open is not told at the start: %d", len(again.told.open))
	}
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, stateFile), []byte("{\"version\":1,\"floor\":7}\nrubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := start(t, Options{RulesDir: dir, Reader: kept(events), Dir: damaged})
	if got := third.findings(); !maps.Equal(got, whole.findings()) {
		t.Errorf("after a damaged file: %v\nwant %v", got, whole.findings())
	}
}

func TestAStopAndAStartForgetNothing(t *testing.T) {
	dir, events, state := rulesDir(t, ruleFile), traffic(200), t.TempDir()
	whole := start(t, Options{RulesDir: dir})
	whole.take(t, events...)
	for from := 0; from < len(events); from += 50 { // and no store
		w := start(t, Options{RulesDir: dir, Dir: state})
		w.take(t, events[from:from+50]...)
		w.stop()
		if from == 150 {
			if got := w.findings(); !maps.Equal(got, whole.findings()) {
				t.Errorf("got %v\nwant %v", got, whole.findings())
			}
		}
	}
	info, err := os.Stat(filepath.Join(state, stateFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

// TestWhatFindsNoRoom is judged all the same, where there is a store, and once.
func TestWhatFindsNoRoom(t *testing.T) {
	dir, events := rulesDir(t, ruleFile), traffic(3*mostEvents)
	for i, e := range events { // within the quiet time
		e.Time = base.Add(time.Duration(i) * time.Millisecond)
		e.Received = e.Time
	}
	want := start(t, Options{RulesDir: dir})
	for part := range slices.Chunk(events, 1000) {
		want.take(t, part...)
	}
	for name, reader := range map[string]audit.Reader{"a store": kept(events), "none": nil} {
		w, err := New(Options{RulesDir: dir, Dir: t.TempDir(), Builtin: []string{"-*"}, Reader: reader, Log: func(m string) { t.Log(m) }})
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(events, 700) { // nobody judges yet
			w.Take(part)
		}
		if w.lag(time.Now()) == 0 {
			t.Error("nothing waits")
		}
		one := run(t, w)
		one.idle(t)
		values := one.gather(t)
		if reader == nil {
			if n := values["gatehouse_detect_events_skipped_total"]; n != float64(len(events)-mostEvents) {
				t.Errorf("%s: %v events are counted as skipped", name, n)
			}
			continue
		}
		if n := values["gatehouse_detect_events_skipped_total"]; n != 0 || values["gatehouse_detect_events_total"] != float64(len(events)) {
			t.Errorf("%s: %v", name, values)
		}
		if got := one.findings(); !maps.Equal(got, want.findings()) {
			t.Errorf("%s: %v\nwant %v", name, got, want.findings())
		}
	}
}

func TestWhatComesTwiceIsJudgedOnce(t *testing.T) {
	events := traffic(100)
	w := start(t, Options{RulesDir: rulesDir(t, ruleFile)})
	w.take(t, events...)
	before := w.findings()
	w.take(t, events...)
	if got := w.findings(); !maps.Equal(got, before) {
		t.Errorf("got %v\nwant %v", got, before)
	}
	// One auditID that a client chose for many requests makes them no less.
	for i := range 5 {
		e := event(1000+i, "mallory", "get", "pods")
		e.ID = "chosen"
		w.take(t, e)
	}
	if _, ok := w.findings()["often mallory"]; !ok {
		t.Errorf("requests of one auditID count once: %v", w.findings())
	}
}

func TestSeenIsBounded(t *testing.T) {
	s := newSeen(base.Add(-time.Hour))
	for i := range mostSeen + 100 {
		if !s.add(event(i, "jane", "get", "pods")) {
			t.Fatalf("event %d is new", i)
		}
	}
	if len(s.ring) != mostSeen || len(s.hashes) != mostSeen || !s.after().Equal(event(99, "", "", "").Time.Add(time.Microsecond)) {
		t.Errorf("%d, %d, after %v", len(s.ring), len(s.hashes), s.after())
	}
	if s.add(event(mostSeen+99, "jane", "get", "pods")) || s.add(event(100, "jane", "get", "pods")) {
		t.Error("an event is new again")
	}
	back, err := readSeen(s.floor, s.text())
	if err != nil || back.after() != s.after() || back.add(event(100, "jane", "get", "pods")) || back.add(event(mostSeen+99, "jane", "get", "pods")) || !back.add(event(99, "jane", "get", "pods")) {
		t.Errorf("after reading: %v", err)
	}
	last := event(mostSeen+99, "", "", "").Time
	s.prune(last.Add(longestSeen - time.Second))
	if len(s.ring) != 11 || len(s.hashes) != 11 || s.add(event(mostSeen+99, "jane", "get", "pods")) {
		t.Errorf("%d are left", len(s.ring))
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := rulesDir(t, ruleFile)
	if _, err := New(Options{Dir: t.TempDir(), RulesDir: rulesDir(t, "apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: r}\nspec: {title: 7}\n")}); err == nil || !strings.Contains(err.Error(), "rules.yaml:4:") {
		t.Errorf("a bad file: %v", err)
	}
	w := start(t, Options{RulesDir: dir})
	write := func(name, text string) (bool, error) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return w.rules.reread(t.Context())
	}
	if changed, err := w.rules.reread(t.Context()); changed || err != nil {
		t.Errorf("nothing changed: %v %v", changed, err)
	}
	if changed, err := write("more.yaml", strings.ReplaceAll(ruleFile[:strings.Index(ruleFile, "---")], "read}", "more}")); !changed || err != nil || w.rules.set().Rule("more") == nil {
		t.Errorf("another file: %v %v", changed, err)
	}
	if changed, err := write("more.yaml", "kind: [\n"); changed || err == nil || w.rules.set().Rule("more") == nil {
		t.Errorf("a file turns bad: %v %v", changed, err)
	}
	if _, err := w.rules.reread(t.Context()); err != nil {
		t.Errorf("it is said twice: %v", err)
	}
	if changed, err := write("more.yaml", ""); !changed || err != nil || w.rules.set().Rule("more") != nil {
		t.Errorf("it is mended: %v %v", changed, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if changed, err := w.rules.reread(t.Context()); changed || err == nil || w.rules.set().Rule("read") == nil {
		t.Errorf("the folder goes: %v %v", changed, err)
	}
}

func TestBuiltinRulesArePicked(t *testing.T) {
	for name, c := range map[string]struct {
		picks []string
		has   []string
		lacks []string
	}{
		"all":     {[]string{"*"}, []string{"exec", "secret-list"}, nil},
		"but one": {[]string{"*", "-exec"}, []string{"secret-list"}, []string{"exec"}},
		"one":     {[]string{"exec"}, []string{"exec"}, []string{"secret-list"}},
		"none":    {[]string{"-*"}, nil, []string{"exec"}},
	} {
		w := start(t, Options{Builtin: c.picks})
		for _, rule := range c.has {
			if w.rules.set().Rule(rule) == nil {
				t.Errorf("%s: no %s", name, rule)
			}
		}
		for _, rule := range c.lacks {
			if w.rules.set().Rule(rule) != nil {
				t.Errorf("%s: %s", name, rule)
			}
		}
	}
	if _, err := New(Options{Dir: t.TempDir(), Builtin: []string{"exce"}}); err == nil || !strings.Contains(err.Error(), `no built-in rule "exce"`) {
		t.Errorf("got %v", err)
	}
}

// TestWhileNothingWasRecorded: a control plane that was away with the recorder is not
// missed.
func TestWhileNothingWasRecorded(t *testing.T) {
	text := "apiVersion: gatehouse.io/v1alpha1\nkind: DetectionRule\nmetadata: {name: beat}\nspec: {title: t, severity: high, message: m, match: {resources: [leases]}, key: [user], absence: {window: 10m}}\n"
	dir, state := rulesDir(t, text), t.TempDir()
	w := start(t, Options{RulesDir: dir, Dir: state})
	w.take(t, event(0, "scheduler", "update", "leases"))
	w.stop()
	later := shifted{by: 8 * time.Hour}
	again := start(t, Options{RulesDir: dir, Dir: state, Clock: later})
	again.take(t, event(10, "jane", "get", "pods"))
	again.do(func() { again.tell(again.state.Advance(t.Context(), later.Now().Add(8*time.Minute))) })
	if told := again.told.all(); len(told) != 0 {
		t.Errorf("it is missed: %+v", told)
	}
	again.do(func() { again.tell(again.state.Advance(t.Context(), later.Now().Add(12*time.Minute))) })
	if told := again.told.all(); len(told) != 1 || told[0].Finding.Rule != "beat" {
		t.Errorf("it is not missed when it does not come: %+v", told)
	}
}

// shifted is a clock that goes ahead.
type shifted struct {
	clock.RealClock
	by time.Duration
}

func (s shifted) Now() time.Time                  { return s.RealClock.Now().Add(s.by) }
func (s shifted) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

func (w *watched) gather(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	policy, err := audit.NewPolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, resources: [{group: \"\", resources: [secrets]}]}, {level: None}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, Options{RulesDir: rulesDir(t, ruleFile), Policy: policy})
	w.take(t, traffic(100)...)
	w.rules.cover()
	values := w.gather(t)
	for name, want := range map[string]float64{
		"gatehouse_detect_events_total": 100, "gatehouse_detect_events_skipped_total": 0, "gatehouse_detect_evaluations_failed_total": 0, "gatehouse_detect_keys_evicted_total": 0,
		"gatehouse_detect_findings_total high": 3, "gatehouse_detect_findings_open high": 3, "gatehouse_detect_findings_open critical": 3, "gatehouse_detect_findings_total info": 0,
		"gatehouse_detect_lag_seconds": 0, "gatehouse_detect_rules refused": 0, "gatehouse_detect_rules unknown": 0,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if sum := values["gatehouse_detect_rules sees"] + values["gatehouse_detect_rules partly"] + values["gatehouse_detect_rules blind"]; sum != 3 || values["gatehouse_detect_rules blind"] == 0 {
		t.Errorf("rules: %v", values)
	}
}

func TestEnrich(t *testing.T) {
	var events []*audit.Event
	for i := range 40 {
		events = append(events, event(i*10, "jane", "get", "configmaps"))
	}
	grave := event(121, "jane", "list", "secrets")
	other := event(131, "bob", "delete", "secrets")
	far := event(-9000, "jane", "get", "secrets")
	events = append(events, grave, other, far, event(125, "bob", "get", "pods"))
	w := start(t, Options{Reader: kept(events), Reach: func(f *detect.Finding) *alert.Reach { return &alert.Reach{Identity: f.Subject.User} }})
	f := detect.Finding{
		Fingerprint: "f", First: events[10].Time, Last: events[12].Time, Events: []string{events[11].ID}, Subject: detect.Subject{User: "jane"},
		Object: detect.Object{Verb: "get", Resource: "secrets", Namespace: "shop", Name: "n"},
	}
	c := w.Enrich(t.Context(), &f)
	if len(c.Related) != alert.MaxRelated || c.RelatedMore != 41-alert.MaxRelated || c.Reach.Identity != "jane" || len(c.Problems) > 0 {
		t.Fatalf("got %d and %d more: %+v", len(c.Related), c.RelatedMore, c)
	}
	ids := map[string]bool{}
	for i, r := range c.Related {
		ids[r.AuditID] = true
		if i > 0 && r.At.Before(c.Related[i-1].At) {
			t.Error("not in the order of time")
		}
	}
	if !ids[grave.ID] || !ids[other.ID] || ids[far.ID] || ids[events[11].ID] || ids["id-125"] {
		t.Errorf("related: %v", ids)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if c := w.Enrich(late, &f); len(c.Problems) == 0 || !strings.Contains(c.Problems[0], "took too long") {
		t.Errorf("where there is no time: %+v", c)
	}
}

func TestStateHasNoBodies(t *testing.T) {
	dir := t.TempDir()
	w := start(t, Options{RulesDir: rulesDir(t, ruleFile), Dir: dir})
	e := event(1, "jane", "create", "secrets")
	e.Request = []byte(`{"data":{"k":"correct-horse-7"}}`)
	w.take(t, e)
	w.stop()
	file, err := os.Open(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if text, err := io.ReadAll(file); err != nil || strings.Contains(string(text), "correct-horse") || !strings.Contains(string(text), "jane") {
		t.Errorf("%v: %s", err, text)
	}
	if w.told.flushed == 0 {
		t.Error("the alerts are not waited for")
	}
}
