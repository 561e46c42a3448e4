package cel_test

import (
	"context"
	"strings"
	"testing"

	v1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

func TestRulesOfOtherLanguages(t *testing.T) {
	compiler, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	ignore := v1.Ignore
	shop := &cluster{}
	shop.namespaces = map[string]*corev1.Namespace{"shop": namespace("shop", map[string]string{"env": "prod"})}
	for _, c := range []struct {
		name  string
		rules cel.Rules
		want  string
	}{
		{"holds", cel.Rules{Validations: []v1.Validation{{Expression: "object.spec.containers.size() == 2"}}}, ""},
		{"does not hold", cel.Rules{Validations: []v1.Validation{{Expression: "object.spec.containers.size() == 3", Message: "three"}}}, "0 three"},
		{"says why", cel.Rules{Validations: []v1.Validation{{Expression: "true"}, {Expression: "false", MessageExpression: "'no ' + object.metadata.name"}}}, "1 no web"},
		{"variables in variables and messages", cel.Rules{
			Variables:   []v1.Variable{{Name: "n", Expression: "object.metadata.name"}, {Name: "twice", Expression: "variables.n + variables.n"}},
			Validations: []v1.Validation{{Expression: "variables.twice == 'web'", MessageExpression: "string(variables.twice)"}},
		}, "0 webweb"},
		{"params", cel.Rules{Params: true, Variables: []v1.Variable{{Name: "wanted", Expression: "params.spec.parameters.labels"}},
			Validations: []v1.Validation{{Expression: "variables.wanted.all(l, l in object.metadata.labels)", MessageExpression: "'needs ' + variables.wanted.join(',')"}},
		}, "0 needs app,owner"},
		{"namespace", cel.Rules{Validations: []v1.Validation{{Expression: "namespaceObject.metadata.labels.env == 'dev'", Message: "not here"}}}, "0 not here"},
		{"no match", cel.Rules{MatchConditions: []v1.MatchCondition{{Name: "c", Expression: "object.metadata.name == 'other'"}}, Validations: []v1.Validation{{Expression: "false"}}}, ""},
		{"fails", cel.Rules{Validations: []v1.Validation{{Expression: "object.spec.nothing == 1"}}}, "0 expression 'object.spec.nothing == 1' resulted in error: no such key: nothing failed"},
		{"fails, ignored", cel.Rules{FailurePolicy: &ignore, Validations: []v1.Validation{{Expression: "object.spec.nothing == 1"}}}, "0 expression 'object.spec.nothing == 1' resulted in error: no such key: nothing failed ignored"},
		{"nobody to ask", cel.Rules{Validations: []v1.Validation{{Expression: "authorizer.group('').resource('pods').check('get').allowed()"}}}, "0 expression 'authorizer.group('').resource('pods').check('get').allowed()' resulted in error: no such attribute(s): authorizer failed"},
		{"does not compile", cel.Rules{Validations: []v1.Validation{{Expression: "object."}}}, "0 compilation error: compilation failed: ERROR: <input>:1:8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			program, faults := compiler.Compile(c.rules)
			if broken := c.name == "does not compile"; broken != (len(faults) > 0) {
				t.Fatalf("faults: %v", faults)
			}
			r := policy.NewRequest(attributes(admission.Create, pod(t), nil, pods, ""), nil, shop)
			constraint := map[string]any{"spec": map[string]any{"parameters": map[string]any{"labels": []any{"app", "owner"}}}}
			var got []string
			for _, d := range program.Evaluate(context.Background(), r, constraint, shop.namespaces["shop"]) {
				text := string(rune('0'+d.Index)) + " " + d.Message
				if d.Failed {
					text += " failed"
				}
				if d.Ignored {
					text += " ignored"
				}
				got = append(got, text)
			}
			if have := strings.Join(got, "; "); have != c.want && (c.name != "does not compile" || !strings.HasPrefix(have, c.want)) {
				t.Errorf("got  %q\nwant %q", have, c.want)
			}
		})
	}
}
