package meter

import (
	"sync/atomic"
	"time"

	"k8s.io/component-base/metrics"
)

// sampled is how many decisions there are to one that is timed; a power of two.
const sampled = 64

// Decisions count what a gate decides. A nil one counts nothing. It is safe for
// concurrent use.
type Decisions struct {
	verdicts []string
	counts   []counter // one a verdict
	begun    counter
	duration *metrics.Histogram
	family   Family
}

// counter has a line of the processor's cache to itself, so that processors that count
// different verdicts do not wait for each other.
type counter struct {
	atomic.Uint64
	_ [56]byte
}

// NewDecisions makes the metrics gatehouse_SUBSYSTEM_decisions_total{verdict} and
// gatehouse_SUBSYSTEM_decision_duration_seconds.
func NewDecisions(subsystem string, verdicts ...string) *Decisions {
	d := &Decisions{verdicts: verdicts, counts: make([]counter, len(verdicts))}
	d.duration = metrics.NewHistogram(&metrics.HistogramOpts{
		Name: "gatehouse_" + subsystem + "_decision_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "How long a decision took, of one in 64 of them.",
		Buckets: []float64{1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 1e-4, .001, .01, .1, 1, 10},
	})
	d.family = Family{
		Name: "gatehouse_" + subsystem + "_decisions_total", Help: "Decisions by what they were.",
		Labels: []string{"verdict"}, Counter: true,
		Read: func() (all []Value) {
			for i := range d.counts {
				all = append(all, Of(verdicts[i], float64(d.counts[i].Load())))
			}
			return all
		},
	}
	return d
}

// Begin notes that a decision begins; what it returns is for End.
func (d *Decisions) Begin() (begun time.Time) {
	if d != nil && d.begun.Add(1)%sampled == 1 {
		begun = time.Now()
	}
	return begun
}

// End counts a decision by the number of its verdict.
func (d *Decisions) End(begun time.Time, verdict int) {
	if d == nil {
		return
	}
	d.counts[verdict].Add(1)
	if !begun.IsZero() {
		d.duration.Observe(time.Since(begun).Seconds())
	}
}

// Family is the counts, for a Collector.
func (d *Decisions) Family() Family { return d.family }

// Registerable is the durations, for a registry.
func (d *Decisions) Registerable() metrics.Registerable { return d.duration }
