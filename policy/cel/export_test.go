package cel

import (
	celgo "github.com/google/cel-go/cel"

	"github.com/gatehouse-io/gatehouse/policy"
)

// Analyzing is the environment by which expressions are analyzed.
func (c *Compiler) Analyzing() *celgo.Env { return c.analyzing }

// PartsOf are the parts that the expressions of some rules read.
func (c *Compiler) PartsOf(rules Rules) ([]policy.Read, bool) {
	known := newReads(c.analyzing, &rules, &plain{}, 1)
	return known.parts, known.ok
}
