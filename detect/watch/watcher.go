package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert"
)

// Options of New. Dir is needed.
type Options struct {
	// Dir is the folder of the file state. It is made with mode 0700, and belongs to one
	// process at a time.
	Dir string
	// Reader has what was kept; nil where there is no store: then nothing is read after
	// a stop, and what finds no room is lost.
	Reader audit.Reader
	// Builtin picks among Gatehouse's own rules: "*" is all of them, NAME is one, -NAME
	// leaves one out. Default: all.
	Builtin []string
	// RulesDir has files with more rules and Mutes. Default: none.
	RulesDir string
	// Objects is a client for DetectionRules and Mutes. Where the cluster has no such
	// kinds, it is asked now and then whether it has. Default: there are no objects.
	Objects dynamic.Interface
	// Policy is the audit policy in force, for what rules are blind to. Default: it is
	// not known, as it is where another server records the events.
	Policy *audit.Policy
	// Respond is told of findings that are not muted. Default: nobody is.
	Respond Responder
	// Reach is what the identity of a Finding can do; nil where that is not known.
	Reach func(f *detect.Finding) *alert.Reach
	// Clock. Default: the machine's.
	Clock clock.WithTicker
	// Log takes what an operator should see. Default: nobody does.
	Log func(message string)
}

// Teller is told of changes: an alert.Dispatcher.
type Teller interface {
	Tell(changes ...detect.Change)
	Reconcile(open []detect.Finding, at time.Time)
	Flush(ctx context.Context) error
}

// Responder does something about findings.
type Responder interface {
	// Respond never waits.
	Respond(f *detect.Finding)
	// Of is what was done about a Finding, in a sentence. It waits until that is known,
	// or ctx ends: then it is not.
	Of(ctx context.Context, fingerprint string) (said string, known bool)
}

// Watcher judges events as they come. It is safe for concurrent use.
type Watcher struct {
	o       Options
	began   time.Time
	queue   *queue
	rules   *rulebook
	meters  *meters
	judging atomic.Pointer[time.Time] // since when what is judged now has been waiting
	caught  atomic.Bool               // what was there before has been read
	// calls are for the goroutine of Run, which alone changes the state.
	calls chan func()

	state  *detect.State // set before ready is closed
	ready  chan struct{}
	teller Teller
	seen   *seen // Run's goroutine's
	// dirty says that there is something to save.
	dirty bool
	// resumed is set once the time in which nothing was recorded has been told.
	resumed bool
	// writing is held while the file is written.
	writing sync.Mutex

	mu sync.Mutex
	// fired is when rules last made a finding.
	fired map[string]time.Time
}

// New reads the rules of files, and is told by what is wrong with them. The others are
// compiled by Run.
func New(o Options) (*Watcher, error) {
	if o.Dir == "" {
		return nil, errors.New("watch for findings: no folder is named")
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	w := &Watcher{o: o, began: o.Clock.Now(), queue: newQueue(), calls: make(chan func(), 16), ready: make(chan struct{}), fired: map[string]time.Time{}}
	w.meters = newMeters(w)
	var err error
	if w.rules, err = newRulebook(&w.o); err != nil {
		return nil, err
	}
	return w, nil
}

// Take takes events that have been kept, and never waits.
func (w *Watcher) Take(events []*audit.Event) { w.queue.put(events, w.o.Clock.Now()) }

// timing of Run.
const (
	tickEvery      = time.Second
	saveEvery      = time.Minute
	reconcileEvery = time.Minute
	// saveLimit bounds the wait for alerts to be on the disk.
	saveLimit = 30 * time.Second
	// stopLimit bounds the last save.
	stopLimit = 3 * time.Second
)

// Run judges events and tells of what is found, until ctx ends. It is called once.
func (w *Watcher) Run(ctx context.Context, to Teller) error {
	w.teller = to
	if err := w.rules.begin(ctx); err != nil {
		return err
	}
	w.state = detect.NewState(w.rules.set(), detect.StateOptions{Clock: w.o.Clock.Now})
	w.load()
	w.state.SetMutes(w.rules.mutes())
	close(w.ready)
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { w.rules.follow(ctx, w) })
	saves := make(chan []byte, 1)
	background.Go(func() { w.saver(ctx, saves) })
	tick := w.o.Clock.NewTicker(tickEvery)
	defer tick.Stop()
	w.catchUp(ctx)
	if ctx.Err() == nil {
		w.teller.Reconcile(w.state.Findings(), w.o.Clock.Now())
		w.caught.Store(true)
	}
	saved, reconciled := time.Time{}, w.o.Clock.Now()
	var batch []*audit.Event
	for {
		select {
		case <-ctx.Done():
			w.stop(batch)
			return nil
		case call := <-w.calls:
			call()
			continue
		case <-w.queue.wake:
		case <-tick.C():
		}
		batch = w.drain(ctx, batch)
		if ctx.Err() != nil {
			continue
		}
		now := w.o.Clock.Now()
		w.resume(now)
		w.tell(w.state.Advance(ctx, now))
		if now.Sub(reconciled) >= reconcileEvery {
			reconciled = now
			w.teller.Reconcile(w.state.Findings(), now)
		}
		if w.dirty && now.Sub(saved) >= saveEvery && len(saves) == 0 {
			saved = now
			if data := w.snapshot(); data != nil {
				saves <- data
			}
		}
	}
}

// drain judges what waits, and then what was lost meanwhile.
func (w *Watcher) drain(ctx context.Context, batch []*audit.Event) []*audit.Event {
	for ctx.Err() == nil {
		var since time.Time
		batch, since = w.queue.take(batch)
		if len(batch) == 0 {
			lost := w.queue.takeLost()
			if lost.count == 0 {
				return batch
			}
			w.judging.Store(&lost.from)
			w.readLost(ctx, lost)
			w.judging.Store(nil)
			continue
		}
		w.judging.Store(&since)
		for _, e := range batch {
			w.judge(ctx, e)
		}
		w.judging.Store(nil)
	}
	return batch
}

// judge judges one event, unless it has been.
func (w *Watcher) judge(ctx context.Context, e *audit.Event) {
	if !w.seen.add(e) {
		return
	}
	w.dirty = true
	if !w.resumed && !e.Time.Before(w.began) {
		w.resume(e.Time)
	}
	w.meters.events.Inc()
	w.tell(w.state.Observe(ctx, e))
}

// resume says once that nothing was recorded before this process.
func (w *Watcher) resume(now time.Time) {
	if !w.resumed {
		w.resumed = true
		w.state.Resume(now)
	}
}

// tell hands on what has changed.
func (w *Watcher) tell(changes []detect.Change) {
	if len(changes) == 0 {
		return
	}
	w.dirty = true
	w.mu.Lock()
	for i := range changes {
		f := &changes[i].Finding
		if changes[i].What == detect.New {
			w.meters.found(f.Severity)
		}
		if changes[i].What != detect.Over && f.Last.After(w.fired[f.Rule]) {
			w.fired[f.Rule] = f.Last
		}
	}
	w.mu.Unlock()
	if w.o.Respond != nil {
		for i := range changes {
			if f := &changes[i].Finding; changes[i].What != detect.Over && f.Muted == "" {
				w.o.Respond.Respond(f)
			}
		}
	}
	w.teller.Tell(changes...)
}

// lastFired is when a rule last made a finding; zero for never in this process.
func (w *Watcher) lastFired(rule string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fired[rule]
}

// call has something done by the goroutine of Run.
func (w *Watcher) call(ctx context.Context, f func()) {
	select {
	case w.calls <- f:
	case <-ctx.Done():
	}
}

// Findings are those that are not over.
func (w *Watcher) Findings() []detect.Finding {
	select {
	case <-w.ready:
		return w.state.Findings()
	default:
		return nil
	}
}

// CaughtUp reports whether what was kept before this process began has been judged.
func (w *Watcher) CaughtUp() bool { return w.caught.Load() }

// lag is how long the oldest event that was not judged yet has been waiting.
func (w *Watcher) lag(now time.Time) time.Duration {
	since := w.queue.waiting()
	if j := w.judging.Load(); j != nil && !j.IsZero() && (since.IsZero() || j.Before(since)) {
		since = *j
	}
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since))
}

func (w *Watcher) logf(format string, args ...any) { w.o.Log(fmt.Sprintf(format, args...)) }
