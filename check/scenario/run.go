package scenario

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// Result is what became of one request of a scenario.
type Result struct {
	Request *Request
	// Got is what is said of it; to be compared with Request.Want.
	Got string
	// Err says why nothing is.
	Err error
	// Verdict has more of it than a scenario states; nil with Err.
	Verdict *check.Verdict
}

// Passed reports whether what is said is what was wanted.
func (r *Result) Passed() bool { return r.Err == nil && !r.Request.Missing && r.Got == r.Request.Want }

// Run asks a scenario's requests of a Judge that judge makes of its policies and
// objects. Policies that do not compile are what the scenario is about, or wrong:
// they are said before the verdict of each request.
func Run(ctx context.Context, s *Scenario, judge func([]policy.Object, []*unstructured.Unstructured) (*check.Judge, error)) ([]Result, error) {
	j, err := judge(s.Policies, s.Cluster)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(s.Requests))
	for i := range s.Requests {
		r := &results[i]
		r.Request = &s.Requests[i]
		if r.Verdict, r.Err = j.Ask(ctx, &r.Request.Spec); r.Err == nil {
			r.Got = Problems(j.Loaded.Problems) + Said(r.Verdict.Trace)
		}
	}
	return results, nil
}

// Problems is a line for each policy that is not in force as it is written.
func Problems(all []policy.Problem) (text string) {
	for _, p := range all {
		source := p.Source
		source.File, source.Line = "", 0
		text += "wrong " + gate.Plain(source.String()+": "+p.Message) + "\n"
	}
	return text
}
