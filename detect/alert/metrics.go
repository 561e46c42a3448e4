package alert

import "k8s.io/component-base/metrics"

// Stats are what became of Alerts, by Traits.Type.
type Stats struct {
	// Sent and Failed count Sends, Refused Alerts that a sink did not want.
	Sent, Failed, Refused map[string]int64
	// Waiting is how many Alerts are in the queues, Dropped how many were too many.
	Waiting, Dropped map[string]int64
}

// Stats returns them.
func (d *Dispatcher) Stats() Stats {
	s := Stats{map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}}
	for _, o := range d.outlets {
		t := o.traits.Type
		o.mu.Lock()
		s.Sent[t] += o.sent
		s.Failed[t] += o.failed
		s.Refused[t] += o.refused
		o.mu.Unlock()
		s.Waiting[t] += int64(o.queue.Len())
		s.Dropped[t] += o.queue.Dropped()
	}
	return s
}

// meters tell how the queues are. Labels are words of ours.
type meters struct {
	metrics.BaseStableCollector
	d                       *Dispatcher
	sends, waiting, dropped *metrics.Desc
}

// Register registers the metrics, once, with a registry such as legacyregistry.
func (d *Dispatcher) Register(collector func(metrics.StableCollector) error) error {
	desc := func(name, help string, labels ...string) *metrics.Desc {
		return metrics.NewDesc("gatehouse_alert_"+name, help, labels, nil, metrics.ALPHA, "")
	}
	return collector(&meters{
		d:       d,
		sends:   desc("sends_total", "Attempts to send alerts to a sink, by result: success, failure (it is tried again); and alerts that a sink refused and that are dropped: refused.", "sink_type", "result"),
		waiting: desc("queue_alerts", "Alerts that wait for a sink.", "sink_type"),
		dropped: desc("queue_dropped_alerts_total", "Alerts that were dropped because too many waited for a sink, or their file was damaged.", "sink_type"),
	})
}

// DescribeWithStability implements metrics.StableCollector.
func (m *meters) DescribeWithStability(to chan<- *metrics.Desc) {
	to <- m.sends
	to <- m.waiting
	to <- m.dropped
}

// CollectWithStability implements metrics.StableCollector.
func (m *meters) CollectWithStability(to chan<- metrics.Metric) {
	s := m.d.Stats()
	for t := range s.Sent {
		to <- metrics.NewLazyConstMetric(m.sends, metrics.CounterValue, float64(s.Sent[t]), t, "success")
		to <- metrics.NewLazyConstMetric(m.sends, metrics.CounterValue, float64(s.Failed[t]), t, "failure")
		to <- metrics.NewLazyConstMetric(m.sends, metrics.CounterValue, float64(s.Refused[t]), t, "refused")
		to <- metrics.NewLazyConstMetric(m.waiting, metrics.GaugeValue, float64(s.Waiting[t]), t)
		to <- metrics.NewLazyConstMetric(m.dropped, metrics.CounterValue, float64(s.Dropped[t]), t)
	}
}
