package attach

import (
	"strconv"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/gatehouse-io/gatehouse/policy"
)

// The metrics of the server. No label holds a name of a user or an object.
var (
	requests = metrics.NewCounterVec(&metrics.CounterOpts{
		Name: "gatehouse_attach_requests_total", StabilityLevel: metrics.ALPHA,
		Help: "Requests by endpoint and HTTP status code.",
	}, []string{"endpoint", "code"})

	verdicts = metrics.NewCounterVec(&metrics.CounterOpts{
		Name: "gatehouse_attach_verdicts_total", StabilityLevel: metrics.ALPHA,
		Help: "Reviews that were answered, by endpoint and what the answer was.",
	}, []string{"endpoint", "verdict"})

	durations = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name: "gatehouse_attach_request_duration_seconds", StabilityLevel: metrics.ALPHA,
		Help:    "How long requests took, by endpoint.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5, 10},
	}, []string{"endpoint"})

	working = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Name: "gatehouse_attach_reviews_in_flight", StabilityLevel: metrics.ALPHA,
		Help: "Reviews that are being worked on, by endpoint.",
	}, []string{"endpoint"})
)

var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(requests, verdicts, durations, working)
})

// policyMetrics are those of the policies.
var policyMetrics = sync.OnceValue(func() *policy.Metrics {
	m := policy.NewMetrics()
	legacyregistry.MustRegister(m.Registerables()...)
	return m
})

// count notes one request that was answered. verdict is empty for one that was
// turned away.
func count(endpoint string, code int, verdict string, took time.Duration) {
	requests.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
	durations.WithLabelValues(endpoint).Observe(took.Seconds())
	if verdict != "" {
		verdicts.WithLabelValues(endpoint, verdict).Inc()
	}
}

// inFlight notes that a review is being worked on, until what it returns is called.
func inFlight(endpoint string) (done func()) {
	gauge := working.WithLabelValues(endpoint)
	gauge.Inc()
	return gauge.Dec
}
