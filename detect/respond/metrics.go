package respond

import "k8s.io/component-base/metrics"

// Values of the label result.
const (
	resultMade      = "made"
	resultKept      = "kept"
	resultDryRun    = "dry_run"
	resultProtected = "protected"
	resultFailed    = "failed"
)

type meters struct{ responses *metrics.CounterVec }

func newMeters() *meters {
	return &meters{metrics.NewCounterVec(&metrics.CounterOpts{Name: "gatehouse_detect_responses_total", StabilityLevel: metrics.ALPHA,
		Help: "Responses to findings by kind, and what became of them: made, kept (there was one), dry_run, protected (whom it would have met is left alone), or failed."},
		[]string{"kind", "result"})}
}

func (m *meters) count(kind, result string) { m.responses.WithLabelValues(kind, result).Inc() }

// Register registers the metrics, once, with a registry such as legacyregistry.
func (r *Responder) Register(one func(metrics.Registerable) error) error {
	return one(r.meters.responses)
}
