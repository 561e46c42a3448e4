package meter

import (
	"fmt"

	"k8s.io/component-base/metrics"
)

// Registry is where metrics are told: the two functions of legacyregistry of these names.
type Registry struct {
	Register       func(metrics.Registerable) error
	CustomRegister func(metrics.StableCollector) error
}

// Add registers families and the durations of decisions, with their counts.
func (r Registry) Add(decided []*Decisions, all ...Family) error {
	for _, d := range decided {
		if err := r.Register(d.Registerable()); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
		all = append(all, d.Family())
	}
	if err := r.CustomRegister(Collector(all...)); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}
