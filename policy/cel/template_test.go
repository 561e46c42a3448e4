package cel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

func compiler(t testing.TB) *cel.Compiler {
	t.Helper()
	c, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func said(decisions []cel.Decision) string {
	var texts []string
	for _, d := range decisions {
		text := fmt.Sprintf("%d %s", d.Index, d.Message)
		if d.Ignored {
			text += " (ignored)"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

func TestTemplate(t *testing.T) {
	c := compiler(t)
	shop := namespace("shop", map[string]string{"env": "prod"})
	owner := map[string]any{"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sLabels", "spec": map[string]any{"parameters": map[string]any{"label": "owner", "most": 1.0}}}
	for _, test := range []struct {
		name, source string
		constraint   map[string]any
		operation    admission.Operation
		faults, want string
	}{
		{"parameters", `{validations: [{expression: "variables.params.label in object.metadata.labels", messageExpression: "'add ' + variables.params.label"}]}`, owner, admission.Create, "", "0 add owner"},
		{"a whole number is an integer", `{validations: [{expression: "size(object.spec.containers) <= variables.params.most", message: many}]}`, owner, admission.Create, "", "0 many"},
		{"no parameters", `{validations: [{expression: "variables.params != null", message: none}]}`, nil, admission.Create, "", "0 none"},
		{"variables see the constraint", `{variables: [{name: kind, expression: params.kind}], validations: [{expression: "variables.kind == 'Other'", messageExpression: string(variables.kind)}]}`, owner, admission.Create, "", "0 K8sLabels"},
		{"validations do not", `{validations: [{expression: "params.kind == 'Other'"}]}`, owner, admission.Create, "source.validations[0].expression", "0 compilation error"},
		{"nothing sees an authorizer", `{variables: [{name: a, expression: "authorizer.group('').resource('pods').check('get').allowed()"}], validations: [{expression: variables.a}]}`, owner, admission.Create, "source.variables[0].expression", "0 compilation error"},
		{"anyObject is what is deleted", `{validations: [{expression: "object == null && variables.anyObject.metadata.name == 'other'", messageExpression: "'not ' + variables.anyObject.metadata.name"}]}`, owner, admission.Delete, "", "0 not web"},
		{"the namespace", `{validations: [{expression: "namespaceObject.metadata.labels.env != 'prod'", message: prod}]}`, owner, admission.Create, "", "0 prod"},
		{"a condition that does not hold", `{matchCondition: [{name: c, expression: "object.metadata.name != 'web'"}], validations: [{expression: "false"}]}`, owner, admission.Create, "", ""},
		{"a condition by the name that Gatekeeper does not read", `{matchConditions: [{name: c, expression: "false"}], validations: [{expression: "false", message: never}]}`, owner, admission.Create, "source", "0 never"},
		{"a failure refuses", `{validations: [{expression: "object.spec.gone == 1"}]}`, owner, admission.Create, "", "0 expression 'object.spec.gone == 1' resulted in error: no such key: gone"},
		{"a failure is ignored", `{failurePolicy: Ignore, validations: [{expression: "object.spec.gone == 1"}]}`, owner, admission.Create, "", "0 expression 'object.spec.gone == 1' resulted in error: no such key: gone (ignored)"},
		{"generateVAP is not heeded", `{generateVAP: true, validations: [{expression: "true"}]}`, owner, admission.Create, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			template, faults := c.CompileTemplate("k8slabels", object(t, "{apiVersion: v1, kind: Code, source: "+test.source+"}").Object["source"].(map[string]any))
			if template == nil || (len(faults) > 0) != (test.faults != "") || len(faults) > 0 && faults[0].Path != test.faults {
				t.Fatalf("faults %v, want one at %q", faults, test.faults)
			}
			now, before := pod(t), pod(t)
			if test.operation == admission.Delete {
				now = nil
			} else {
				before = nil
			}
			r := policy.NewRequest(attributes(test.operation, now, before, pods, ""), nil, &cluster{namespaces: map[string]*corev1.Namespace{"shop": shop}})
			for range 2 { // it keeps nothing of a request
				if got := said(template.For(test.constraint).Evaluate(context.Background(), r, shop)); got != test.want && (test.faults == "" || !strings.HasPrefix(got, test.want)) {
					t.Errorf("got  %q\nwant %q", got, test.want)
				}
			}
		})
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	c := compiler(t)
	for source, path := range map[string]string{
		`{variables: [{name: gatekeeper_internal_x, expression: "1"}]}`:                   "source.variables[0].name",
		`{variables: [{name: ok, expression: "1"}, {name: params, expression: "1"}]}`:     "source.variables[1].name",
		`{variables: [{name: anyObject, expression: "1"}]}`:                               "source.variables[0].name",
		`{matchCondition: [{name: gatekeeper_internal_match_kinds, expression: "true"}]}`: "source.matchCondition[0].name",
		`{failurePolicy: Perhaps}`: "source.failurePolicy",
		`{validations: many}`:      "source",
	} {
		template, faults := c.CompileTemplate("x", object(t, "{apiVersion: v1, kind: Code, source: "+source+"}").Object["source"].(map[string]any))
		if template != nil || len(faults) != 1 || faults[0].Path != path {
			t.Errorf("%s: %v, want a fault at %s and no template", source, faults, path)
		}
	}
	if template, faults := c.CompileTemplate("x", nil); template != nil || len(faults) == 0 {
		t.Error("a template without a source must be refused")
	}
}

func BenchmarkTemplate(b *testing.B) {
	template, _ := compiler(b).CompileTemplate("x", map[string]any{"validations": []any{map[string]any{"expression": "variables.params.labels.all(l, l in variables.anyObject.metadata.labels)"}}})
	constraint := template.For(map[string]any{"spec": map[string]any{"parameters": map[string]any{"labels": []any{"app", "tier"}}}})
	a := attributes(admission.Create, pod(b), nil, pods, "")
	r := policy.NewRequest(a, nil, &cluster{})
	b.ReportAllocs()
	for b.Loop() {
		if len(constraint.Evaluate(context.Background(), r, nil)) > 0 {
			b.Fatal("it holds")
		}
	}
}
