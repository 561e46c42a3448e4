package mounts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check/scenario"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/test/e2e/server"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

const scenarios = "../../scenarios"

// TestScenarios asks every scenario of a running server, by RequestReviews, and of the
// command line, which needs none: both must say what the scenario wants.
func TestScenarios(t *testing.T) {
	out, errs, code := server.Command(t, "test", scenarios)
	if code != 0 {
		t.Errorf("gatehouse test: exit code %d\n%s%s", code, out, errs)
	}
	s := server.Start(t, server.Options{})
	c := server.ObjectsOf(t, s.AdminConfig(t))
	files, err := filepath.Glob(filepath.Join(scenarios, "*.txtar"))
	passes(t, err)
	requests, passed := 0, 0
	for _, file := range files {
		if t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			passes(t, err)
			sc, err := scenario.Parse(file, data)
			passes(t, err)
			c.Apply(t, sc.Cluster...)
			for _, p := range sc.Policies {
				c.Apply(t, p.Unstructured)
			}
			requests += len(sc.Requests)
			// Policies come into force within a moment, and those of the scenario before
			// are gone within one.
			server.Eventually(t, time.Minute, func(ctx context.Context) error {
				for i := range sc.Requests {
					r := &sc.Requests[i]
					got, err := ask(ctx, c, &r.Spec)
					if err != nil {
						return err
					}
					if want := withoutProblems(r.Want); got != want {
						return fmt.Errorf("request%s: serve says\n%swanted\n%s", r.Name, got, want)
					}
				}
				return nil
			})
		}) {
			passed++
		}
	}
	t.Logf("%d requests", requests)
	tally.Of(t, "scenarios under serve and without a server", passed, len(files))
	if len(files) < 40 {
		t.Errorf("there are %d scenarios", len(files))
	}
}

// withoutProblems leaves out what a server says in the status of a policy.
func withoutProblems(want string) string {
	var b strings.Builder
	for line := range strings.Lines(want) {
		if !strings.HasPrefix(line, "wrong ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// ask creates a RequestReview and returns what admission says, as a scenario has it.
func ask(ctx context.Context, c *server.Objects, spec *v1alpha1.RequestReviewSpec) (string, error) {
	review := &v1alpha1.RequestReview{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "RequestReview"}, Spec: *spec}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(review)
	if err != nil {
		return "", err
	}
	made, err := c.Client.Resource(v1alpha1.SchemeGroupVersion.WithResource("requestreviews")).Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	var answer v1alpha1.RequestReview
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(made.Object, &answer); err != nil {
		return "", err
	}
	return scenario.Said(traceOf(&answer)), nil
}

// traceOf reads the trace back from a review's status.
func traceOf(r *v1alpha1.RequestReview) *gate.Trace {
	trace := &gate.Trace{}
	for _, s := range r.Status.Steps {
		step := gate.Step{Gate: s.Gate, Part: s.Part, Opinion: gate.Opinion(s.Opinion), Reason: s.Reason, Patch: []byte(s.Patch)}
		for _, source := range s.Sources {
			step.Sources = append(step.Sources, gate.Source{Kind: source.Kind, Namespace: source.Namespace, Name: source.Name, Part: source.Part})
		}
		trace.Steps = append(trace.Steps, step)
	}
	return trace
}
