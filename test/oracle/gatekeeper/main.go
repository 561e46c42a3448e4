// Command gatekeeper asks Gatekeeper's own libraries, of the pinned release, what they
// make of some reviews. It reads one JSON document, a Question, and writes one, an
// Answer. Tests compare verdicts with it, and benchmarks the time it takes.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/expand"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/reader"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/path/parser"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
)

// Question is what is asked.
type Question struct {
	// CEL adds the driver of K8sNativeValidation to that of Rego.
	CEL bool
	// Templates, Constraints and Data are put in, in this order.
	Templates, Constraints, Data []*unstructured.Unstructured
	// Expand are the objects of a cluster, with mutators and ExpansionTemplates among
	// them; what becomes of each is Answer.Expanded.
	Expand []*unstructured.Unstructured
	Worlds []World
	// Tests are clusters that gator test and gator expand are asked about.
	Tests [][]*unstructured.Unstructured
	// Locations are texts to parse; Answer.Locations has the nodes of each, or null.
	Locations []string
	Reviews   []Review
	// Rounds is how often all reviews are asked again, to measure. 0: not at all.
	Rounds int
}

// Review is one that is asked about.
type Review struct {
	Request   admissionv1.AdmissionRequest
	Namespace *corev1.Namespace
	// Plain asks about the object alone, as gator does.
	Plain bool
}

// Node is one of a location.
type Node struct {
	List  bool
	Name  string
	Value any
	All   bool
}

// Answer is what came of it.
type Answer struct {
	// Errors are of templates, constraints, data and expansion, in this order.
	Errors  []string
	Results [][]Result
	// ReviewErrors are beside Results.
	ReviewErrors []string
	Expanded     []*unstructured.Unstructured
	Worlds       []*Mutated
	Tests        []*Tested
	Locations    [][]Node

	// SetupNanoseconds is how long templates, constraints and data took.
	SetupNanoseconds int64
	// Rounds is what each cost.
	Rounds []Round
}

// Round is the cost of all reviews, once.
type Round struct {
	Nanoseconds, CPUNanoseconds int64
	Allocations, Bytes          uint64
}

// Result is one violation.
type Result struct {
	Kind, Name, Message, Action string
	Scoped                      []string
	Details                     any
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	var q Question
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	answer, err := q.answer(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func (q *Question) answer(ctx context.Context) (*Answer, error) {
	a := &Answer{}
	var opts []gator.Opt
	if q.CEL {
		opts = append(opts, gator.WithK8sCEL())
	}
	client, err := gator.NewOPAClient(false, opts...)
	if err != nil {
		return nil, err
	}
	failed := func(what string, o *unstructured.Unstructured, err error) {
		if err != nil {
			a.Errors = append(a.Errors, fmt.Sprintf("%s %s: %v", what, o.GetName(), err))
		}
	}
	begun := time.Now()
	scheme := k8sruntime.NewScheme()
	if err := apis.AddToScheme(scheme); err != nil {
		return nil, err
	}
	for _, o := range q.Templates {
		t, err := reader.ToTemplate(scheme, o)
		if err == nil {
			_, err = client.AddTemplate(ctx, t)
		}
		failed("template", o, err)
	}
	for _, o := range q.Constraints {
		_, err := client.AddConstraint(ctx, o)
		failed("constraint", o, err)
	}
	for _, o := range q.Data {
		_, err := client.AddData(ctx, o)
		failed("data", o, err)
	}
	a.SetupNanoseconds = time.Since(begun).Nanoseconds()

	if len(q.Expand) > 0 {
		if a.Expanded, err = expand.Expand(q.Expand); err != nil {
			a.Errors = append(a.Errors, "expand: "+err.Error())
		}
	}
	if len(q.Worlds) > 0 {
		watcher, err := watchedCertificate()
		if err != nil {
			return nil, err
		}
		for i := range q.Worlds {
			mutated, err := q.Worlds[i].mutate(ctx, watcher)
			if err != nil {
				return nil, err
			}
			a.Worlds = append(a.Worlds, mutated)
		}
	}
	for _, objects := range q.Tests {
		a.Tests = append(a.Tests, gatorTest(objects))
	}
	for _, text := range q.Locations {
		parsed, err := parser.Parse(text)
		var nodes []Node
		if err == nil {
			nodes = []Node{}
		}
		for _, n := range parsed.Nodes {
			switch of := n.(type) {
			case *parser.Object:
				nodes = append(nodes, Node{Name: of.Reference})
			case *parser.List:
				nodes = append(nodes, Node{List: true, Name: of.KeyField, Value: of.KeyValue, All: of.Glob})
			}
		}
		a.Locations = append(a.Locations, nodes)
	}
	asked := make([]any, len(q.Reviews))
	for i := range q.Reviews {
		r := &q.Reviews[i]
		asked[i] = target.AugmentedReview{AdmissionRequest: &r.Request, Namespace: r.Namespace, Source: types.SourceTypeOriginal, IsAdmission: true}
		if r.Plain {
			o := &unstructured.Unstructured{}
			if err := o.UnmarshalJSON(r.Request.Object.Raw); err != nil {
				return nil, err
			}
			asked[i] = target.AugmentedUnstructured{Object: *o, Namespace: r.Namespace, Source: types.SourceTypeOriginal}
		}
	}
	point := reviews.EnforcementPoint(util.GatorEnforcementPoint)
	for _, one := range asked {
		found, err := client.Review(ctx, one, point)
		results := []Result{}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if found != nil {
			for _, r := range found.Results() {
				results = append(results, Result{r.Constraint.GetKind(), r.Constraint.GetName(), r.Msg, r.EnforcementAction, r.ScopedEnforcementActions, r.Metadata["details"]})
			}
		}
		slices.SortFunc(results, func(a, b Result) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Message, b.Message))
		})
		a.Results, a.ReviewErrors = append(a.Results, results), append(a.ReviewErrors, text)
	}
	for range q.Rounds {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cpu, begun := cpuTime(), time.Now()
		for _, one := range asked {
			if _, err := client.Review(ctx, one, point); err != nil {
				return nil, err
			}
		}
		took := time.Since(begun)
		used := cpuTime() - cpu
		runtime.ReadMemStats(&after)
		a.Rounds = append(a.Rounds, Round{took.Nanoseconds(), used.Nanoseconds(), after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc})
	}
	return a, nil
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
