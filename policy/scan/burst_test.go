package scan

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// growing is a store that objects are added to, and a Source of it. The object of version
// n is objects[n-1].
type growing struct {
	mu      sync.Mutex
	objects []Item
	watches []uint64 // the versions they began at
	open    int
	told    int
	more    chan struct{} // closed when there is more
}

func (g *growing) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range n {
		g.objects = append(g.objects, numbered(len(g.objects)+1, len(g.objects)+1))
	}
	close(g.more)
	g.more = make(chan struct{})
}

func (g *growing) List(context.Context, Resource, string, metav1.ListOptions) (*Page, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &Page{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(len(g.objects))}, Items: g.objects}, nil
}

func (g *growing) Version(context.Context, Resource) (uint64, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return uint64(len(g.objects)), true, nil
}

// event is the one behind a version, once it is there; none when ctx has ended.
func (g *growing) event(ctx context.Context, version uint64) (e watch.Event, ok bool) {
	for {
		g.mu.Lock()
		more := g.more
		if uint64(len(g.objects)) > version {
			e = watch.Event{Type: watch.Added, Object: g.objects[version]}
			g.told++
		}
		g.mu.Unlock()
		if e.Object != nil {
			return e, true
		}
		select {
		case <-ctx.Done():
			return e, false
		case <-more:
		}
	}
}

type oneWatch struct {
	events chan watch.Event
	cancel context.CancelFunc
}

func (w *oneWatch) Stop()                          { w.cancel() }
func (w *oneWatch) ResultChan() <-chan watch.Event { return w.events }

func (g *growing) Watch(ctx context.Context, _ Resource, opts metav1.ListOptions) (watch.Interface, error) {
	version, err := strconv.ParseUint(opts.ResourceVersion, 10, 64)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &oneWatch{make(chan watch.Event), cancel}
	g.mu.Lock()
	g.watches = append(g.watches, version)
	g.open++
	g.mu.Unlock()
	go func() {
		defer close(w.events)
		defer func() {
			g.mu.Lock()
			g.open--
			g.mu.Unlock()
		}()
		for {
			event, ok := g.event(ctx, version)
			if !ok {
				return
			}
			select {
			case <-ctx.Done():
				return
			case w.events <- event:
				version++
			}
		}
	}()
	return w, nil
}

func (g *growing) state() (watches []uint64, open, told int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]uint64(nil), g.watches...), g.open, g.told
}

// While requests make many objects, nobody is told of each of them: the watch goes on from
// where it was when they have become fewer, and nothing is missed.
func TestAWatchIsLeftAloneInABurst(t *testing.T) {
	k := many(t)
	source := &growing{more: make(chan struct{})}
	k.opts.Source, k.patient, k.wake = source, true, make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- k.listAndWatch(ctx) }()
	await := func(what string, holds func() bool) {
		t.Helper()
		for range 1000 {
			if holds() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s: %v", what, k.reports.Len())
	}
	await("a watch", func() bool { _, open, _ := source.state(); return open == 1 })
	source.add(5)
	await("few changes are judged at once", func() bool { return k.reports.Len() == 5 })

	source.add(400)
	await("the watch ends", func() bool { _, open, _ := source.state(); return open == 0 })
	if _, _, told := source.state(); told > 5+burst+2 {
		t.Errorf("%d were told of", told)
	}
	// It stays so while more come, but what a policy pulls is judged.
	for range 4 {
		source.add(100)
		time.Sleep(checkPause / 2)
	}
	if watches, open, _ := source.state(); open != 0 || len(watches) != 1 {
		t.Errorf("watches from %v, %d of them open", watches, open)
	}
	k.pull(trigger{reason: Policy})
	await("what is pulled", func() bool { return k.reports.Len() >= 5+400+400 })

	source.add(30) // and it gets calm
	await("a watch again", func() bool { _, open, _ := source.state(); return open == 1 })
	await("the rest", func() bool { return k.reports.Len() == 5+400+400+30 })
	watches, _, _ := source.state()
	if len(watches) != 2 || watches[1] > 5+burst+1 {
		t.Errorf("watches from %v: the second goes on where the first was left", watches)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A store that never gets calm is watched all the same.
func TestABurstWithoutAnEndIsWatched(t *testing.T) {
	k, s := slowly(t, 0)
	source := &growing{more: make(chan struct{})}
	k.opts.Source, k.wake = source, make(chan struct{}, 1)
	source.add(10)
	done := make(chan error)
	go func() { done <- k.pause(t.Context()) }()
	for waited := time.Duration(0); waited < longestPause; waited += checkPause {
		for !s.clock.HasWaiters() {
			select {
			case err := <-done:
				t.Fatalf("it ended after %v: %v", waited, err)
			case <-time.After(time.Millisecond):
			}
		}
		source.add(200)
		s.clock.Step(checkPause)
	}
	if err := <-done; err != nil || k.patient {
		t.Errorf("%v; patient %v", err, k.patient)
	}
	told := stream{waits: true, since: s.clock.Now()}
	for range 10 * burst {
		told.count(s.clock.Now())
	}
	if told.burst {
		t.Error("it ends again before it has been calm")
	}
	s.clock.Step(time.Second)
	told.count(s.clock.Now())
	s.clock.Step(time.Second)
	for range burst + 1 {
		told.count(s.clock.Now())
	}
	if !told.burst {
		t.Error("it was calm for a second: the next burst is one again")
	}
}
