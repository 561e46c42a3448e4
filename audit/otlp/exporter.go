package otlp

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Options say how events are sent. Transport is needed.
type Options struct {
	Transport Transport
	// Cluster becomes k8s.cluster.name, where it is set.
	Cluster string
	// Service becomes service.name. Default gatehouse. Version becomes service.version.
	Service, Version string
	// Resource are more attributes of the resource.
	Resource map[string]string

	// BatchEvents and BatchBytes are how much is sent at once. Default 512 and 2 MiB,
	// below the 4 MiB that a gRPC server takes.
	BatchEvents int
	BatchBytes  int
	// Delay is how long an event waits for others. Default one second.
	Delay time.Duration
	// QueueEvents and QueueBytes are how much may wait. Default 8192 and 32 MiB.
	QueueEvents int
	QueueBytes  int
	// Timeout is how long one attempt may take. Default 10 seconds.
	Timeout time.Duration
	// Backoff is how long to wait before the second attempt; it doubles each time, up to
	// 30 seconds. Default one second.
	Backoff time.Duration
	// GiveUp is how long a batch is tried. Default 5 minutes.
	GiveUp time.Duration

	// Dropped is told of events that were dropped, where it is set.
	Dropped func(count int, cause Cause)
	// Clock is what tells the time. Default: the real one.
	Clock clock.WithTicker
}

// Cause is why events were dropped.
type Cause string

// Causes.
const (
	QueueFull Cause = "queue full"
	Refused   Cause = "refused" // the platform does not take them
	GivenUp   Cause = "given up"
	Stopped   Cause = "stopped" // before they could be sent
)

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Exporter sends events. It is an audit.Sink, and safe for concurrent use.
type Exporter struct {
	o Options

	mu      sync.Mutex
	queue   []entry // what waits, oldest first
	bytes   int
	closed  bool
	counts  Counts
	wake    chan struct{} // holds one while there is something to do
	stopped chan struct{} // closed when Run has ended
	running bool
	quit    chan struct{} // closed by Shutdown
	once    sync.Once     // closes quit
}

type entry struct {
	event *audit.Event
	size  int
}

// Counts are what became of events.
type Counts struct {
	Sent    int64
	Dropped map[Cause]int64
	Waiting int
}

// New makes an Exporter. It panics without a Transport.
func New(o Options) *Exporter {
	if o.Transport == nil {
		panic("otlp.New: Options needs a Transport")
	}
	setDefault(&o.Service, "gatehouse")
	setDefault(&o.BatchEvents, 512)
	setDefault(&o.BatchBytes, 2<<20)
	setDefault(&o.Delay, time.Second)
	setDefault(&o.QueueEvents, 8192)
	setDefault(&o.QueueBytes, 32<<20)
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.Backoff, time.Second)
	setDefault(&o.GiveUp, 5*time.Minute)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Exporter{o: o, counts: Counts{Dropped: map[Cause]int64{}}, wake: make(chan struct{}, 1), stopped: make(chan struct{}), quit: make(chan struct{})}
}

// Counts tells what became of events.
func (x *Exporter) Counts() Counts {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := Counts{Sent: x.counts.Sent, Waiting: len(x.queue), Dropped: map[Cause]int64{}}
	for cause, n := range x.counts.Dropped {
		c.Dropped[cause] = n
	}
	return c
}

// sizeOf is about how many bytes an event is in a batch.
func sizeOf(e *audit.Event) int {
	size := 1024 + len(e.URI) + len(e.UserAgent) + len(e.Message) + len(e.Request) + len(e.Response)
	for k, v := range e.Annotations {
		size += len(k) + len(v)
	}
	for _, g := range e.Groups {
		size += len(g)
	}
	return size
}

// Append implements audit.Sink. It always succeeds: what there is no room for is
// dropped, and counted.
func (x *Exporter) Append(_ context.Context, events []*audit.Event) error {
	full, stopped := 0, 0
	x.mu.Lock()
	for _, e := range events {
		size := sizeOf(e)
		switch {
		case x.closed:
			stopped++
		case len(x.queue) >= x.o.QueueEvents || x.bytes+size > x.o.QueueBytes:
			full++
		default:
			x.queue = append(x.queue, entry{e, size})
			x.bytes += size
		}
	}
	x.mu.Unlock()
	x.dropped(full, QueueFull)
	x.dropped(stopped, Stopped)
	select {
	case x.wake <- struct{}{}:
	default:
	}
	return nil
}

func (x *Exporter) dropped(count int, cause Cause) {
	if count == 0 {
		return
	}
	x.mu.Lock()
	x.counts.Dropped[cause] += int64(count)
	x.mu.Unlock()
	if x.o.Dropped != nil {
		x.o.Dropped(count, cause)
	}
}

// Run sends until ctx ends, or until Shutdown has sent what waited. It is called once.
func (x *Exporter) Run(ctx context.Context) {
	x.mu.Lock()
	x.running = true
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		x.closed = true
		left := len(x.queue)
		x.queue, x.bytes = nil, 0
		x.mu.Unlock()
		x.dropped(left, Stopped)
		close(x.stopped)
	}()
	for x.gather(ctx) {
		batch := x.take()
		if len(batch) > 0 {
			x.send(ctx, batch)
		}
	}
}

// gather waits until there is a batch, or what waits has waited long enough. It reports
// false when there is nothing more to do.
func (x *Exporter) gather(ctx context.Context) bool {
	var late <-chan time.Time
	for {
		x.mu.Lock()
		events, bytes, closed := len(x.queue), x.bytes, x.closed
		x.mu.Unlock()
		switch {
		case ctx.Err() != nil, closed && events == 0:
			return false
		case closed, events >= x.o.BatchEvents, bytes >= x.o.BatchBytes:
			return true
		case events > 0 && late == nil:
			timer := x.o.Clock.NewTimer(x.o.Delay)
			defer timer.Stop()
			late = timer.C()
		}
		select {
		case <-ctx.Done():
		case <-x.wake:
		case <-x.quit:
		case <-late:
			return true
		}
	}
}

// take takes a batch from the queue.
func (x *Exporter) take() []*audit.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	var batch []*audit.Event
	bytes := 0
	for _, e := range x.queue {
		if len(batch) >= x.o.BatchEvents || len(batch) > 0 && bytes+e.size > x.o.BatchBytes {
			break
		}
		batch = append(batch, e.event)
		bytes += e.size
	}
	n := copy(x.queue, x.queue[len(batch):])
	clear(x.queue[n:])
	x.queue = x.queue[:n]
	x.bytes -= bytes
	return batch
}

const longestBackoff = 30 * time.Second

// send sends a batch until it is taken, refused, or given up.
func (x *Exporter) send(ctx context.Context, batch []*audit.Event) {
	request := x.request(batch, x.o.Clock.Now())
	begun, wait := x.o.Clock.Now(), x.o.Backoff
	for {
		attempt, cancel := context.WithTimeout(ctx, x.o.Timeout)
		rejected, err := x.o.Transport.Export(attempt, request)
		cancel()
		if err == nil {
			rejected = min(max(rejected, 0), int64(len(batch)))
			x.mu.Lock()
			x.counts.Sent += int64(len(batch)) - rejected
			x.mu.Unlock()
			x.dropped(int(rejected), Refused)
			return
		}
		again, retry := errors.AsType[*RetryError](err)
		if !retry && ctx.Err() == nil {
			x.dropped(len(batch), Refused)
			return
		}
		pause := wait + rand.N(wait/4+1) // so that replicas do not come back together
		if retry && again.After > 0 {
			pause = again.After
		}
		switch {
		case ctx.Err() != nil:
			x.dropped(len(batch), Stopped)
			return
		case x.o.Clock.Since(begun)+pause > x.o.GiveUp:
			x.dropped(len(batch), GivenUp)
			return
		}
		timer := x.o.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
		}
		wait = min(2*wait, longestBackoff)
	}
}

// Shutdown sends what waits, and returns when it is sent or ctx ends. Events that come
// later are dropped.
func (x *Exporter) Shutdown(ctx context.Context) error {
	x.mu.Lock()
	x.closed = true
	x.once.Do(func() { close(x.quit) })
	running := x.running
	x.mu.Unlock()
	if !running {
		return nil
	}
	select {
	case <-x.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
