package alert

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// fake is a sink that remembers what it was sent.
type fake struct {
	traits Traits

	mu   sync.Mutex
	err  error
	got  []string // "firing new exec x3", one a Send
	when []time.Time
	all  []Alert
}

func (f *fake) Traits() Traits { return f.traits }

func (f *fake) Send(ctx context.Context, alerts []Alert) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && !refused(f.err) {
		return f.err
	}
	var words []string
	for _, a := range alerts {
		if refused(f.err) && strings.Contains(a.Finding.Message, "poison") {
			return f.err
		}
		words = append(words, fmt.Sprintf("%s %s %s x%d", a.Status, a.Cause, a.Finding.Fingerprint, a.Finding.Count))
	}
	f.got = append(f.got, strings.Join(words, ", "))
	f.when = append(f.when, time.Now())
	f.all = append(f.all, alerts...)
	return nil
}

func (f *fake) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// take is what was sent since it was last asked.
func (f *fake) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	got := f.got
	f.got = nil
	return got
}

func sinkOf(name string, batch int) *fake {
	return &fake{traits: Traits{Type: "test", Name: name, Batch: batch}}
}

func finding(name string, count int64, change func(*detect.Finding)) detect.Finding {
	f := detect.Finding{Fingerprint: name, Rule: "rule-" + name, Severity: v1alpha1.SeverityHigh, First: began, Last: began.Add(time.Duration(count) * time.Second), Count: count, Runbook: "exec"}
	if change != nil {
		change(&f)
	}
	return f
}

// began is when findings began: when a bubble's clock does.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func changed(what detect.What, f detect.Finding) detect.Change {
	return detect.Change{What: what, Finding: f}
}

type bench struct {
	*Dispatcher
	t    *testing.T
	stop func()
	logs *[]string
}

// run opens a Dispatcher and runs it.
func run(t *testing.T, o Options, sinks ...Sink) *bench {
	t.Helper()
	o.Sinks = sinks
	var logs []string
	var mu sync.Mutex
	o.Log = func(m string) { mu.Lock(); logs = append(logs, m); mu.Unlock() }
	if o.Jitter == nil {
		o.Jitter = func(time.Duration) time.Duration { return 0 }
	}
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.Run(ctx); close(done) }()
	b := &bench{Dispatcher: d, t: t, logs: &logs}
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func expect(t *testing.T, f *fake, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := f.take(); !slices.Equal(got, want) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLifeOfAFinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir(), RunbookBaseURL: "https://r.example.com/", Cluster: "c"}, f)
		defer d.stop()
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		expect(t, f, "firing new a x1")
		if a := f.all[0]; a.RunbookURL != "https://r.example.com/exec" || a.Cluster != "c" || a.ID == "" {
			t.Errorf("got %+v", a)
		}
		// There is more of it: told once an interval.
		for n := range int64(50) {
			d.Tell(changed(detect.Again, finding("a", n+2, nil)))
			time.Sleep(time.Second)
		}
		expect(t, f)
		time.Sleep(5 * time.Minute)
		expect(t, f, "firing again a x51")
		// It lasts.
		time.Sleep(4 * time.Hour)
		expect(t, f, "firing repeat a x51")
		// It becomes worse.
		d.Tell(changed(detect.Again, finding("a", 52, func(f *detect.Finding) { f.Severity = v1alpha1.SeverityCritical })))
		expect(t, f, "firing again a x52")
		d.Tell(changed(detect.Over, finding("a", 60, nil)))
		expect(t, f, "resolved over a x60")
		time.Sleep(24 * time.Hour)
		expect(t, f)
		ids := map[string]bool{}
		for _, a := range f.all {
			if ids[a.ID] {
				t.Errorf("two tellings are %s", a.ID)
			}
			ids[a.ID] = true
		}
	})
}

func TestMuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir()}, f)
		defer d.stop()
		muted := func(f *detect.Finding) { f.Muted = "backup" }
		d.Tell(changed(detect.New, finding("a", 1, muted)), changed(detect.Again, finding("a", 2, muted)), changed(detect.Over, finding("a", 2, muted)))
		d.Reconcile([]detect.Finding{finding("q", 1, muted)}, time.Now())
		time.Sleep(24 * time.Hour)
		expect(t, f)
		d.Tell(changed(detect.New, finding("b", 1, nil)))
		expect(t, f, "firing new b x1")
		d.Tell(changed(detect.Again, finding("b", 2, muted)))
		expect(t, f, "resolved muted b x2")
		if f.all[1].Finding.Muted != "backup" {
			t.Error("the Mute is not named")
		}
		d.Tell(changed(detect.Again, finding("b", 3, nil))) // the Mute has expired
		expect(t, f, "firing new b x3")
		d.Tell(changed(detect.Over, finding("b", 3, muted)))
		expect(t, f, "resolved over b x3")
	})
}

func TestShortLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir(), GroupWait: 10 * time.Second}, f)
		defer d.stop()
		d.Tell(changed(detect.New, finding("a", 1, nil)), changed(detect.Over, finding("a", 1, nil)))
		expect(t, f, "firing new a x1, resolved over a x1")
		d.Tell(changed(detect.New, finding("a", 1, nil)), changed(detect.New, finding("b", 1, nil)))
		time.Sleep(9 * time.Second)
		expect(t, f)
		time.Sleep(time.Second)
		expect(t, f, "firing new a x1, firing new b x1")
		later := func(f *detect.Finding) { f.First = began.Add(time.Hour); f.Last = f.First } // that it was over is missing
		d.Tell(changed(detect.New, finding("a", 1, later)))
		time.Sleep(10 * time.Second)
		expect(t, f, "resolved over a x1", "firing new a x1")
	})
}

// TestRateLimit holds that a storm goes out as one burst and then in larger and fewer
// messages, the gravest first, and that nothing is lost.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 30)
		d := run(t, Options{Dir: t.TempDir(), PerMinute: 6}, f)
		defer d.stop()
		for n := range 200 {
			d.Tell(changed(detect.New, finding(fmt.Sprint(n), 1, func(f *detect.Finding) {
				f.Severity = v1alpha1.SeverityLow
				if n == 199 {
					f.Severity = v1alpha1.SeverityCritical
				}
			})))
			synctest.Wait()
		}
		d.Tell(changed(detect.New, finding("last", 1, nil)))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(f.all) != 201 {
			t.Fatalf("%d of 201 are told", len(f.all))
		}
		if got := len(f.got); got < 11 || got > 20 {
			t.Errorf("%d messages", got)
		}
		// What is gravest overtakes what waits: it is in the first message after the burst.
		if words := f.got[10]; !strings.HasPrefix(words, "firing new 199 x1, firing new last x1") {
			t.Errorf("after the burst comes %s", words)
		}
		for i := 10; i < len(f.when); i++ {
			if took := f.when[i].Sub(f.when[i-1]); took < 10*time.Second {
				t.Errorf("message %d comes after %v", i, took)
			}
		}
	})
}

func TestSinkThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other := sinkOf("a", 10), sinkOf("b", 10)
		d := run(t, Options{Dir: t.TempDir()}, f, other)
		f.set(errors.New("connection refused"))
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		expect(t, other, "firing new a x1") // it does not wait for the one that is down
		time.Sleep(5*time.Minute + time.Second)
		d.Tell(changed(detect.Again, finding("a", 7, nil)), changed(detect.Over, finding("a", 9, nil)), changed(detect.New, finding("b", 1, nil)))
		expect(t, other, "resolved over a x9, firing new b x1")
		failed := d.Stats().Failed["test"]
		if failed < 8 || failed > 20 || d.Stats().Waiting["test"] != 3 {
			t.Errorf("%d attempts in five minutes; %d wait", failed, d.Stats().Waiting["test"])
		}
		f.set(nil)
		time.Sleep(time.Minute)
		expect(t, f, "firing new a x1, resolved over a x9, firing new b x1")
		d.stop()
		if len(*d.logs) != 2 || !strings.Contains((*d.logs)[0], "connection refused") || !strings.Contains((*d.logs)[1], "again") {
			t.Errorf("logged %q", *d.logs)
		}
	})
}

func TestLaterIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir()}, f)
		defer d.stop()
		f.set(&LaterError{errors.New("too many requests"), 100 * time.Second})
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		synctest.Wait()
		f.set(nil)
		time.Sleep(99 * time.Second)
		expect(t, f)
		time.Sleep(2 * time.Second)
		expect(t, f, "firing new a x1")
	})
}

// TestRefused holds that one Alert that a sink does not take does not keep the others.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir(), GroupWait: time.Second}, f)
		defer d.stop()
		f.set(&RefusedError{errors.New("400")})
		for _, name := range []string{"a", "b", "c"} {
			d.Tell(changed(detect.New, finding(name, 1, func(f *detect.Finding) {
				if name == "b" {
					f.Message = "poison"
				}
			})))
		}
		time.Sleep(2 * time.Second)
		expect(t, f, "firing new a x1", "firing new c x1")
		if s := d.Stats(); s.Refused["test"] != 1 || s.Waiting["test"] != 0 || s.Dropped["test"] != 0 {
			t.Errorf("got %+v", s)
		}
	})
}

func TestLeastSeverity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		f.traits.Least = v1alpha1.SeverityHigh
		asked := 0
		d := run(t, Options{Dir: t.TempDir(), Enrich: func(context.Context, *detect.Finding) Context { asked++; return Context{} }}, f)
		defer d.stop()
		medium := func(f *detect.Finding) { f.Severity = v1alpha1.SeverityMedium }
		d.Tell(changed(detect.New, finding("m", 1, medium)), changed(detect.New, finding("h", 1, nil)))
		expect(t, f, "firing new h x1")
		d.Tell(changed(detect.Over, finding("m", 1, medium)), changed(detect.Over, finding("h", 1, medium)))
		expect(t, f, "resolved over h x1")
		if asked != 2 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// TestResend is a sink that shows what is true now, and forgets.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 2)
		f.traits.Resend = time.Minute
		dir := t.TempDir()
		d := run(t, Options{Dir: dir}, f)
		synctest.Wait() // it sends again what it has, which is nothing
		for _, name := range []string{"a", "b", "c"} {
			d.Tell(changed(detect.New, finding(name, 1, nil)))
			synctest.Wait()
		}
		expect(t, f, "firing new a x1", "firing new b x1", "firing new c x1")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.take(); len(got) != 2 || len(strings.Split(strings.Join(got, ", "), ", ")) != 3 {
			t.Errorf("sent again: %q", got)
		}
		f.set(errors.New("down"))
		time.Sleep(time.Hour)
		d.Tell(changed(detect.Over, finding("a", 1, nil)))
		time.Sleep(time.Hour)
		f.set(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := strings.Join(f.take(), "; ")
		if strings.Count(got, "resolved over a") != 1 || strings.Contains(got, "new a") || !strings.Contains(got, "new b") || !strings.Contains(got, "new c") {
			t.Errorf("after it was down: %s", got)
		}
		d.stop()
		d = run(t, Options{Dir: dir}, f) // another process
		defer d.stop()
		synctest.Wait()
		if got := strings.Join(f.take(), ", "); strings.Count(got, "firing") != 2 {
			t.Errorf("after a restart: %s", got)
		}
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		dir := t.TempDir()
		d := run(t, Options{Dir: dir}, f)
		d.Tell(changed(detect.New, finding("a", 1, nil)), changed(detect.New, finding("b", 1, nil)), changed(detect.New, finding("c", 1, nil)))
		expect(t, f, "firing new a x1, firing new b x1, firing new c x1")
		d.Tell(changed(detect.Again, finding("a", 5, nil)))
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.stop()

		d = run(t, Options{Dir: dir}, f)
		// What comes from before is the same again.
		d.Tell(changed(detect.New, finding("a", 1, nil)), changed(detect.Again, finding("a", 5, nil)))
		d.Reconcile([]detect.Finding{finding("a", 5, nil), finding("b", 1, nil), finding("x", 1, nil)}, time.Now().Add(time.Millisecond))
		expect(t, f, "resolved over c x1, firing new x x1")
		time.Sleep(5*time.Minute + time.Second)
		expect(t, f, "firing again a x5")
		// A list that is older than what was told ends nothing, and begins nothing.
		old := time.Now()
		time.Sleep(time.Second)
		d.Tell(changed(detect.New, finding("y", 1, nil)), changed(detect.Over, finding("x", 1, nil)))
		d.Reconcile([]detect.Finding{finding("a", 5, nil), finding("b", 1, nil), finding("x", 1, nil)}, old)
		expect(t, f, "resolved over x x1, firing new y x1")
		d.stop()
	})
}

// TestUntoldSurvives is a process that is killed before what it was told is due.
func TestUntoldSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		dir := t.TempDir()
		d := run(t, Options{Dir: dir, GroupWait: time.Hour}, f)
		d.Tell(changed(detect.New, finding("a", 3, nil)))
		if err := d.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.stop()
		expect(t, f)
		d = run(t, Options{Dir: dir, GroupWait: time.Hour}, f)
		defer d.stop()
		expect(t, f, "firing new a x3")
	})
}

// TestFlushSaysWhatIsNotSafe is a disk that takes nothing.
func TestFlushSaysWhatIsNotSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		f.set(errors.New("down"))
		d := run(t, Options{Dir: t.TempDir()}, f)
		d.outlets[0].queue.Close() // its file can no longer be written
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		synctest.Wait()
		if err := d.Flush(t.Context()); err == nil {
			t.Error("what is in memory alone counts as safe")
		}
		f.set(nil)
		time.Sleep(time.Minute)
		expect(t, f, "firing new a x1") // and it is told all the same
		// The sink that is down may be logged before it or after.
		if !slices.ContainsFunc(*d.logs, func(line string) bool { return strings.Contains(line, "memory alone") }) {
			t.Errorf("logged %q", *d.logs)
		}
	})
}

func TestEnrich(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 100)
		d := run(t, Options{Dir: t.TempDir(), GroupWait: time.Second, Enrich: func(ctx context.Context, f *detect.Finding) Context {
			f.Began = &detect.Began{User: "jane"}
			if f.Fingerprint != "0" {
				<-ctx.Done() // a store that is slow
			}
			return Context{Related: make([]Related, 30), RelatedMore: 1, Reach: &Reach{Can: make([]string, 21)}}
		}}, f)
		defer d.stop()
		for n := range 40 {
			d.Tell(changed(detect.New, finding(fmt.Sprint(n), 1, nil)))
		}
		time.Sleep(time.Second + 600*time.Millisecond)
		synctest.Wait()
		if len(f.all) != 40 {
			t.Fatalf("%d are told in time", len(f.all))
		}
		for _, a := range f.all {
			if a.Finding.Fingerprint == "0" {
				c := a.Context
				if len(c.Related) != MaxRelated || c.RelatedMore != 11 || len(c.Reach.Can) != MaxReach || c.Reach.More != 1 || a.Finding.Began.User != "jane" {
					t.Errorf("got %+v", c)
				}
			}
		}
		if last := f.all[len(f.all)-1]; len(last.Context.Problems) != 1 {
			t.Errorf("that there was no time is not said: %+v", last.Context)
		}
	})
}

// TestUnsettled is a response that is made while its finding is told.
func TestUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		asked := 0
		d := run(t, Options{Dir: t.TempDir(), Enrich: func(_ context.Context, f *detect.Finding) Context {
			if asked++; asked < 3 {
				return Context{Unsettled: true}
			}
			f.Response = "It is stopped."
			return Context{}
		}}, f)
		defer d.stop()
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		expect(t, f, "firing new a x1")
		time.Sleep(3 * settling)
		expect(t, f, "firing repeat a x1", "firing repeat a x1")
		if last := f.all[len(f.all)-1]; last.Finding.Response != "It is stopped." {
			t.Errorf("it is not told what was done: %+v", last.Finding)
		}
		time.Sleep(time.Minute)
		expect(t, f) // and then it is told as ever
	})
}

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 100)
		d := run(t, Options{Dir: t.TempDir(), QueueSize: 5}, f)
		defer d.stop()
		f.set(errors.New("down"))
		for n := range 8 {
			d.Tell(changed(detect.New, finding(fmt.Sprint(n), 1, func(f *detect.Finding) {
				f.Severity = []v1alpha1.DetectionSeverity{v1alpha1.SeverityMedium, v1alpha1.SeverityHigh}[n%2]
			})))
			synctest.Wait()
		}
		if s := d.Stats(); s.Waiting["test"] != 5 || s.Dropped["test"] != 3 {
			t.Errorf("got %+v", s)
		}
		f.set(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := map[string]bool{}
		for _, a := range f.all {
			got[a.Finding.Fingerprint] = true
		}
		for _, name := range []string{"1", "3", "5", "6", "7"} {
			if !got[name] {
				t.Errorf("%s is lost; there are %v", name, got)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("two processes with one folder: %v", err)
	}
	if _, err := Open(Options{Dir: filepath.Join(dir, "b"), Sinks: []Sink{sinkOf("x", 1), sinkOf("x", 1)}}); err == nil {
		t.Error("two sinks with one queue")
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("no folder")
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := sinkOf("a", 10)
		d := run(t, Options{Dir: t.TempDir()}, f)
		defer d.stop()
		registry := metrics.NewKubeRegistry()
		if err := d.Register(func(c metrics.StableCollector) error { return registry.CustomRegister(c) }); err != nil {
			t.Fatal(err)
		}
		d.Tell(changed(detect.New, finding("a", 1, nil)))
		synctest.Wait()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, family := range families {
			for _, m := range family.GetMetric() {
				line := family.GetName()
				for _, l := range m.GetLabel() {
					line += " " + l.GetName() + "=" + l.GetValue()
				}
				got = append(got, fmt.Sprint(line, " ", m.GetCounter().GetValue()+m.GetGauge().GetValue()))
			}
		}
		slices.Sort(got)
		want := []string{
			"gatehouse_alert_queue_alerts sink_type=test 0",
			"gatehouse_alert_queue_dropped_alerts_total sink_type=test 0",
			"gatehouse_alert_sends_total result=failure sink_type=test 0",
			"gatehouse_alert_sends_total result=refused sink_type=test 0",
			"gatehouse_alert_sends_total result=success sink_type=test 1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	})
}

// TestDefaults holds that the settings have the same as Options.
func TestDefaults(t *testing.T) {
	cfg, o := &v1alpha1.AttachConfiguration{}, Options{Dir: "d"}
	v1alpha1.SetAttachDefaults(cfg)
	if err := o.setDefaults(); err != nil {
		t.Fatal(err)
	}
	a := &cfg.Detection.Alerts
	if o.GroupWait != a.GroupWait.Duration || o.GroupInterval != a.GroupInterval.Duration || o.RepeatInterval != a.RepeatInterval.Duration || o.PerMinute != int(a.RatePerMinute) || o.QueueSize != int(a.QueueSize) {
		t.Errorf("got %+v, want %+v", o, a)
	}
}

// BenchmarkTell is a Finding that there is more of, among many that are open.
func BenchmarkTell(b *testing.B) {
	d, err := Open(Options{Dir: b.TempDir(), Sinks: []Sink{sinkOf("a", 10)}})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	f := finding("a", 1, nil)
	for n := range 10000 {
		d.Tell(changed(detect.New, finding(fmt.Sprint(n), 1, nil)))
	}
	d.Tell(changed(detect.New, f))
	b.ReportAllocs()
	for b.Loop() {
		f.Count++
		d.Tell(changed(detect.Again, f))
	}
}
