package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	upstream "k8s.io/apiserver/pkg/audit"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/record"
	"github.com/gatehouse-io/gatehouse/audit/redact"
)

// Options say how events are kept. Sink and Redactor are needed.
type Options struct {
	Sink     audit.Sink
	Redactor *redact.Redactor
	// Source becomes Event.Source. Default serve.
	Source string
	// Lost is told of events that were not kept, where it is set. It is called by many
	// goroutines at once.
	Lost func(count int, err error)
}

// Name of the backend, in metrics and logs.
const Name = "gatehouse"

var errStopped = errors.New("the audit backend has been shut down")

// Backend is an audit.Backend of upstream's over a Sink.
type Backend struct {
	o    Options
	kept atomic.Int64
	lost atomic.Int64

	// stopping is cancelled when Shutdown has waited long enough.
	stopping context.Context
	stop     context.CancelFunc
	// mu is held for reading by every call that is under way; down is set under it.
	mu   sync.RWMutex
	down bool
}

var _ upstream.Backend = (*Backend)(nil)

// New makes a Backend. It panics without a Sink or a Redactor: that would be a server
// that writes nothing down, or secrets.
func New(o Options) *Backend {
	if o.Sink == nil || o.Redactor == nil {
		panic("backend.New: Options needs a Sink and a Redactor")
	}
	if o.Source == "" {
		o.Source = "serve"
	}
	b := &Backend{o: o}
	b.stopping, b.stop = context.WithCancel(context.Background())
	return b
}

// Kept and Lost are how many events were.
func (b *Backend) Kept() int64 { return b.kept.Load() }

// Lost is how many events were not kept.
func (b *Backend) Lost() int64 { return b.lost.Load() }

// ProcessEvents keeps events, and returns whether all of them were kept.
func (b *Backend) ProcessEvents(events ...*auditinternal.Event) bool {
	if len(events) == 0 {
		return true
	}
	if err := b.keep(events); err != nil {
		b.lost.Add(int64(len(events)))
		if b.o.Lost != nil {
			b.o.Lost(len(events), err)
		}
		impacted := make([]*auditinternal.Event, 0, len(events))
		for _, e := range events {
			if e != nil {
				impacted = append(impacted, Redacted(b.o.Redactor, e)) // they are logged
			}
		}
		upstream.HandlePluginError(Name, err, impacted...)
		return false
	}
	b.kept.Add(int64(len(events)))
	return true
}

func (b *Backend) keep(events []*auditinternal.Event) (err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.down {
		return errStopped
	}
	defer func() {
		if r := recover(); r != nil {
			// What it says may be of the event.
			err = fmt.Errorf("keep audit events: panic of type %T", r)
		}
	}()
	flat := make([]*audit.Event, 0, len(events))
	for _, e := range events {
		if e == nil {
			continue
		}
		event := record.FromInternal(e)
		event.Source = b.o.Source
		b.o.Redactor.Event(event)
		flat = append(flat, event)
	}
	if err := b.o.Sink.Append(b.stopping, flat); err != nil {
		return fmt.Errorf("keep audit events: %w", err)
	}
	return nil
}

// Run implements audit.Backend. There is nothing to start: events are kept by the
// requests that made them.
func (b *Backend) Run(<-chan struct{}) error { return nil }

// grace is how long Shutdown waits for events that are being kept.
const grace = 30 * time.Second

// Shutdown implements audit.Backend: it waits until events that came before are kept.
// Those that come later are lost, and counted.
func (b *Backend) Shutdown() {
	timer := time.AfterFunc(grace, b.stop)
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	b.stop()
}

// String is the name of the backend.
func (b *Backend) String() string { return Name }
