package trail

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/bucket"
	"github.com/gatehouse-io/gatehouse/audit/otlp"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

const subsystem = "gatehouse_audit_store_"

// meters count what the store does, and tell how it is.
type meters struct {
	metrics.BaseStableCollector
	events   *metrics.CounterVec
	written  *metrics.Counter
	synced   *metrics.Histogram
	sealed   *metrics.Histogram
	failures *metrics.CounterVec
	// keepLag and truncated are of events that the store has.
	keepLag   *metrics.Histogram
	truncated *metrics.Counter
	// limit is the size that the store is kept to; 0 for none.
	limit int64

	// Each is nil where there is none.
	store     *store.Store
	exporter  *otlp.Exporter
	publisher *bucket.Publisher

	kept, bytes, segments, lag, impaired       *metrics.Desc
	newest, limitBytes, diskFree, diskSize     *metrics.Desc
	gaps, quarantined                          *metrics.Desc
	exported, exportDropped                    *metrics.Desc
	published, publishFailures, publishWaiting *metrics.Desc
}

func newMeters() *meters {
	desc := func(name, help string) *metrics.Desc {
		return metrics.NewDesc(subsystem+name, help, nil, nil, metrics.ALPHA, "")
	}
	other := func(name, help string, labels ...string) *metrics.Desc {
		return metrics.NewDesc(name, help, labels, nil, metrics.ALPHA, "")
	}
	return &meters{
		events: metrics.NewCounterVec(&metrics.CounterOpts{Name: subsystem + "appended_events_total", StabilityLevel: metrics.ALPHA,
			Help: "Audit events by what became of them: kept, duplicate, or lost, with the reason of the gap: dropped, disk full."}, []string{"result"}),
		written: metrics.NewCounter(&metrics.CounterOpts{Name: subsystem + "written_bytes_total", StabilityLevel: metrics.ALPHA,
			Help: "Bytes written to the write-ahead log of the audit store."}),
		synced: metrics.NewHistogram(&metrics.HistogramOpts{Name: subsystem + "sync_duration_seconds", StabilityLevel: metrics.ALPHA,
			Help: "How long it took to force the write-ahead log of the audit store to the disk.", Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5}}),
		sealed: metrics.NewHistogram(&metrics.HistogramOpts{Name: subsystem + "seal_duration_seconds", StabilityLevel: metrics.ALPHA,
			Help: "How long it took to make a segment of a part of the write-ahead log.", Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30}}),
		failures: metrics.NewCounterVec(&metrics.CounterOpts{Name: subsystem + "failures_total", StabilityLevel: metrics.ALPHA,
			Help: "What the audit store could not do, and tries again, by what it was."}, []string{"operation"}),
		keepLag: metrics.NewHistogram(&metrics.HistogramOpts{Name: subsystem + "keep_lag_seconds", StabilityLevel: metrics.ALPHA,
			Help: "How long after its time the first event of a batch was kept.", Buckets: []float64{.001, .01, .1, .5, 1, 5, 10, 30, 60, 300, 3600}}),
		truncated: metrics.NewCounter(&metrics.CounterOpts{Name: subsystem + "truncated_events_total", StabilityLevel: metrics.ALPHA,
			Help: "Audit events that were kept and that their source had cut short."}),
		newest:          desc("newest_event_timestamp_seconds", "When the newest audit event of the store was."),
		limitBytes:      desc("limit_bytes", "Bytes that segments may take before the oldest are removed; 0 for no limit."),
		diskFree:        desc("disk_available_bytes", "Bytes that are free on the disk of the audit store."),
		diskSize:        desc("disk_size_bytes", "Bytes of the disk of the audit store."),
		gaps:            desc("gaps", "Times in which audit events are known to be lost."),
		quarantined:     desc("quarantined_files", "Damaged files that the audit store has set aside."),
		kept:            desc("events", "Audit events that the store has."),
		bytes:           desc("bytes", "Bytes that the segments and the write-ahead log of the audit store take."),
		segments:        desc("segments", "Segments of the audit store."),
		lag:             desc("seal_lag_seconds", "How long the oldest audit event that is in no segment yet has been waiting for one."),
		exported:        other("gatehouse_audit_export_events_total", "Audit events that the OpenTelemetry collector has taken."),
		exportDropped:   other("gatehouse_audit_export_dropped_events_total", "Audit events that were not sent to the collector, by cause. The store has them.", "cause"),
		published:       other("gatehouse_audit_publish_segments_total", "Segments that were copied to the bucket."),
		publishFailures: other("gatehouse_audit_publish_failures_total", "Attempts to copy a segment to the bucket that failed."),
		publishWaiting:  other("gatehouse_audit_publish_waiting_segments", "Segments that are not in the bucket yet."),
		impaired:        desc("impaired", "1 where the audit store writes nothing any more, or its disk is full."),
	}
}

func (m *meters) ofStore() store.Metrics {
	add := func(result string) func(int) {
		return func(n int) { m.events.WithLabelValues(result).Add(float64(n)) }
	}
	return store.Metrics{
		Appended: add("kept"), Deduplicated: add("duplicate"),
		Dropped: func(reason string, n int) { m.events.WithLabelValues(reason).Add(float64(n)) },
		Written: func(n int) { m.written.Add(float64(n)) },
		Synced:  func(d time.Duration) { m.synced.Observe(d.Seconds()) },
		Sealed:  func(d time.Duration, _ int) { m.sealed.Observe(d.Seconds()) },
		Failed:  func(what string) { m.failures.WithLabelValues(what).Inc() },
	}
}

// DescribeWithStability implements metrics.StableCollector.
func (m *meters) DescribeWithStability(to chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{m.kept, m.bytes, m.segments, m.lag, m.impaired, m.exported, m.exportDropped, m.published, m.publishFailures, m.publishWaiting,
		m.newest, m.limitBytes, m.diskFree, m.diskSize, m.gaps, m.quarantined} {
		to <- d
	}
}

// CollectWithStability implements metrics.StableCollector.
func (m *meters) CollectWithStability(to chan<- metrics.Metric) {
	if m.store == nil {
		return
	}
	s := m.store.Stats()
	impaired := 0.
	if s.Broken != "" || s.Full {
		impaired = 1
	}
	for d, value := range map[*metrics.Desc]float64{
		m.kept: float64(s.Events), m.bytes: float64(s.Bytes + s.WALBytes), m.segments: float64(s.Segments), m.lag: s.Lag.Seconds(), m.impaired: impaired,
	} {
		to <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, value)
	}
	m.collectRoom(to, &s)
	if m.exporter != nil {
		c := m.exporter.Counts()
		to <- metrics.NewLazyConstMetric(m.exported, metrics.CounterValue, float64(c.Sent))
		for cause, n := range c.Dropped {
			to <- metrics.NewLazyConstMetric(m.exportDropped, metrics.CounterValue, float64(n), string(cause))
		}
	}
	if m.publisher != nil {
		c := m.publisher.Counters()
		to <- metrics.NewLazyConstMetric(m.published, metrics.CounterValue, float64(c.Segments))
		to <- metrics.NewLazyConstMetric(m.publishFailures, metrics.CounterValue, float64(c.Failures))
		to <- metrics.NewLazyConstMetric(m.publishWaiting, metrics.GaugeValue, float64(c.Waiting))
	}
}

// collectRoom tells how much room is left, and what is missing.
func (m *meters) collectRoom(to chan<- metrics.Metric, s *store.Stats) {
	gauge := func(d *metrics.Desc, value float64) { to <- metrics.NewLazyConstMetric(d, metrics.GaugeValue, value) }
	gauge(m.limitBytes, float64(m.limit))
	gauge(m.quarantined, float64(s.Quarantined))
	if !s.Newest.IsZero() {
		gauge(m.newest, float64(s.Newest.UnixMicro())/1e6)
	}
	var disk unix.Statfs_t
	if unix.Statfs(s.Dir, &disk) == nil {
		gauge(m.diskFree, float64(disk.Bavail)*float64(disk.Bsize))
		gauge(m.diskSize, float64(disk.Blocks)*float64(disk.Bsize))
	}
	if gaps, err := m.store.Gaps(context.Background(), time.Time{}, time.Time{}); err == nil {
		gauge(m.gaps, float64(len(gaps)))
	}
}

// appended notes events that the store has.
func (m *meters) appended(events []*audit.Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	m.keepLag.Observe(now.Sub(events[0].Time).Seconds())
	for _, e := range events {
		if e.Truncated {
			m.truncated.Inc()
		}
	}
}

// Register registers the metrics of the trail, once, with a registry such as
// legacyregistry.
func (t *Trail) Register(one func(metrics.Registerable) error, collector func(metrics.StableCollector) error) error {
	m := t.meters
	for _, r := range []metrics.Registerable{m.events, m.written, m.synced, m.sealed, m.failures, m.keepLag, m.truncated} {
		if err := one(r); err != nil {
			return err
		}
	}
	// A counter that appears when something is lost would begin with the loss: nobody
	// would see it grow.
	for _, result := range []string{"kept", "duplicate", audit.GapDropped, audit.GapFull, audit.GapUnreadable} {
		m.events.WithLabelValues(result)
	}
	for _, operation := range []string{"write", "store", "seal", "sync", "catalog"} {
		m.failures.WithLabelValues(operation)
	}
	return collector(m)
}
