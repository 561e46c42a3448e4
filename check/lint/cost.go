package lint

import (
	"fmt"
	"math"

	"github.com/google/cel-go/checker"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Cost is what one evaluation of a policy may come to, in the units of an API server.
type Cost struct {
	Least, Most uint64
	// Grows says that it depends on the size of the object: there is no Most.
	Grows bool
}

// Budget is what an API server allows one policy for one request.
const Budget = celconfig.RuntimeCELCostBudget

// CostOf estimates the cost of a policy of CEL: of all of its expressions, each once.
// It is false where nothing can be known: another language, or what does not compile.
func (e *Environments) CostOf(o policy.Object) (Cost, bool) {
	all := expressionsOf(o)
	if len(all) == 0 {
		return Cost{}, false
	}
	var sum Cost
	for i := range all {
		env, err := e.of(o, last-1, environment.StoredExpressions)
		if err != nil {
			return Cost{}, false
		}
		ast, issues := env.Compile(all[i].text)
		if issues != nil && issues.Err() != nil {
			return Cost{}, false
		}
		estimate, err := env.EstimateCost(ast, &library.CostEstimator{SizeEstimator: unknownSizes{}}, checker.PresenceTestHasCost(false))
		if err != nil {
			return Cost{}, false
		}
		sum.Least += estimate.Min
		if sum.Grows = sum.Grows || estimate.Max >= math.MaxUint32; !sum.Grows {
			sum.Most += estimate.Max
		}
	}
	return sum, true
}

// String is for a person.
func (c Cost) String() string {
	switch {
	case c.Grows:
		return fmt.Sprintf("CEL from %d, grows with the object", c.Least)
	case c.Least == c.Most:
		return fmt.Sprintf("CEL %d", c.Least)
	}
	return fmt.Sprintf("CEL %d to %d", c.Least, c.Most)
}

// unknownSizes knows the size of nothing.
type unknownSizes struct{}

func (unknownSizes) EstimateSize(checker.AstNode) *checker.SizeEstimate { return nil }

func (unknownSizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
