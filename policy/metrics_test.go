package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// counted are the results that were counted: "denies deny 1".
func counted(t *testing.T, registry metrics.KubeRegistry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := m.GetCounter().GetValue(); n > 0 {
				fmt.Fprintf(&out, "%s %s %v\n", labels["policy"], labels["result"], n)
			}
		}
	}
	return out.String()
}

func TestMetricsTellWhatBecameOfRequests(t *testing.T) {
	m := NewMetrics()
	registry := metrics.NewKubeRegistry()
	for _, r := range m.Registerables() {
		registry.MustRegister(r)
	}
	broken := &mutator{named: named{source("breaks"), everything}, how: Mutation{IgnoreFailure: true}, do: func(map[string]any) error { return errors.New("no") }}
	x, err := NewException(exception("x", v1alpha1.ExceptionSpec{Policies: []v1alpha1.ExceptedPolicy{{Name: "let"}}, Match: &v1alpha1.ExceptionMatch{Kinds: []string{"Pod"}}}), gate.Source{Kind: "Exception", Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet([]Policy{
		denies("denies"), denies("let"), says("passes"), says("warns", Result{Actions: []Action{Warn, Audit}}), says("audits", Result{Actions: []Action{Audit}}),
		says("fails", Result{Actions: []Action{Deny}, Err: errors.New("no")}), says("ignored", Result{Err: errors.New("no")}),
		mutates("mutates", func(o map[string]any) { o["x"] = "y" }), broken,
	}, Options{Now: clock, Metrics: m, Exceptions: NewExceptions([]*Exception{x})})
	r := creation(pod("web"))
	set.Mutate(context.Background(), r)
	set.Validate(context.Background(), r)
	background := creation(pod("web"))
	background.Background = true
	set.Validate(context.Background(), background)
	want := `audits audit 1
breaks error 2
denies deny 1
fails error 1
ignored error 1
let excepted 1
mutates mutate 1
passes pass 1
warns warn 1
`
	if got := counted(t, registry); got != want {
		t.Errorf("counted\n%s\nwant\n%s", got, want)
	}
	if n, err := testutil.GetHistogramMetricCount(m.durations.WithLabelValues("Fake", "denies")); err != nil || n != 1 {
		t.Errorf("%d durations of denies: %v", n, err)
	}
}

func TestMetricsAreBounded(t *testing.T) {
	m := NewMetrics()
	registry := metrics.NewKubeRegistry()
	for _, r := range m.Registerables() {
		registry.MustRegister(r)
	}
	var policies []Policy
	for i := range 3 * mostMetered {
		policies = append(policies, says(fmt.Sprintf("p%04d", i)))
	}
	for range 2 { // another version of each is no other policy
		NewSet(policies, Options{Metrics: m}).Validate(context.Background(), creation(pod("web")))
	}
	if got := strings.Count(counted(t, registry), "\n"); got != mostMetered+1 {
		t.Errorf("%d policies are counted, want %d and the others together", got, mostMetered)
	}
}
