package cel_test

import (
	"fmt"
	"reflect"
	"testing"

	v1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// strange are expressions that look at variables in ways that few write.
var strange = []string{
	"variables.names.all(n, n != '')",
	"has(variables.names) && !has(dyn(variables).missing)",
	"variables.?names.hasValue()",
	"dyn(variables).all(v, true)",
	"dyn(variables).exists(v, v == 'web')",
	"size(dyn(variables)) == 4",
	"dyn(variables) == dyn(variables)",
	"type(variables) == type(variables)",
	"dyn(variables)['name'] == variables.name",
	"variables.namespace == 'shop'",
	"variables.broken || true",
	"variables.broken == true",
	"!variables.broken || false",
	"variables.broken && false",
}

// strangeInTemplates see the variables of all templates too.
var strangeInTemplates = []string{
	"variables.params == null",
	"variables.params.labels.all(l, l in variables.anyObject.metadata.labels)",
	"variables.anyObject.metadata.name == variables.name",
	"variables.anyObject == variables.anyObject && variables.params == variables.params",
	"!has(variables.params.labels)",
	"dyn(variables).exists(v, v == null)",
}

// gatekeepers are the variables that Gatekeeper gives a template (its
// pkg/drivers/k8scel/transform).
var gatekeepers = []v1.Variable{
	{Name: "anyObject", Expression: `has(request.operation) && request.operation == "DELETE" && object == null ? oldObject : object`},
	{Name: "params", Expression: "!has(params.spec) ? null : !has(params.spec.parameters) ? null : params.spec.parameters"},
}

// What is found to hold by the short way is what upstream's validator finds, which is
// asked wherever there is an annotation to write: the same rules with one are its.
func TestVariablesAreUpstreams(t *testing.T) {
	c := compiler(t)
	variables := []v1.Variable{
		{Name: "name", Expression: "object == null ? oldObject.metadata.name : object.metadata.name"},
		{Name: "names", Expression: "[dyn(variables.name), dyn('other')]"},
		{Name: "namespace", Expression: "request.namespace"},
		{Name: "broken", Expression: "object.spec.nothing.there"},
	}
	annotated := []v1.AuditAnnotation{{Key: "a", ValueExpression: "'b'"}}
	var held, broke int
	compare := func(name string, mine, theirs []cel.Decision) {
		t.Helper()
		if !reflect.DeepEqual(mine, theirs) {
			t.Errorf("%s: %+v, upstream %+v", name, mine, theirs)
		}
		if len(mine) == 0 {
			held++
		} else {
			broke++
		}
	}
	compiled := func(rules cel.Rules) *cel.Program {
		program, faults := c.Compile(rules)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return program
	}
	requests := map[admission.Operation]func() *policy.Request{
		admission.Create: func() *policy.Request {
			return policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, &cluster{})
		},
		admission.Delete: func() *policy.Request {
			return policy.NewRequest(attributes(admission.Delete, nil, pod(t), pods, ""), nil, &cluster{})
		},
	}
	for operation, request := range requests {
		for _, expression := range strange {
			rules := cel.Rules{Name: "x", Variables: variables, Validations: []v1.Validation{{Expression: expression}}}
			short := compiled(rules)
			rules.AuditAnnotations = annotated
			compare(fmt.Sprintf("%s of %s", expression, operation), short.Evaluate(t.Context(), request(), nil, nil), compiled(rules).Evaluate(t.Context(), request(), nil, nil))
		}
		r := request() // what constraints of a request share is shared here
		for _, constraint := range []map[string]any{
			{"spec": map[string]any{"parameters": map[string]any{"labels": []any{"app", "tier"}}}},
			{"spec": map[string]any{"parameters": map[string]any{"labels": []any{"app", "absent"}}}},
			{"spec": map[string]any{}}, {}, {"spec": "text"}, {"spec": nil},
		} {
			for _, expression := range append(strange, strangeInTemplates...) {
				var own []any
				for _, v := range variables {
					own = append(own, map[string]any{"name": v.Name, "expression": v.Expression})
				}
				template, faults := c.CompileTemplate("x", map[string]any{"variables": own, "validations": []any{map[string]any{"expression": expression}}})
				if len(faults) > 0 {
					t.Fatal(faults)
				}
				whole := compiled(cel.Rules{Name: "x", Params: true, Variables: append(gatekeepers[:len(gatekeepers):len(gatekeepers)], variables...),
					Validations: []v1.Validation{{Expression: expression}}, AuditAnnotations: annotated})
				compare(fmt.Sprintf("%s of %s in a template for %v", expression, operation, constraint), template.For(constraint).Evaluate(t.Context(), r, nil), whole.Evaluate(t.Context(), request(), constraint, nil))
			}
		}
	}
	if held < 10 || broke < 5 {
		t.Errorf("%d held and %d did not: too few to compare", held, broke)
	}
}
