package policy

import (
	"sync"
	"time"

	"k8s.io/component-base/metrics"

	"github.com/gatehouse-io/gatehouse/gate"
)

// mostMetered is how many policies have metrics of their own; the others share those
// with empty labels. A policy keeps its place until the process ends.
const mostMetered = 250

// Metrics are what requests cost, and what became of them, by policy. Labels hold
// names of policies alone, never those of objects or users.
type Metrics struct {
	durations *metrics.HistogramVec
	results   *metrics.CounterVec
	known     *metrics.Counter

	mu     sync.Mutex
	meters map[gate.Source]*meter
}

// meter is the metrics of one policy.
type meter struct {
	duration metrics.ObserverMetric
	results  [len(results)]metrics.CounterMetric
	known    *metrics.Counter // shared by all
}

// result is what a policy said of a request, the worst of it.
type result int

const (
	passed result = iota
	denied
	failed // it could not be evaluated
	warned
	audited
	letThrough // by an Exception
	changed
)

var results = [...]string{passed: "pass", denied: "deny", failed: "error", warned: "warn", audited: "audit", letThrough: "excepted", changed: "mutate"}

// NewMetrics makes them. They are registered before a Set is made with them.
func NewMetrics() *Metrics {
	return &Metrics{
		durations: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Name: "gatehouse_policy_evaluation_duration_seconds", StabilityLevel: metrics.ALPHA,
			Help:    "How long a policy took for a request, by policy; of policies that are evaluated together the first has it all.",
			Buckets: []float64{.00001, .00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10},
		}, []string{"kind", "policy"}),
		results: metrics.NewCounterVec(&metrics.CounterOpts{
			Name: "gatehouse_policy_results_total", StabilityLevel: metrics.ALPHA,
			Help: "What policies said of requests, by policy: pass, deny, warn, audit, excepted, error or mutate, the worst of it.",
		}, []string{"kind", "policy", "result"}),
		known: metrics.NewCounter(&metrics.CounterOpts{
			Name: "gatehouse_policy_known_total", StabilityLevel: metrics.ALPHA,
			Help: "How often a policy was not evaluated, since it had nothing to say of a request that was equal in all that it reads; its result is pass, where it is counted.",
		}),
		meters: map[gate.Source]*meter{},
	}
}

// Registerables are for a registry.
func (m *Metrics) Registerables() []metrics.Registerable {
	return []metrics.Registerable{m.durations, m.results, m.known}
}

// of is the meter of a policy: the same for each version of it.
func (m *Metrics) of(p Policy) *meter {
	source := p.Source()
	key := gate.Source{Kind: source.Kind, Namespace: source.Namespace, Name: source.Name, Part: source.Part}
	m.mu.Lock()
	defer m.mu.Unlock()
	if found := m.meters[key]; found != nil {
		return found
	}
	if len(m.meters) >= mostMetered {
		key = gate.Source{}
		if found := m.meters[key]; found != nil {
			return found
		}
	}
	name := key.Name
	if key.Namespace != "" {
		name = key.Namespace + "/" + name
	}
	if key.Part != "" {
		name += "/" + key.Part
	}
	fresh := &meter{duration: m.durations.WithLabelValues(key.Kind, name), known: m.known}
	for i, result := range results {
		fresh.results[i] = m.results.WithLabelValues(key.Kind, name, result)
	}
	m.meters[key] = fresh
	return fresh
}

// meter is that of a policy for a request; nil where nothing counts it: an object
// that is judged in the background is no request.
func (s *Set) meter(p Policy, r *Request) *meter {
	if s.meters == nil || r.Background {
		return nil
	}
	return s.meters[p]
}

// meterFor is meter for a validator.
func (j *judge) meterFor(r *Request) *meter {
	if r.Background {
		return nil
	}
	return j.meter
}

// countKnown counts a policy that was not evaluated, since it is known what comes of it.
func (m *meter) countKnown() {
	if m != nil {
		m.results[passed].Inc()
		m.known.Inc()
	}
}

// addKnown counts n of them whose results somebody else counts.
func (m *Metrics) addKnown(r *Request, n int) {
	if m != nil && !r.Background {
		m.known.Add(float64(n))
	}
}

func (m *meter) count(what result, took time.Duration) {
	if m == nil {
		return
	}
	m.duration.Observe(took.Seconds())
	m.results[what].Inc()
}

// tally is how much an Outcome held before a policy was asked.
type tally struct{ denials, warnings, audits, excepted, ignored int }

func (o *Outcome) tally() tally {
	return tally{len(o.Denials), len(o.Warnings), len(o.Audits), len(o.Excepted), len(o.Ignored)}
}

// since is the worst that came into an Outcome since a tally.
func (o *Outcome) since(t tally) result {
	for i := range o.Denials[t.denials:] {
		if o.Denials[t.denials+i].Err == nil {
			return denied
		}
	}
	switch {
	case len(o.Denials) > t.denials || len(o.Ignored) > t.ignored:
		return failed
	case len(o.Warnings) > t.warnings:
		return warned
	case len(o.Audits) > t.audits:
		return audited
	case len(o.Excepted) > t.excepted:
		return letThrough
	}
	return passed
}
