package cel

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"

	"github.com/gatehouse-io/gatehouse/policy"
)

// TemplateEngine is the name by which a ConstraintTemplate holds CEL.
const TemplateEngine = "K8sNativeValidation"

// Template is the CEL of a Gatekeeper ConstraintTemplate, compiled once for all of
// its constraints. It is safe for concurrent use and does not change.
type Template struct{ program *Program }

// Constraint is a Template with the parameters of one constraint.
type Constraint struct {
	program *Program
	object  *param
}

// templateSource is what a template has for the engine. generateVAP is read and not
// heeded: where it makes the API server enforce the constraint as well, both agree.
type templateSource struct {
	Variables       []v1.Variable         `json:"variables,omitempty"`
	Validations     []templateValidation  `json:"validations,omitempty"`
	MatchConditions []v1.MatchCondition   `json:"matchCondition,omitempty"` // Gatekeeper's name for them
	FailurePolicy   *v1.FailurePolicyType `json:"failurePolicy,omitempty"`
	GenerateVAP     *bool                 `json:"generateVAP,omitempty"`
}

type templateValidation struct {
	Expression        string `json:"expression,omitempty"`
	Message           string `json:"message,omitempty"`
	MessageExpression string `json:"messageExpression,omitempty"`
}

// reserved is how names begin that Gatekeeper keeps for itself.
const reserved = "gatekeeper_internal_"

// templateVariables are those that every template has, before its own.
var templateVariables = [...]v1.Variable{
	{Name: "anyObject", Expression: `has(request.operation) && request.operation == "DELETE" && object == null ? oldObject : object`},
	{Name: "params", Expression: "!has(params.spec) ? null : !has(params.spec.parameters) ? null : params.spec.parameters"},
}

// CompileTemplate makes a Template of spec.targets[0].code[].source of the engine
// K8sNativeValidation; name is the template's. It is nil where Gatekeeper would
// refuse the template. Where only expressions have faults there is one all the same:
// they fail when they are evaluated, and its failurePolicy decides, as in Gatekeeper.
//
// As there, the variables alone see params, which is the whole constraint; the other
// expressions see variables.params, which is its spec.parameters or null, and nothing
// sees an authorizer.
func (c *Compiler) CompileTemplate(name string, source map[string]any) (*Template, []Fault) {
	if source == nil {
		return nil, []Fault{{"source", fmt.Errorf("it is not an object: %s has validations there", TemplateEngine)}}
	}
	var s templateSource
	var faults []Fault
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(source, &s, true); err != nil {
		faults = append(faults, Fault{"source", err})
		if !runtime.IsStrictDecodingError(err) {
			return nil, faults
		}
	}
	if refused := s.check(); refused != nil {
		return nil, append(faults, refused...)
	}
	rules := Rules{Name: name, Params: true, MatchConditions: s.MatchConditions, FailurePolicy: s.FailurePolicy,
		Variables: append(templateVariables[:len(templateVariables):len(templateVariables)], s.Variables...)}
	setFailurePolicy(&rules.FailurePolicy)
	for _, v := range s.Validations {
		rules.Validations = append(rules.Validations, v1.Validation{Expression: v.Expression, Message: v.Message, MessageExpression: v.MessageExpression})
	}
	program, more := c.compile(rules, visible{variables: plugincel.OptionalVariableDeclarations{HasParams: true}},
		celconfig.PerCallLimit) // as Gatekeeper has it: a tenth of an API server's
	if program.plain != nil {
		program.plain.variables.template = true
	}
	for _, f := range more {
		faults = append(faults, Fault{"source." + f.templatePath(), f.Err})
	}
	return &Template{program}, faults
}

// templatePath is the path as the template has it, which has neither the variables
// that all have nor an s at matchCondition.
func (f Fault) templatePath() string {
	var i int
	if _, err := fmt.Sscanf(f.Path, "variables[%d].expression", &i); err == nil {
		return fmt.Sprintf("variables[%d].expression", i-len(templateVariables))
	}
	if rest, ok := strings.CutPrefix(f.Path, "matchConditions["); ok {
		return "matchCondition[" + rest
	}
	return f.Path
}

// check says why Gatekeeper would refuse the source; nil where it would not.
func (s *templateSource) check() []Fault {
	var faults []Fault
	for i, v := range s.Variables {
		at := fmt.Sprintf("source.variables[%d].name", i)
		switch {
		case strings.HasPrefix(v.Name, reserved):
			faults = append(faults, Fault{at, fmt.Errorf("names that begin with %s are Gatekeeper's own", reserved)})
		case v.Name == templateVariables[0].Name, v.Name == templateVariables[1].Name:
			faults = append(faults, Fault{at, fmt.Errorf("every template has a variable %s already: choose another name", v.Name)})
		}
	}
	for i, m := range s.MatchConditions {
		if strings.HasPrefix(m.Name, reserved) {
			faults = append(faults, Fault{fmt.Sprintf("source.matchCondition[%d].name", i), fmt.Errorf("names that begin with %s are Gatekeeper's own", reserved)})
		}
	}
	if p := s.FailurePolicy; p != nil && *p != v1.Fail && *p != v1.Ignore {
		faults = append(faults, Fault{"source.failurePolicy", fmt.Errorf("%q is neither Fail nor Ignore", *p)})
	}
	return faults
}

// For is the template with a constraint, whose content must not change any more.
func (t *Template) For(constraint map[string]any) *Constraint {
	if constraint == nil {
		constraint = map[string]any{}
	}
	p := newParam(constraint)
	p.value = common.SchemalessTypedToVal(p)
	if plain := t.program.plain; plain != nil {
		given := &values{params: p.value}
		p.parameters = evaluateVariable(context.Background(), templateVariables[1].Name, plain.variables.results[1], given)
	}
	return &Constraint{t.program, p}
}

// Evaluate says what breaks the constraint; whether the constraint matches the
// request is the caller's to know. namespace is that of the request, nil for none. A
// Decision that is Ignored is no violation.
func (c *Constraint) Evaluate(ctx context.Context, r *policy.Request, namespace *corev1.Namespace) []Decision {
	return c.program.evaluate(ctx, r, c.object, namespace)
}
