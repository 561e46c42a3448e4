package alert

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
)

// TestSinkKnowsInTheEnd lets findings come, grow, end and be muted in any order, while a
// sink fails and the process is stopped, and holds that a sink then knows what is open,
// with the newest count; that no beginning is missing before an end; and that nothing
// muted was ever said to fire.
func TestSinkKnowsInTheEnd(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anything(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func anything(t *testing.T, random *rand.Rand) {
	f := sinkOf("a", 1+random.IntN(8))
	if random.IntN(2) == 0 {
		f.traits.Resend = time.Minute
	}
	dir := t.TempDir()
	o := Options{Dir: dir, GroupWait: time.Duration(random.IntN(3)) * 5 * time.Second, GroupInterval: time.Minute}
	d := run(t, o, f)
	open := map[string]detect.Finding{} // what a State has
	for range 400 {
		name := fmt.Sprint(random.IntN(6))
		was, there := open[name]
		what := detect.Again
		switch {
		case !there:
			what = detect.New
			was = finding(name, 1, func(f *detect.Finding) { f.First, f.Last = time.Now(), time.Now() })
		case random.IntN(5) == 0:
			what = detect.Over
		case random.IntN(6) == 0:
			was.Muted = []string{"mute", ""}[random.IntN(2)]
			fallthrough
		default:
			was.Count++
			was.Last = time.Now()
			if random.IntN(10) == 0 {
				was.Severity = []v1alpha1.DetectionSeverity{v1alpha1.SeverityLow, v1alpha1.SeverityHigh, v1alpha1.SeverityCritical}[random.IntN(3)]
			}
		}
		if what == detect.Over {
			delete(open, name)
		} else {
			open[name] = was
		}
		if random.IntN(20) > 0 { // else it is lost, as when a process is killed
			d.Tell(changed(what, was))
		}
		switch random.IntN(30) {
		case 0:
			f.set(errors.New("down"))
		case 1, 2:
			f.set(nil)
		case 3:
			if err := d.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.stop()
			d = run(t, o, f)
		case 4:
			d.Reconcile(findings(open), time.Now())
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Second)
	}
	f.set(nil)
	d.Reconcile(findings(open), time.Now())
	time.Sleep(10 * time.Minute)
	d.stop()

	last := map[string]Alert{}
	for _, a := range f.all {
		name := a.Finding.Fingerprint
		if before, known := last[name]; a.Status == Resolved && (!known || before.Status == Resolved && before.ID != a.ID) {
			t.Errorf("%s is over, and nobody knew it", name)
		}
		if a.Status == Firing && a.Finding.Muted != "" {
			t.Errorf("%s is muted by %s and told", name, a.Finding.Muted)
		}
		last[name] = a
	}
	for name, a := range last {
		now, there := open[name]
		if firing := there && now.Muted == ""; firing != (a.Status == Firing) || firing && a.Finding.Count != now.Count {
			t.Errorf("%s is open: %v, muted %q, %d times; the sink knows %s %s of %d times", name, there, now.Muted, now.Count, a.Status, a.Cause, a.Finding.Count)
		}
	}
	for name, now := range open {
		if _, known := last[name]; !known && now.Muted == "" {
			t.Errorf("%s is open, and was never told", name)
		}
	}
	if s := d.Stats(); s.Dropped["test"]+s.Refused["test"] > 0 {
		t.Errorf("got %+v", s)
	}
}

func findings(open map[string]detect.Finding) (all []detect.Finding) {
	for _, f := range open {
		all = append(all, f)
	}
	return all
}
