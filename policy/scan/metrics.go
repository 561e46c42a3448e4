package scan

import (
	"sync/atomic"
	"time"

	kmetrics "k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
)

// counts are what a Scanner counts.
type counts struct {
	judgements [len(reasons)]atomic.Int64
	spent      atomic.Int64 // nanoseconds in policies
	failed     atomic.Int64 // lists and watches
	overflows  atomic.Int64 // of queues
	found      atomic.Bool  // the kinds to judge are known
}

func (m *counts) judged(took time.Duration) { m.spent.Add(int64(took)) }

// Progress is how far the scan is.
type Progress struct {
	// Kinds are judged; Settled of them have no list to go through.
	Kinds, Settled int
	// Objects there are, and how many of them are settled: judged by what is in force.
	// An object that changes meanwhile is judged within moments and not counted.
	Objects, Done int64
}

// Ready reports whether every object has been judged by what is in force.
func (p Progress) Ready() bool { return p.Kinds == p.Settled }

// Progress tells how far the scan is. ok is false before the policies and kinds are
// known.
func (s *Scanner) Progress() (p Progress, ok bool) {
	if !s.found.Load() {
		return p, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.running {
		p.Kinds++
		total := k.total.Load()
		p.Objects += total
		if k.settled.Load() {
			p.Settled++
			p.Done += total
		} else {
			p.Done += min(total, k.seen.Load())
		}
	}
	return p, true
}

// progressed says once that a first scan has ended.
func (s *Scanner) progressed() {
	if s.said.Load() {
		return
	}
	if p, ok := s.Progress(); ok && p.Ready() && s.said.CompareAndSwap(false, true) {
		klog.InfoS("Existing objects have been judged", "objects", p.Objects, "kinds", p.Kinds, "reported", s.reports.Len())
	}
}

// collector tells Prometheus. No label holds a name of an object, a policy or a user.
type collector struct {
	kmetrics.BaseStableCollector
	scanner                                                                               *Scanner
	evaluations, seconds, failures, overflows, objects, settled, kinds, findings, reports *kmetrics.Desc
}

// Collector gives the metrics of the Scanner.
func (s *Scanner) Collector() kmetrics.StableCollector {
	desc := func(name, help string, labels ...string) *kmetrics.Desc {
		return kmetrics.NewDesc("gatehouse_scan_"+name, help, labels, nil, kmetrics.ALPHA, "")
	}
	return &collector{
		scanner:     s,
		evaluations: desc("evaluations_total", "Existing objects that were judged, by why.", "reason"),
		seconds:     desc("evaluation_seconds_total", "Time that judging them took."),
		failures:    desc("read_failures_total", "Lists and watches of them that failed."),
		overflows:   desc("overflows_total", "Bursts with more changed objects of a kind than wait to be judged; a list has found them."),
		objects:     desc("objects", "Existing objects of the kinds that policies match."),
		settled:     desc("objects_settled", "Those of them that have been judged by the policies in force."),
		kinds:       desc("kinds", "Kinds that policies match."),
		findings:    desc("findings", "What policies say of existing objects, by result.", "result"),
		reports:     desc("reports", "Existing objects that there is something to say of."),
	}
}

// DescribeWithStability implements StableCollector.
func (c *collector) DescribeWithStability(to chan<- *kmetrics.Desc) {
	for _, d := range []*kmetrics.Desc{c.evaluations, c.seconds, c.failures, c.overflows, c.objects, c.settled, c.kinds, c.findings, c.reports} {
		to <- d
	}
}

// CollectWithStability implements StableCollector.
func (c *collector) CollectWithStability(to chan<- kmetrics.Metric) {
	gauge := func(d *kmetrics.Desc, value float64, labels ...string) {
		to <- kmetrics.NewLazyConstMetric(d, kmetrics.GaugeValue, value, labels...)
	}
	counter := func(d *kmetrics.Desc, value float64, labels ...string) {
		to <- kmetrics.NewLazyConstMetric(d, kmetrics.CounterValue, value, labels...)
	}
	s := c.scanner
	for reason := range reasons {
		counter(c.evaluations, float64(s.judgements[reason].Load()), Reason(reason).String())
	}
	counter(c.seconds, time.Duration(s.spent.Load()).Seconds())
	counter(c.failures, float64(s.failed.Load()))
	counter(c.overflows, float64(s.overflows.Load()))
	if p, ok := s.Progress(); ok {
		gauge(c.objects, float64(p.Objects))
		gauge(c.settled, float64(p.Done))
		gauge(c.kinds, float64(p.Kinds))
	}
	for v := range Pass {
		gauge(c.findings, float64(s.reports.Findings(v)), v.String())
	}
	gauge(c.reports, float64(s.reports.Len()))
}
