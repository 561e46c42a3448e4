package kyverno_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/kyverno"
)

func TestEachIsRefused(t *testing.T) {
	of := func(apiVersion, kind string) policy.Object {
		return policy.Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "one"}}}, Source: gate.Source{Kind: kind, Name: "one"}}
	}
	loaded, others := policy.Load([]policy.Engine{kyverno.New()}, []policy.Object{
		of("kyverno.io/v1", "ClusterPolicy"), of("kyverno.io/v1", "Policy"), of("kyverno.io/v2", "PolicyException"), of("kyverno.io/v2", "ClusterCleanupPolicy"),
		of("policies.kyverno.io/v1", "ValidatingPolicy"), of("policies.kyverno.io/v1alpha1", "ImageValidatingPolicy"),
		of("kyverno.io/v2", "UpdateRequest"), of("reports.kyverno.io/v1", "EphemeralReport"), of("v1", "Policy"),
	})
	if len(loaded.Policies) != 0 || len(others) != 3 {
		t.Errorf("%d policies, %d others", len(loaded.Policies), len(others))
	}
	if len(loaded.Problems) != 6 {
		t.Fatalf("problems: %+v", loaded.Problems)
	}
	for _, p := range loaded.Problems {
		if !strings.Contains(p.Message, "they come in the next round") || p.Hint == "" || !p.Foreign || p.InForce || p.Source.Name != "one" {
			t.Errorf("problem %+v", p)
		}
	}
}
