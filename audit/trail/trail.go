package trail

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	upstream "k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/backend"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

// Options say where events go.
type Options struct {
	// Store are its settings, with defaults. Without a folder, or disabled, there is none.
	Store v1alpha1.AuditStoreOptions
	// Source becomes Event.Source of the events of the Backend. Needed.
	Source string
	// Also are told of every event that was kept, redacted, in the order of its keeping;
	// they must not hold it up. Default: nobody.
	Also []func(events []*audit.Event)
}

// Trail is where events go, opened. It is safe for concurrent use.
type Trail struct {
	options  Options
	store    *store.Store // nil for none
	redactor *redact.Redactor
	meters   *meters
}

// Open opens the store.
func Open(o Options) (*Trail, error) {
	t := &Trail{options: o, meters: newMeters()}
	s := o.Store
	if s.Disabled || s.DataDir == "" {
		t.redactor = redact.New(redact.Options{})
		return t, nil
	}
	key, err := redact.ReadOrMakeKey(s.DataDir, rand.Reader)
	if err != nil {
		return nil, err
	}
	t.redactor = redact.New(redact.Options{Key: key})
	overflow := store.Block
	if s.Overflow == v1alpha1.OverflowDrop {
		overflow = store.Drop
	}
	t.store, err = store.Open(s.DataDir, store.Options{
		SyncEvery: s.SyncInterval.Duration, Overflow: overflow,
		MaxAge: time.Duration(*s.MaxAgeDays) * 24 * time.Hour, MaxBytes: s.MaxSize.Value(),
		Metrics: t.meters.ofStore(), Log: func(message string) { klog.Warning("Audit store: " + message) },
	})
	if err != nil {
		return nil, err
	}
	t.meters.store = t.store
	return t, nil
}

// Redactor is what everything that is handed to the Sink must have been through.
func (t *Trail) Redactor() *redact.Redactor { return t.redactor }

// Reader has what was kept; nil where there is no store.
func (t *Trail) Reader() audit.Reader {
	if t.store == nil {
		return nil
	}
	return t.store
}

// Sink keeps redacted events; nil where there is no store.
func (t *Trail) Sink() audit.Sink {
	if t.store == nil {
		return nil
	}
	return t
}

// Append implements audit.Sink.
func (t *Trail) Append(ctx context.Context, events []*audit.Event) error {
	if err := t.store.Append(ctx, events); err != nil {
		return err
	}
	for _, tell := range t.options.Also {
		tell(events)
	}
	return nil
}

// Backend is for an API server: it keeps its events, and redacts them for log, which
// is a backend of upstream's or nil.
func (t *Trail) Backend(log upstream.Backend) upstream.Backend {
	var all []upstream.Backend
	if log != nil {
		all = append(all, backend.Redacting(t.redactor, log))
	}
	if t.store != nil {
		all = append(all, backend.New(backend.Options{Sink: t, Redactor: t.redactor, Source: t.options.Source}))
	}
	if len(all) == 0 {
		return nil
	}
	return upstream.Union(all...)
}

// Run copies to where the settings say, until ctx ends.
func (t *Trail) Run(ctx context.Context) {
	var all wait.Group
	all.Wait()
}

// Close keeps what was acknowledged, and closes the store.
func (t *Trail) Close() error {
	if t.store == nil {
		return nil
	}
	if err := t.store.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		return fmt.Errorf("close audit store: %w", err)
	}
	return nil
}
