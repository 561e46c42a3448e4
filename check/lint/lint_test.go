package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/check/lint"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/engines"
)

// kinds knows Pods, Namespaces and Deployments.
type kinds struct{}

var known = map[schema.GroupKind]struct {
	resource   string
	namespaced bool
}{
	{Kind: "Pod"}: {"pods", true}, {Kind: "Namespace"}: {"namespaces", false}, {Group: "apps", Kind: "Deployment"}: {"deployments", true},
}

func (kinds) ResourceOf(kind schema.GroupKind) (string, bool, bool) {
	of, ok := known[kind]
	return of.resource, of.namespaced, ok
}

func (kinds) KindOf(resource schema.GroupResource) (schema.GroupVersionKind, bool, bool) {
	for kind, of := range known {
		if kind.Group == resource.Group && of.resource == resource.Resource {
			return kind.WithVersion("v1"), of.namespaced, true
		}
	}
	return schema.GroupVersionKind{}, false, false
}

func objects(t *testing.T, text string) (all []policy.Object) {
	t.Helper()
	for i, document := range strings.Split(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		data, err := yaml.YAMLToJSONStrict([]byte(document))
		if err == nil {
			err = u.UnmarshalJSON(data)
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		all = append(all, policy.Object{Unstructured: u, Source: gate.Source{Kind: u.GetKind(), Name: u.GetName(), File: "p.yaml", Line: i + 1}})
	}
	return all
}

func run(t *testing.T, text string, minor int) (lines []string) {
	t.Helper()
	all := objects(t, text)
	made, err := engines.All(engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded, _ := policy.Load(made, all)
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	for _, f := range lint.Run(all, loaded.Policies, lint.Options{Kinds: kinds{}, Minor: minor}) {
		f.Source.File, f.Source.Line = "", 0
		lines = append(lines, f.Source.String()+": "+f.Message)
	}
	return lines
}

// vap is a policy and its binding; the fields of each are written in flow style.
func vap(name, match, validation, binding string) string {
	return fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %[1]s}, spec: {matchConstraints: {%[2]s}, validations: [{expression: '%[3]s'}]}}\n---\n"+
		"{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %[1]s}, spec: {policyName: %[1]s, %[4]s}}", name, match, validation, binding)
}

const onPods = "resourceRules: [{apiGroups: [\"\"], apiVersions: [v1], operations: [CREATE], resources: [pods]}]"
const denies = "validationActions: [Deny]"

// template is a ConstraintTemplate, and constraint one of it.
func template(kind string) string {
	return fmt.Sprintf("{apiVersion: templates.gatekeeper.sh/v1, kind: ConstraintTemplate, metadata: {name: %s}, spec: {crd: {spec: {names: {kind: %s}, validation: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}, targets: [{target: admission.k8s.gatekeeper.sh, rego: 'package x\n\n  violation[{\"msg\": \"no\"}] { input.review.object.spec.hostPID }'}]}}", strings.ToLower(kind), kind)
}

func constraint(kind, name, spec string) string {
	return fmt.Sprintf("{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: %s, metadata: {name: %s}, spec: {%s}}", kind, name, spec)
}

func TestRun(t *testing.T) {
	join := func(texts ...string) string { return strings.Join(texts, "\n---\n") }
	pods := `match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}`
	for name, c := range map[string]struct {
		text  string
		minor int
		want  []string
	}{
		"all is well":                  {vap("a", onPods, "object.spec.hostPID == false", denies), 37, nil},
		"a resource that is misspelt":  {vap("a", strings.Replace(onPods, "pods", "podz", 1), "true", denies), 0, []string{"podz is not known: is it misspelt?"}},
		"a resource of another group":  {vap("a", strings.Replace(onPods, "pods", "deployments", 1), "true", denies), 0, []string{"deployments is not known"}},
		"one of several is known":      {vap("a", strings.Replace(onPods, "pods", "podz, pods", 1), "true", denies), 0, nil},
		"every resource":               {vap("a", strings.Replace(onPods, "pods", `"*"`, 1), "true", denies), 0, nil},
		"a selector without an answer": {vap("a", onPods+", namespaceSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist}]}", "true", denies), 0, []string{"no namespace is selected: the label a would", "spec.matchConstraints.namespaceSelector: the label a would"}},
		"two selectors without one":    {vap("a", onPods+", namespaceSelector: {matchLabels: {a: b}}", "true", denies+", matchResources: {namespaceSelector: {matchLabels: {a: c}}}"), 0, []string{"the label a can have no value"}},
		"labels that nothing has":      {vap("a", onPods+", objectSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: NotIn, values: [b, c]}]}", "true", denies), 0, []string{"spec.matchConstraints.objectSelector: the label a can have no value"}},
		"all is taken out":             {vap("a", onPods+", excludeResourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: [pods]}]", "true", denies), 0, []string{"excludeResourceRules takes out everything"}},
		"a kind that is not there":     {join(template("K8sA"), constraint("K8sA", "a", `match: {kinds: [{apiGroups: [apps], kinds: [Deploymnt]}]}`)), 0, []string{"Deploymnt.apps is not known"}},
		"excluded by itself":           {join(template("K8sA"), constraint("K8sA", "a", `match: {namespaces: [kube-system], excludedNamespaces: ["kube-*"]}`)), 0, []string{"every namespace it names is excluded"}},
		"excluded by a Config": {join(template("K8sA"), constraint("K8sA", "a", `match: {namespaces: [infra]}`),
			"{apiVersion: config.gatekeeper.sh/v1alpha1, kind: Config, metadata: {name: config, namespace: gatekeeper-system}, spec: {match: [{processes: [webhook], excludedNamespaces: [infra]}]}}"), 0, []string{"or the Config config"}},
		"the same twice":          {join(vap("a", onPods, "true", denies), vap("b", onPods, "true", denies)), 0, []string{"ValidatingAdmissionPolicyBinding b: ValidatingAdmissionPolicyBinding a says the same"}},
		"a narrower one":          {join(vap("a", strings.Replace(onPods, "pods", `"*"`, 1), "true", denies), vap("b", onPods, "true", denies)), 0, []string{"Binding b: ValidatingAdmissionPolicyBinding a says"}},
		"one that does less":      {join(vap("a", onPods, "true", denies), vap("b", onPods, "true", "validationActions: [Deny, Audit]")), 0, []string{"Binding a: ValidatingAdmissionPolicyBinding b says"}},
		"one that does otherwise": {join(vap("a", onPods, "true", denies), vap("b", onPods, "true", "validationActions: [Warn]")), 0, nil},
		"one that says otherwise": {join(vap("a", onPods, "true", denies), vap("b", onPods, "1 == 1", denies)), 0, nil},
		"another selector":        {join(vap("a", onPods, "true", denies+", matchResources: {objectSelector: {matchLabels: {a: b}}}"), vap("b", onPods, "true", denies+", matchResources: {objectSelector: {matchLabels: {a: c}}}")), 0, nil},
		"a selector more":         {join(vap("a", onPods, "true", denies), vap("b", onPods, "true", denies+", matchResources: {objectSelector: {matchLabels: {a: c}}}")), 0, []string{"Binding b: ValidatingAdmissionPolicyBinding a says"}},
		"a constraint of a namespace": {join(template("K8sA"), constraint("K8sA", "a", pods), constraint("K8sA", "b", strings.Replace(pods, "]}]}", "]}], namespaces: [shop]}", 1))), 0,
			[]string{"K8sA b: K8sA a says the same"}},
		"constraints with other parameters": {join(template("K8sA"), constraint("K8sA", "a", pods), constraint("K8sA", "b", pods+", parameters: {x: y}")), 0, nil},
		"two templates of one code":         {join(template("K8sA"), template("K8sB"), constraint("K8sA", "a", pods), constraint("K8sB", "b", pods)), 0, []string{"K8sB b: K8sA a says the same"}},
		"a function that came later":        {vap("a", onPods, `ip.isCanonical("::1")`, denies), 30, []string{"it needs Kubernetes 1.31 or later, and is to be taken by 1.30: spec.validations[0].expression"}},
		"a function that is there by then":  {vap("a", onPods, `ip.isCanonical("::1")`, denies), 31, nil},
		"semver":                            {vap("a", onPods, `isSemver("1.0.0")`, denies), 33, []string{"it needs Kubernetes 1.34 or later"}},
		"a kind that came later":            {"{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: a}, spec: {failurePolicy: Fail, reinvocationPolicy: Never, matchConstraints: {" + onPods + "}, mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: \"remove\", path: \"/spec/hostPID\"}]'}}]}}", 35, []string{"it needs Kubernetes 1.36 or later, and is to be taken by 1.35: it serves MutatingAdmissionPolicy in admissionregistration.k8s.io/v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.text, c.minor)
			if len(got) != len(c.want) {
				t.Fatalf("it finds %q, want %q", got, c.want)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("it finds %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestCost(t *testing.T) {
	var e lint.Environments
	for expression, want := range map[string]string{
		`object.spec.replicas >= 2`:                    "CEL 2",
		`object.spec.containers.all(c, c.name != "x")`: "grows with the object",
		`request.name == "a" || request.name == "b"`:   "CEL ",
	} {
		cost, ok := e.CostOf(objects(t, vap("a", onPods, expression, denies))[0])
		if !ok || !strings.Contains(cost.String(), want) {
			t.Errorf("%s costs %v, %v, want %q", expression, cost, ok, want)
		}
	}
	if _, ok := e.CostOf(objects(t, template("K8sA"))[0]); ok {
		t.Error("Rego has a cost")
	}
}
