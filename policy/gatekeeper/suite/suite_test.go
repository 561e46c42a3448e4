package suite_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/internal/upstream"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/suite"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

func compiler(t testing.TB) *cel.Compiler {
	t.Helper()
	c, err := cel.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGatekeepersSuite runs the suite of Gatekeeper's own tests of gator.
func TestGatekeepersSuite(t *testing.T) {
	file := filepath.Join(upstream.Source(t), "test", "gator", "verify", "suite.yaml")
	results, err := suite.Run(context.Background(), file, suite.Options{Compiler: compiler(t)})
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, r := range results {
		if r.Err != nil {
			t.Errorf("%s %s: %v", r.Test, r.Case, r.Err)
			continue
		}
		passed++
	}
	tally.Of(t, "Gatekeeper's suite", passed, len(results))
	if len(results) < 9 {
		t.Errorf("there are %d results", len(results))
	}
}

const (
	regoTemplate = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: k8sowner}
spec:
  crd:
    spec:
      names: {kind: K8sOwner}
      validation: {openAPIV3Schema: {type: object, properties: {label: {type: string, default: owner}}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package k8sowner
      violation[{"msg": msg}] {
        not input.review.object.metadata.labels[input.parameters.label]
        msg := sprintf("label %v is missing", [input.parameters.label])
      }
`
	celTemplate = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: k8sowner}
spec:
  crd:
    spec:
      names: {kind: K8sOwner}
      validation: {openAPIV3Schema: {type: object, properties: {label: {type: string, default: owner}}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    code:
    - engine: K8sNativeValidation
      source:
        validations:
        - expression: "variables.params.label in variables.anyObject.metadata.?labels.orValue({})"
          messageExpression: "'label ' + variables.params.label + ' is missing'"
`
	uniqueTemplate = `apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata:
  name: k8sunique
spec:
  crd: {spec: {names: {kind: K8sUnique}}}
  targets:
  - target: admission.k8s.gatekeeper.sh
    rego: |
      package k8sunique
      violation[{"msg": msg}] {
        other := data.inventory.namespace[ns]["v1"]["ConfigMap"][name]
        other.data.host == input.review.object.data.host
        ns != input.review.object.metadata.namespace
        msg := sprintf("host is taken by %v/%v", [ns, name])
      }
`
	suiteText = `apiVersion: test.gatekeeper.sh/v1alpha1
kind: Suite
tests:
- name: owner
  template: template.yaml
  constraint: constraint.yaml
  cases:
  - {name: good, object: good.yaml, assertions: [{violations: no}]}
  - {name: bad, object: bad.yaml, assertions: [{violations: 1, message: "^label owner is missing$"}, {message: owner}]}
  - {name: wrong, object: bad.yaml, assertions: [{violations: no}]}
  - {name: skipped, skip: true, object: bad.yaml, assertions: [{violations: no}]}
- {name: invalid, template: template.yaml, constraint: invalid.yaml, invalid: true}
- name: unique
  template: unique.yaml
  constraint: uniqueconstraint.yaml
  cases:
  - {name: free, object: good.yaml, assertions: [{violations: no}]}
  - {name: taken, object: good.yaml, inventory: [other.yaml], assertions: [{violations: 1, message: "taken by lab/other"}]}
`
)

func TestSuites(t *testing.T) {
	for engine, template := range map[string]string{"rego": regoTemplate, "cel": celTemplate} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"suite.yaml": suiteText, "template.yaml": template, "unique.yaml": uniqueTemplate,
			"constraint.yaml":       "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: K8sOwner\nmetadata: {name: must-have-owner}\nspec: {match: {kinds: [{apiGroups: [\"\"], kinds: [ConfigMap]}]}, parameters: {}}\n",
			"uniqueconstraint.yaml": "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: K8sUnique\nmetadata: {name: unique-host}\nspec: {}\n",
			"invalid.yaml":          "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: K8sOwner\nmetadata: {name: x}\nspec: {parameters: {label: 7}}\n",
			"good.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop, labels: {owner: jane}}\ndata: {host: a}\n",
			"bad.yaml":              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\n",
			"other.yaml":            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: lab}\ndata: {host: a}\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		results, err := suite.Run(context.Background(), filepath.Join(dir, "suite.yaml"), suite.Options{Compiler: compiler(t)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			switch r.Case {
			case "wrong":
				if r.Err == nil {
					t.Errorf("%s: an assertion that does not hold passes", engine)
				}
			case "skipped":
				if !r.Skipped {
					t.Errorf("%s: a case is not skipped", engine)
				}
			default:
				if r.Err != nil {
					t.Errorf("%s: %s %s: %v", engine, r.Test, r.Case, r.Err)
				}
			}
		}
		filter, err := suite.ParseFilter("owner//good")
		if err != nil {
			t.Fatal(err)
		}
		filtered, err := suite.Run(context.Background(), filepath.Join(dir, "suite.yaml"), suite.Options{Compiler: compiler(t), Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		for _, r := range filtered {
			if !r.Skipped {
				ran++
			}
		}
		if ran != 1 {
			t.Errorf("%s: the filter lets %d run", engine, ran)
		}
	}
}

// TestFilter has the examples of gator's own filter, and what it refuses.
func TestFilter(t *testing.T) {
	dir := t.TempDir()
	const text = `apiVersion: test.gatekeeper.sh/v1alpha1
kind: Suite
tests:
- {name: require-foo-label, template: none.yaml, constraint: none.yaml, cases: [{name: missing-label}, {name: with-foo-label}]}
- {name: forbid-missing-label, template: none.yaml, constraint: none.yaml, cases: [{name: empty-object}]}
- {name: forbid-bar, template: none.yaml, constraint: none.yaml, cases: [{name: with-bar}]}
`
	file := filepath.Join(dir, "suite.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	compiled := compiler(t)
	// A test that is run fails at once here, for its template is not there.
	for run, want := range map[string][]string{
		"":                             {"require-foo-label", "forbid-missing-label", "forbid-bar"},
		"require-foo-label//missing":   {"require-foo-label"},
		"missing-label":                {"require-foo-label", "forbid-missing-label"},
		"^require-foo-label$//":        {"require-foo-label"},
		"//empty-object":               {"require-foo-label", "forbid-missing-label", "forbid-bar"},
		"//":                           {"require-foo-label", "forbid-missing-label", "forbid-bar"},
		"^with-bar$":                   {"forbid-bar"},
		"nothing":                      nil,
		"require-foo-label|forbid-bar": {"require-foo-label", "forbid-bar"},
	} {
		filter, err := suite.ParseFilter(run)
		if err != nil {
			t.Fatal(err)
		}
		results, err := suite.Run(context.Background(), file, suite.Options{Compiler: compiled, Filter: filter})
		if err != nil {
			t.Fatal(err)
		}
		var ran []string
		for _, r := range results {
			if !r.Skipped {
				ran = append(ran, r.Test)
			}
		}
		if !slices.Equal(ran, want) {
			t.Errorf("%q runs %q, want %q", run, ran, want)
		}
	}
	for _, wrong := range []string{"a//b//c", "////", "(", "a//(", "(//a"} {
		if _, err := suite.ParseFilter(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
