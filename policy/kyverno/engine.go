package kyverno

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatehouse-io/gatehouse/policy"
)

// classic are the kinds of the group kyverno.io that state policies, or exceptions from
// them. Of the group policies.kyverno.io all do.
var classic = []string{"ClusterPolicy", "Policy", "PolicyException", "ClusterCleanupPolicy", "CleanupPolicy"}

type engine struct{}

// New is the engine.
func New() policy.Engine { return engine{} }

// Name implements policy.Engine.
func (engine) Name() string { return "kyverno" }

// Reads implements policy.Engine.
func (engine) Reads(kind schema.GroupKind) bool {
	return kind.Group == "policies.kyverno.io" || kind.Group == "kyverno.io" && slices.Contains(classic, kind.Kind)
}

// Compile implements policy.Engine.
func (engine) Compile(objects []policy.Object) (loaded policy.Loaded) {
	for _, o := range objects {
		loaded.Problems = append(loaded.Problems, policy.Problem{Source: o.Source, Foreign: true,
			Message: "policies of Kyverno are not read yet: they come in the next round",
			Hint:    "leave Kyverno in charge of it until then, or write it as a ValidatingAdmissionPolicy"})
	}
	return loaded
}
