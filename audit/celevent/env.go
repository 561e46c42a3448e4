package celevent

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"github.com/google/cel-go/interpreter"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/library"
)

// Bool is the result of a condition, for Env.Compile.
var Bool = cel.BoolType

// MaxExpression is the longest expression in bytes.
const MaxExpression = 10240

// Options of an Env. The zero value is usable.
type Options struct {
	// CostLimit bounds one evaluation, in CEL's units of cost. Default: what Kubernetes
	// gives one call of an admission policy, a million, which is some tenth of a second.
	CostLimit uint64
	// Extend adds variables and functions. A variable is looked up in Activation.Rest.
	Extend []cel.EnvOption
}

// Env is where expressions are compiled. Making one takes some milliseconds.
type Env struct {
	env   *cel.Env
	limit uint64
}

// NewEnv makes an Env.
func NewEnv(o Options) (*Env, error) {
	if o.CostLimit == 0 {
		o.CostLimit = celconfig.PerCallLimit
	}
	// These are the libraries of k8s.io/apiserver/pkg/cel/environment, without the one
	// that asks an authorizer. Its environment is not taken as it is because it counts
	// the cost of every evaluation.
	base, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(),
		cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(),
		cel.CostEstimatorOptions(checker.PresenceTestHasCost(false)),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals()),
		ext.Strings(ext.StringsVersion(2)), ext.Sets(), ext.Lists(ext.ListsVersion(3)), ext.TwoVarComprehensions(),
		library.URLs(), library.Regex(), library.Lists(library.ListsVersion(1)), library.Quantity(), library.IP(), library.CIDR(),
		library.Format(), library.SemverLib(library.SemverVersion(1)),
	)
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	p := newProvider(base.CELTypeProvider(), base.CELTypeAdapter())
	env, err := base.Extend(append([]cel.EnvOption{
		cel.CustomTypeAdapter(p), cel.CustomTypeProvider(p), cel.Variable(variable, eventType),
	}, o.Extend...)...)
	if err != nil {
		return nil, fmt.Errorf("make CEL environment: %w", err)
	}
	return &Env{env, o.CostLimit}, nil
}

// SyntaxError is what is wrong with an expression, and where.
type SyntaxError struct {
	// Line and Col begin at 1; 0 where no place is known.
	Line, Col int
	Message   string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Message)
}

// Compile compiles an expression whose result is of a type, such as Bool. What is wrong
// with the expression is a SyntaxError.
func (e *Env) Compile(expression string, result *types.Type) (*Program, error) {
	if len(expression) > MaxExpression {
		return nil, &SyntaxError{Message: fmt.Sprintf("the expression is %d bytes long, more than %d", len(expression), MaxExpression)}
	}
	checked, issues := e.env.Compile(expression)
	if issues != nil && len(issues.Errors()) > 0 {
		first := issues.Errors()[0]
		return nil, &SyntaxError{Line: first.Location.Line(), Col: first.Location.Column() + 1, Message: first.Message}
	}
	if got := checked.OutputType(); !result.IsAssignableType(got) && !(got.IsExactType(types.DynType) && result.IsExactType(Bool)) {
		return nil, &SyntaxError{Message: fmt.Sprintf("the expression gives %s, not %s", got, result)}
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.InterruptCheckFrequency(interruptEvery)}
	estimate, err := e.env.EstimateCost(checked, &library.CostEstimator{})
	if err != nil || estimate.Max > e.limit {
		options = []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost), cel.InterruptCheckFrequency(interruptEvery), cel.CostLimit(e.limit),
			cel.CostTrackerOptions(interpreter.PresenceTestHasCost(false)), cel.CostTracking(&library.CostEstimator{})}
	}
	// A plan holds a table of every function there is, some 60 KB. Most expressions of
	// a set of rules are never evaluated by CEL, so this one only shows that it can be
	// made, where it does more than to name a field.
	plan := func() (cel.Program, error) { return e.env.Program(checked, options...) }
	if !onlyNames(checked) {
		if _, err := plan(); err != nil {
			return nil, &SyntaxError{Message: err.Error()}
		}
	}
	p := &Program{expression: expression, plan: sync.OnceValues(plan), counted: len(options) > 2, checked: checked}
	p.fields, p.bodies = mentions(checked)
	return p, nil
}

// interruptEvery is after how many rounds of a comprehension the context is asked.
const interruptEvery = 100
