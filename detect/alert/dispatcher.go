package alert

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/detect"
)

// Dispatcher tells sinks of Findings. It is safe for concurrent use.
type Dispatcher struct {
	o Options
}

// Open opens the queues in Options.Dir, with what was not sent yet.
func Open(o Options) (*Dispatcher, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	return &Dispatcher{o: o}, nil
}

// Tell takes changes of Findings, in their order. It never waits for a disk, a sink or an
// Enricher.
func (d *Dispatcher) Tell(changes ...detect.Change) {}

// Reconcile is told of every Finding that is open at a moment of the clock: what was told
// and is not among them is over, what is among them and was never told is new. It is for
// what changes do not say: what a State forgot, or did not do because it was killed.
func (d *Dispatcher) Reconcile(open []detect.Finding, at time.Time) {}

// Flush returns when all that was told before is in the queues, on the disk, or is held
// back because it was told a moment ago. Run must be running.
func (d *Dispatcher) Flush(ctx context.Context) error { return nil }

// Run enriches, queues and sends until ctx ends. It is called once.
func (d *Dispatcher) Run(ctx context.Context) {}

// Close closes the queues. It is called when Run has returned, or was never called.
func (d *Dispatcher) Close() error { return nil }

// Stats are what became of Alerts, by Traits.Type.
type Stats struct {
	// Sent and Failed count Sends, Refused Alerts that a sink did not want.
	Sent, Failed, Refused map[string]int64
	// Waiting is how many Alerts are in the queues, Dropped how many were too many.
	Waiting, Dropped map[string]int64
}

// Stats returns them.
func (d *Dispatcher) Stats() Stats { return Stats{} }

// Register registers the metrics: gatehouse_alert_sends_total{sink_type,result},
// gatehouse_alert_queue_alerts{sink_type} and
// gatehouse_alert_queue_dropped_alerts_total{sink_type}.
func (d *Dispatcher) Register(collector func(metrics.StableCollector) error) error { return nil }

func randomID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
