package watch

import (
	"sync"

	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

const subsystem = "gatehouse_detect_"

// Values of the label state of gatehouse_detect_rules.
const (
	stateSees    = "sees"
	statePartly  = "partly"
	stateBlind   = "blind"
	stateUnknown = "unknown"
	stateRefused = "refused"
)

var severities = []v1alpha1.DetectionSeverity{
	v1alpha1.SeverityInfo, v1alpha1.SeverityLow, v1alpha1.SeverityMedium, v1alpha1.SeverityHigh, v1alpha1.SeverityCritical,
}

// meters count what a Watcher does, and tell how it is.
type meters struct {
	metrics.BaseStableCollector
	w *Watcher

	events, skipped *metrics.Counter

	mu    sync.Mutex
	finds map[v1alpha1.DetectionSeverity]int64

	rules, failed, evicted, findings, open, lag *metrics.Desc
}

func newMeters(w *Watcher) *meters {
	desc := func(name, help string, labels ...string) *metrics.Desc {
		return metrics.NewDesc(subsystem+name, help, labels, nil, metrics.ALPHA, "")
	}
	return &meters{
		w: w, finds: map[v1alpha1.DetectionSeverity]int64{},
		events: metrics.NewCounter(&metrics.CounterOpts{Name: subsystem + "events_total", StabilityLevel: metrics.ALPHA,
			Help: "Audit events that the detection rules have been asked about."}),
		skipped: metrics.NewCounter(&metrics.CounterOpts{Name: subsystem + "events_skipped_total", StabilityLevel: metrics.ALPHA,
			Help: "Audit events that the detection rules were not asked about, since more came than could be looked at and they could not be read from the store."}),
		rules:    desc("rules", "Detection rules by what became of them: in force and the audit policy records what they need (sees), part of it (partly), nothing of it (blind), or that is not known (unknown); or refused.", "state"),
		failed:   desc("evaluations_failed_total", "Times that an expression of a detection rule could not be evaluated, which counts as not met."),
		evicted:  desc("keys_evicted_total", "Keys that detection rules had to forget because there were too many."),
		findings: desc("findings_total", "Findings that were new, muted ones too.", "severity"),
		open:     desc("findings_open", "Findings that are not over, muted ones too.", "severity"),
		lag:      desc("lag_seconds", "How long the oldest audit event has been waiting for the detection rules."),
	}
}

func (m *meters) found(s v1alpha1.DetectionSeverity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finds[s]++
}

// Register registers the metrics, once, with a registry such as legacyregistry.
func (w *Watcher) Register(one func(metrics.Registerable) error, collector func(metrics.StableCollector) error) error {
	for _, r := range []metrics.Registerable{w.meters.events, w.meters.skipped} {
		if err := one(r); err != nil {
			return err
		}
	}
	return collector(w.meters)
}

// DescribeWithStability implements metrics.StableCollector.
func (m *meters) DescribeWithStability(to chan<- *metrics.Desc) {
	for _, d := range []*metrics.Desc{m.rules, m.failed, m.evicted, m.findings, m.open, m.lag} {
		to <- d
	}
}

// CollectWithStability implements metrics.StableCollector. Before the rules are compiled
// there is nothing to tell.
func (m *meters) CollectWithStability(to chan<- metrics.Metric) {
	select {
	case <-m.w.ready:
	default:
		return
	}
	one := func(d *metrics.Desc, kind metrics.ValueType, value float64, labels ...string) {
		to <- metrics.NewLazyConstMetric(d, kind, value, labels...)
	}
	for state, n := range m.w.rules.states() {
		one(m.rules, metrics.GaugeValue, float64(n), state)
	}
	stats := m.w.state.Stats()
	one(m.failed, metrics.CounterValue, float64(stats.Failed))
	one(m.evicted, metrics.CounterValue, float64(stats.Evicted))
	one(m.lag, metrics.GaugeValue, m.w.lag(m.w.o.Clock.Now()).Seconds())
	open := map[v1alpha1.DetectionSeverity]int{}
	for _, f := range m.w.state.Findings() {
		open[f.Severity]++
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range severities {
		one(m.open, metrics.GaugeValue, float64(open[s]), string(s))
		one(m.findings, metrics.CounterValue, float64(m.finds[s]), string(s))
	}
}
