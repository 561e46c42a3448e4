package trail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/util/wait"
	upstream "k8s.io/apiserver/pkg/audit"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/backend"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/bucket/drivers"
	"github.com/gatehouse-io/gatehouse/audit/otlp"
	"github.com/gatehouse-io/gatehouse/audit/redact"
	"github.com/gatehouse-io/gatehouse/audit/store"
	"github.com/gatehouse-io/gatehouse/audit/webhook"
)

// Options say where events go.
type Options struct {
	// Store are its settings, with defaults. Without a folder, or disabled, there is none.
	Store v1alpha1.AuditStoreOptions
	// Source becomes Event.Source of the events of the Backend. Needed.
	Source string
	// OTLPEndpoint is host:port of a collector, by gRPC without TLS; empty for none.
	OTLPEndpoint string
	// Replica names this process in a bucket. Default: the name of the host.
	Replica string
	// Version of this program, for the collector.
	Version string
}

// Trail is where events go, opened. It is safe for concurrent use.
type Trail struct {
	options  Options
	store    *store.Store // nil for none
	redactor *redact.Redactor
	meters   *meters
	// tap is called with events that are kept; nil for nobody.
	tap func(events []*audit.Event)
	// exporter and publisher are nil where the settings name nowhere.
	exporter  *otlp.Exporter
	publisher *bucket.Publisher
	closers   []func() error
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
		SyncEvery: s.SyncInterval.Duration, Overflow: overflow, Publish: s.Publish != "",
		MaxAge: time.Duration(*s.MaxAgeDays) * 24 * time.Hour, MaxBytes: s.MaxSize.Value(),
		Metrics: t.meters.ofStore(), Log: func(message string) { klog.Warning("Audit store: " + message) },
	})
	if err != nil {
		return nil, err
	}
	t.meters.store, t.meters.limit = t.store, s.MaxSize.Value()
	t.closers = append(t.closers, t.store.Close)
	if err := errors.Join(t.export(), t.publish()); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// export makes the exporter. Nothing is connected before there is something to send.
func (t *Trail) export() error {
	endpoint := t.options.OTLPEndpoint
	if endpoint == "" {
		return nil
	}
	transport := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	if host, _, err := net.SplitHostPort(endpoint); err != nil {
		return fmt.Errorf("send audit events to %s: %w", endpoint, err)
	} else if ip := net.ParseIP(host); host == "localhost" || ip.IsLoopback() {
		transport = insecure.NewCredentials()
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(transport))
	if err != nil {
		return fmt.Errorf("send audit events to %s: %w", endpoint, err)
	}
	t.closers = append(t.closers, conn.Close)
	t.exporter = otlp.New(otlp.Options{Transport: otlp.OverGRPC(conn, nil), Cluster: t.options.Store.Cluster, Version: t.options.Version})
	t.meters.exporter = t.exporter
	return nil
}

// publish makes the publisher.
func (t *Trail) publish() error {
	s := t.options.Store
	if s.Publish == "" {
		return nil
	}
	b, err := drivers.Open(context.Background(), s.Publish)
	if err != nil {
		return err
	}
	t.closers = append(t.closers, b.Close)
	replica := t.options.Replica
	if replica == "" {
		if replica, err = os.Hostname(); err != nil {
			return fmt.Errorf("name this replica: %w", err)
		}
	}
	t.publisher, err = bucket.NewPublisher(b, t.store, bucket.PublisherOptions{Cluster: s.Cluster, Replica: strings.ToLower(replica), Key: t.store.Key()})
	t.meters.publisher = t.publisher
	return err
}

// Reader has what was kept; nil where there is no store.
func (t *Trail) Reader() audit.Reader {
	if t.store == nil {
		return nil
	}
	return t.store
}

// Tap has a function called with events once they are kept, or, where there is no store,
// once they have come. Requests wait for it, so it must not wait for anything; the events
// are not to be changed. It is called before Backend and Webhook, once, by whoever wants
// to look at events as they come.
func (t *Trail) Tap(f func(events []*audit.Event)) { t.tap = f }

// patience is how long events wait for a disk that does not answer, where the settings
// say that they are dropped rather than that requests wait. The store has them as a gap.
const patience = 5 * time.Second

// Append implements audit.Sink.
func (t *Trail) Append(ctx context.Context, events []*audit.Event) error {
	if t.options.Store.Overflow == v1alpha1.OverflowDrop {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	if t.store != nil {
		if err := t.store.Append(ctx, events); err != nil {
			return err
		}
		t.meters.appended(events, time.Now())
	}
	if t.tap != nil {
		t.tap(events)
	}
	if t.exporter == nil {
		return nil
	}
	return t.exporter.Append(ctx, events) // it queues, or drops and counts
}

// Webhook receives the events of another API server; nil where nobody wants them.
func (t *Trail) Webhook(maxBody int64) http.Handler {
	if t.store == nil && t.tap == nil {
		return nil
	}
	return webhook.New(webhook.Options{
		Sink: t, Redactor: t.redactor, Source: t.options.Source, MaxBody: maxBody,
		Unreadable: func(count int, first error) {
			if t.store != nil {
				t.store.Lost(audit.GapUnreadable, count)
			}
			klog.ErrorS(first, "Audit events that were posted cannot be read, and are missing", "count", count)
		},
	})
}

// Backend is for an API server: it keeps its events, and redacts them for log, which
// is a backend of upstream's or nil.
func (t *Trail) Backend(log upstream.Backend) upstream.Backend {
	switch {
	case t.store != nil || t.tap != nil:
		return backend.New(backend.Options{Sink: t, Redactor: t.redactor, Source: t.options.Source, Log: log})
	case log != nil:
		return backend.Redacting(t.redactor, log)
	}
	return nil
}

// Run copies to where the settings say, until ctx ends. It is called once.
func (t *Trail) Run(ctx context.Context) {
	var all wait.Group
	if t.exporter != nil {
		all.StartWithContext(ctx, t.exporter.Run)
	}
	if t.publisher != nil {
		all.StartWithContext(ctx, t.publisher.Run)
	}
	all.Wait()
}

// closing is how long Close waits for a collector.
const closing = 2 * time.Second

// Close sends what a collector has not been sent yet, while that takes no longer than a
// moment, and closes the store. What was acknowledged is kept in any case.
func (t *Trail) Close() error {
	if t.exporter != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		if err := t.exporter.Shutdown(ctx); err != nil {
			klog.Warningf("Audit events are left that the collector at %s has not been sent", t.options.OTLPEndpoint)
		}
	}
	var errs []error
	for _, c := range slices.Backward(t.closers) {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
