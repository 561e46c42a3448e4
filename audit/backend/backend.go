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
	// Log is a backend that is given each event too, redacted, before the Sink is: one that
	// writes a file. An event is flattened and redacted once for both.
	Log upstream.Backend
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

// ProcessEvents keeps events, and returns whether all of them were kept, and logged where
// there is a log.
func (b *Backend) ProcessEvents(events ...*auditinternal.Event) bool {
	if len(events) == 0 {
		return true
	}
	flat, clean, err := b.redact(events)
	logged := true
	if b.o.Log != nil && err == nil {
		logged = b.o.Log.ProcessEvents(clean...)
	}
	if err == nil {
		err = b.keep(flat)
	}
	if err != nil {
		b.lost.Add(int64(len(events)))
		if b.o.Lost != nil {
			b.o.Lost(len(events), err)
		}
		if clean == nil {
			clean = b.cleaned(events, flat)
		}
		upstream.HandlePluginError(Name, err, clean...) // which logs them
		return false
	}
	b.kept.Add(int64(len(events)))
	return logged
}

// redact flattens events and redacts them, and makes for a log events like those of the
// server.
func (b *Backend) redact(events []*auditinternal.Event) (flat []*audit.Event, clean []*auditinternal.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			flat, clean, err = nil, []*auditinternal.Event{}, panicked(r)
		}
	}()
	flat = make([]*audit.Event, 0, len(events))
	for _, e := range events {
		if e != nil {
			event := record.FromInternal(e)
			b.o.Redactor.Event(event)
			flat = append(flat, event)
		}
	}
	if b.o.Log != nil {
		clean = b.cleaned(events, flat)
	}
	for _, event := range flat {
		event.Source = b.o.Source
	}
	return flat, clean, nil
}

// cleaned are the events of the server, each as its flat one says.
func (b *Backend) cleaned(events []*auditinternal.Event, flat []*audit.Event) []*auditinternal.Event {
	clean := make([]*auditinternal.Event, 0, len(flat))
	for _, e := range events {
		if e != nil {
			clean = append(clean, cleaned(e, flat[len(clean)]))
		}
	}
	return clean
}

// panicked is the error of a panic. What it says may be of an event, and is not told.
func panicked(r any) error { return fmt.Errorf("keep audit events: panic of type %T", r) }

func (b *Backend) keep(flat []*audit.Event) (err error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.down {
		return errStopped
	}
	defer func() {
		if r := recover(); r != nil {
			err = panicked(r)
		}
	}()
	if err := b.o.Sink.Append(b.stopping, flat); err != nil {
		return fmt.Errorf("keep audit events: %w", err)
	}
	return nil
}

// Run implements audit.Backend. There is nothing of its own to start: events are kept by
// the requests that made them.
func (b *Backend) Run(stop <-chan struct{}) error {
	if b.o.Log != nil {
		return b.o.Log.Run(stop)
	}
	return nil
}

// grace is how long Shutdown waits for events that are being kept.
const grace = 30 * time.Second

// Shutdown implements audit.Backend: it waits until events that came before are kept.
// Those that come later are lost, and counted.
func (b *Backend) Shutdown() {
	if b.o.Log != nil {
		b.o.Log.Shutdown()
	}
	timer := time.AfterFunc(grace, b.stop)
	defer timer.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	b.stop()
}

// String is the name of the backend, and of its log.
func (b *Backend) String() string {
	if b.o.Log != nil {
		return fmt.Sprintf("%s,redacted<%s>", Name, b.o.Log)
	}
	return Name
}
