package scan

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// slow is a rule that takes its time.
type slow struct {
	compoundRule
	clock *clocktesting.FakeClock
	takes time.Duration
	asked []string
}

func (s *slow) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	s.asked = append(s.asked, r.GetName())
	s.clock.Step(s.takes)
	return s.compoundRule.Validate(ctx, r)
}

// slowly is a kind that is not run, with one rule.
func slowly(t *testing.T, takes time.Duration) (*kind, *slow) {
	k := many(t)
	s := &slow{compoundRule: compoundRule{&rule{source: gate.Source{Kind: "Rule", Name: "r"}, resource: "pods", label: "owner", action: "deny"}}, clock: clocktesting.NewFakeClock(noon), takes: takes}
	sets := []*policy.Set{policy.NewSet([]policy.Policy{s}, policy.Options{})}
	k.opts.Clock = s.clock
	k.sets = func() []*policy.Set { return sets }
	return k, s
}

func numbered(i, version int) *unstructured.Unstructured {
	o := podNumber(i)
	o.SetName(fmt.Sprintf("p%d", i))
	o.SetResourceVersion(fmt.Sprint(version))
	o.SetAnnotations(map[string]string{"version": fmt.Sprint(version)})
	return o
}

// What has changed is judged one after the other, with rests in between; of an object
// its last version, and what has gone meanwhile is not judged.
func TestWhatHasChangedWaitsForItsTurn(t *testing.T) {
	k, s := slowly(t, 10*time.Millisecond)
	for i := range 4 {
		k.changed.put(numbered(i, 10+i), s.clock.Now())
	}
	turn := func(want ...string) {
		t.Helper()
		rested, err := k.judgeChanged(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.asked, want) {
			t.Fatalf("judged %q, want %q", s.asked, want)
		}
		if (rested == nil) != (k.changed.len() == 0) {
			t.Errorf("%d wait; is there a rest: %v", k.changed.len(), rested != nil)
		}
	}
	turn("p0")
	turn("p0") // it rests
	k.changed.put(numbered(2, 20), s.clock.Now())
	k.changed.put(numbered(2, 30), s.clock.Now())
	k.changed.drop(numbered(1, 0).GetUID(), s.clock.Now())
	s.clock.Step(88 * time.Millisecond)
	turn("p0")
	s.clock.Step(2 * time.Millisecond) // ten milliseconds are a tenth of these hundred
	turn("p0", "p2")
	s.clock.Step(time.Minute)
	turn("p0", "p2", "p3")
	if got := k.objects[numbered(2, 0).GetUID()].version; got != 30 {
		t.Errorf("version %d was judged", got)
	}
}

// What is quickly judged is not waited for.
func TestNobodyRestsForLittle(t *testing.T) {
	k, s := slowly(t, 10*time.Microsecond)
	for i := range 20 {
		k.changed.put(numbered(i, 10), s.clock.Now())
	}
	if rested, err := k.judgeChanged(t.Context()); err != nil || rested != nil || len(s.asked) != 20 {
		t.Errorf("judged %d, rests: %v, %v", len(s.asked), rested != nil, err)
	}
}

// listed is a Source of lists alone, which counts them.
type listed struct {
	Source
	all   []Item
	lists int
}

func (l *listed) List(context.Context, Resource, string, metav1.ListOptions) (*Page, error) {
	l.lists++
	return &Page{ListMeta: metav1.ListMeta{ResourceVersion: "99"}, Items: l.all}, nil
}

// Objects do not wait in any number: with too many, nothing is judged until the burst is
// over, and then a list tells what there is.
func TestABurstIsForgottenAndListedWhenItIsOver(t *testing.T) {
	k, s := slowly(t, 0)
	source := &listed{}
	k.opts.Source = source
	k.settled.Store(true)
	told := &stream{}
	event := func(what watch.EventType, i, version int) {
		t.Helper()
		if err := k.note(watch.Event{Type: what, Object: numbered(i, version)}, told); err != nil {
			t.Fatal(err)
		}
	}
	judge := func(rests bool, judged, lists int) {
		t.Helper()
		rested, err := k.judgeChanged(t.Context())
		if err != nil || (rested != nil) != rests || len(s.asked) != judged || source.lists != lists {
			t.Fatalf("rests: %v; %d judged, %d lists, %v; want %v, %d, %d", rested != nil, len(s.asked), source.lists, err, rests, judged, lists)
		}
	}
	event(watch.Added, 0, 1)
	judge(false, 1, 0)
	for i := range mostQueued {
		event(watch.Added, i+1, 10+i)
	}
	if k.overflows.Load() != 0 || k.changed.len() != mostQueued || !k.settled.Load() {
		t.Fatalf("%d wait, behind %d times", k.changed.len(), k.overflows.Load())
	}
	event(watch.Modified, 5, 2000) // of which one waits already
	if k.overflows.Load() != 0 {
		t.Fatal("a version that takes the place of another is not one more")
	}
	event(watch.Added, 5000, 2001)
	if k.overflows.Load() != 1 || k.changed.len() != 0 || k.settled.Load() {
		t.Fatalf("%d wait, behind %d times, settled: %v", k.changed.len(), k.overflows.Load(), k.settled.Load())
	}
	for i := range 10 { // it goes on for a while
		judge(true, 1, 0)
		s.clock.Step(burstEnd - time.Millisecond)
		event(watch.Added, 6000+i, 3000+i)
	}
	event(watch.Deleted, 0, 4000)
	if k.overflows.Load() != 1 || told.version != "4000" {
		t.Errorf("behind %d times, at version %s", k.overflows.Load(), told.version)
	}
	s.clock.Step(burstEnd)
	for i := range 3 {
		source.all = append(source.all, numbered(6000+i, 3000+i))
	}
	judge(false, 4, 1)
	if !k.settled.Load() || len(k.objects) != 3 || k.reports.Len() != 3 {
		t.Errorf("settled: %v, with %d objects and %d reports", k.settled.Load(), len(k.objects), k.reports.Len())
	}
	event(watch.Added, 7000, 5000) // as before
	judge(false, 5, 1)
}

// After more changes than can wait the reports are what they would have been, and until
// then the progress says that they are not.
func TestReportsAfterABurst(t *testing.T) {
	for _, typed := range []bool{false, true} {
		w := newWorld(t, func(o *Options) {
			if typed {
				o.Source = typedSource{FromClient(o.Client), t}
			}
		}, nil, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"), pod("shop", "gone"))
		w.settled(1)
		w.reads("shop/gone: fail owner: gone has no label owner\nshop/web: fail owner: web has no label owner\n")
		w.mu.Lock()
		k := w.running[pods]
		w.mu.Unlock()
		w.rests.pay(noon, time.Minute, changedShare)
		const burst = mostQueued + 100
		for i := range burst {
			w.create(pods, pod("bank", fmt.Sprintf("p%04d", i)))
			// The fake cluster's watch holds a hundred.
			w.await("it is noted", func() bool { return k.changed.len() == i+1 || w.overflows.Load() == 1 })
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		w.delete(pods, pod("shop", "gone"))
		w.update(pods, pod("shop", "web", "owner"))
		w.await("it is behind", func() bool { return w.overflows.Load() == 1 })
		if p, ok := w.Progress(); !ok || p.Ready() || p.Done >= p.Objects {
			t.Errorf("progress is %+v", p)
		}
		if got := w.judged()[Object]; got != 2 {
			t.Errorf("%d were judged", got)
		}
		w.await("all are judged", func() bool {
			w.clock.Step(time.Minute)
			p, ok := w.Progress()
			return ok && p.Ready() && w.reports.Len() == burst
		})
		for report := range w.reports.In("shop") {
			t.Errorf("there is a report of %s", report.Name)
		}
		if p, _ := w.Progress(); p.Objects != burst+1 || p.Done != burst+1 {
			t.Errorf("progress is %+v", p)
		}
	}
}

// A burst that does not end is not waited for for ever.
func TestABurstWithoutAnEndIsListed(t *testing.T) {
	k, s := slowly(t, 0)
	source := &listed{}
	k.opts.Source = source
	i := 0
	for begin := s.clock.Now(); s.clock.Since(begin) < longestBurst+time.Second; s.clock.Step(burstEnd / 10) {
		for range 200 {
			i++
			k.changed.put(numbered(i, i), s.clock.Now())
		}
		if _, err := k.judgeChanged(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if source.lists != 0 {
		t.Fatalf("%d lists: what is judged at once is no burst", source.lists)
	}
	s.takes = 10 * time.Millisecond
	for begin := s.clock.Now(); s.clock.Since(begin) < longestBurst+2*time.Second; s.clock.Step(burstEnd / 10) {
		for range 200 {
			i++
			k.changed.put(numbered(i, i), s.clock.Now())
		}
		if _, err := k.judgeChanged(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if source.lists != 1 {
		t.Errorf("%d lists", source.lists)
	}
}

// What is gone is forgotten, also while others rest, and in any number.
func TestWhatIsGoneDoesNotWait(t *testing.T) {
	k, s := slowly(t, 0)
	now := s.clock.Now()
	for i := range 3 * mostQueued { // one after the other
		k.changed.put(numbered(i, 10), now)
		k.changed.drop(numbered(i, 10).GetUID(), now)
		k.forgetGone()
	}
	if n := len(k.changed.order); n > 2*mostQueued || k.changed.len() != 0 {
		t.Errorf("%d are remembered", n)
	}
	for i := range mostQueued {
		if k.changed.drop(numbered(i, 10).GetUID(), now) {
			t.Fatal("it is behind too soon")
		}
	}
	if !k.changed.drop("one-more", now) {
		t.Error("any number of them is kept")
	}
	if len(k.changed.takeGone()) != 0 {
		t.Error("they are kept, and behind")
	}
}

// A list tells what there is: what waited is in it, or gone.
func TestAListTakesTheQueueAway(t *testing.T) {
	k, s := slowly(t, time.Second)
	k.opts.Source = &listed{}
	k.changed.put(numbered(1, 10), s.clock.Now())
	if _, err := k.list(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	if k.changed.take() != nil {
		t.Error("an object that may be gone would be judged")
	}
}

func TestRestsAreOfAShare(t *testing.T) {
	var r rests
	r.pay(noon, 10*time.Millisecond, 0.25)
	if got := r.left(noon); got != 30*time.Millisecond {
		t.Errorf("%v are left", got)
	}
	r.pay(noon.Add(10*time.Millisecond), 10*time.Millisecond, 0.1) // beside it, of another kind
	if got := r.left(noon.Add(10 * time.Millisecond)); got != 110*time.Millisecond {
		t.Errorf("%v are left", got)
	}
	if got := r.left(noon.Add(time.Second)); got != 0 {
		t.Errorf("%v are left", got)
	}
}
