package cel

import (
	"context"
	"fmt"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	v1 "k8s.io/api/admissionregistration/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Rules are what a policy of any language states in CEL. They see object, oldObject,
// request, namespaceObject, authorizer, the variables and, if declared, params.
type Rules struct {
	// Name is told in metrics.
	Name string
	// Params declares params, which may be null all the same.
	Params bool
	// Variables in their order: each sees those before it, and every other rule
	// sees them all.
	Variables []v1.Variable
	// MatchConditions must all hold for the validations to be asked.
	MatchConditions []v1.MatchCondition
	// Validations must all hold. Their message expressions see no authorizer.
	Validations []v1.Validation
	// AuditAnnotations are computed whatever the validations come to.
	AuditAnnotations []v1.AuditAnnotation
	// FailurePolicy of what cannot be evaluated. Default: Fail.
	FailurePolicy *v1.FailurePolicyType
}

// Fault is an expression that does not compile.
type Fault struct {
	// Path is where it stands: validations[0].messageExpression.
	Path string
	Err  error
}

func (f Fault) Error() string { return fmt.Sprintf("%s: %v", f.Path, f.Err) }

// Compiler makes programs of rules. It is safe for concurrent use.
type Compiler struct {
	// base is what every expression can use, in the version this server is of.
	base *environment.EnvSet
	// plain is for all rules without variables: an environment costs milliseconds
	// and some hundred kilobytes.
	plain *plugincel.CompositedCompiler
	// analyzing is for finding out what expressions read.
	analyzing *celgo.Env
}

// NewCompiler builds the environments.
func NewCompiler() (*Compiler, error) {
	base := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	plain, err := plugincel.NewCompositedCompiler(base)
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	analyzing, err := newAnalyzing(base)
	if err != nil {
		return nil, fmt.Errorf("build CEL environment: %w", err)
	}
	return &Compiler{base: base, plain: plain, analyzing: analyzing}, nil
}

// Compile makes a Program. Where there are faults it is one all the same: what does
// not compile is then an evaluation that failed, as it is in an API server.
func (c *Compiler) Compile(rules Rules) (*Program, []Fault) {
	all := plugincel.OptionalVariableDeclarations{HasParams: rules.Params, HasAuthorizer: true}
	return c.compile(rules, visible{variables: all, rules: all, messages: plugincel.OptionalVariableDeclarations{HasParams: rules.Params}}, celconfig.RuntimeCELCostBudget)
}

// visible is what the expressions of each part of some rules see.
type visible struct {
	variables, rules, messages plugincel.OptionalVariableDeclarations
}

// compile takes the budget of an evaluation.
func (c *Compiler) compile(rules Rules, see visible, budget int64) (*Program, []Fault) {
	s, err := c.scope(rules.Variables, see.variables)
	if err != nil {
		return &Program{validator: validating.NewValidator(nil, nil, nil, nil, rules.FailurePolicy, err)}, s.faults
	}
	s.declared = see.rules
	matcher := s.matcher(rules.MatchConditions, rules.FailurePolicy, rules.Name)
	conditions := s.compiled

	validations := make([]plugincel.ExpressionAccessor, len(rules.Validations))
	messages := make([]plugincel.ExpressionAccessor, 0, len(rules.Validations))
	for i := range rules.Validations {
		v := &rules.Validations[i]
		validations[i] = &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason}
		if v.MessageExpression != "" {
			messages = append(messages, make([]plugincel.ExpressionAccessor, i-len(messages))...)
			messages = append(messages, &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression})
		}
	}
	annotations := make([]plugincel.ExpressionAccessor, len(rules.AuditAnnotations))
	for i := range rules.AuditAnnotations {
		a := &rules.AuditAnnotations[i]
		annotations[i] = &validating.AuditAnnotationCondition{Key: a.Key, ValueExpression: a.ValueExpression}
	}
	checks := s.conditions("validations[%d].expression", validations, see.rules)
	p := &Program{budget: budget, plain: newPlain(&rules, conditions, s.compiled, s.variables), validator: validating.NewValidator(
		checks, matcher,
		s.conditions("auditAnnotations[%d].valueExpression", annotations, see.rules),
		s.conditions("validations[%d].messageExpression", messages, see.messages),
		rules.FailurePolicy, nil)}
	p.reads = newReads(c.analyzing, &rules, p.plain, budget)
	return p, s.faults
}

// scope is where expressions of one policy are compiled: its variables are known.
type scope struct {
	*plugincel.CompositedCompiler
	declared plugincel.OptionalVariableDeclarations
	faults   []Fault
	// variables are those of the rules; nil where they have none.
	variables *variableSet
	// compiled are the conditions that were compiled last.
	compiled []plugincel.CompilationResult
}

func (c *Compiler) scope(variables []v1.Variable, declared plugincel.OptionalVariableDeclarations) (*scope, error) {
	s := &scope{declared: declared}
	if len(variables) == 0 {
		s.CompositedCompiler = c.plain
		return s, nil
	}
	own, err := plugincel.NewCompositedCompiler(c.base)
	if err != nil {
		s.fault("variables", err)
		return s, err
	}
	s.CompositedCompiler = own
	s.variables = &variableSet{names: map[string]int{}}
	for i, v := range variables {
		result := own.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, s.declared, environment.StoredExpressions)
		if result.Error != nil {
			s.fault(fmt.Sprintf("variables[%d].expression", i), result.Error)
		}
		s.variables.add(v.Name, result)
	}
	s.variables.typeOf, _ = own.CreateContext(context.Background()).Variables(nil).Type().(*types.Type)
	return s, nil
}

func (s *scope) fault(path string, err error) { s.faults = append(s.faults, Fault{path, err}) }

// matcher is nil where there are no conditions.
func (s *scope) matcher(conditions []v1.MatchCondition, failure *v1.FailurePolicyType, name string) matchconditions.Matcher {
	if len(conditions) == 0 {
		return nil
	}
	of := make([]plugincel.ExpressionAccessor, len(conditions))
	for i := range conditions {
		of[i] = (*matchconditions.MatchCondition)(&conditions[i])
	}
	return matchconditions.NewMatcher(s.conditions("matchConditions[%d].expression", of, s.declared), failure, "policy", "validate", name)
}

// conditions compiles expressions; path has the place of their index.
func (s *scope) conditions(path string, of []plugincel.ExpressionAccessor, declared plugincel.OptionalVariableDeclarations) plugincel.ConditionEvaluator {
	watched := *s.CompositedCompiler
	watched.ConditionCompiler = watching{s, path}
	return watched.CompileCondition(of, declared, environment.StoredExpressions)
}

// watching is upstream's compiler of conditions, which tells which one has a fault.
type watching struct {
	scope *scope
	path  string
}

func (w watching) CompileCondition(of []plugincel.ExpressionAccessor, declared plugincel.OptionalVariableDeclarations, mode environment.Type) plugincel.ConditionEvaluator {
	results := make([]plugincel.CompilationResult, len(of))
	for i, expression := range of {
		if expression == nil {
			continue
		}
		results[i] = w.scope.CompileCELExpression(expression, declared, mode)
		if results[i].Error != nil {
			w.scope.fault(fmt.Sprintf(w.path, i), results[i].Error)
		}
	}
	w.scope.compiled = results
	return plugincel.NewCondition(results)
}
