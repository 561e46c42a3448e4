package main

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// rule is one thing that is asked of a workload, in both languages. SPEC stands for the
// path of its pod spec.
type rule struct{ name, rego, cel, message string }

var rules = []rule{
	{"NoHostNetwork", `input.review.object.SPEC.hostNetwork`, `!variables.anyObject.SPEC.?hostNetwork.orValue(false)`, "host network"},
	{"NoHostPID", `input.review.object.SPEC.hostPID`, `!variables.anyObject.SPEC.?hostPID.orValue(false)`, "host PID"},
	{"NoHostIPC", `input.review.object.SPEC.hostIPC`, `!variables.anyObject.SPEC.?hostIPC.orValue(false)`, "host IPC"},
	{"NoPrivileged", `input.review.object.SPEC.containers[_].securityContext.privileged`, `variables.anyObject.SPEC.containers.all(c, !c.?securityContext.?privileged.orValue(false))`, "privileged"},
	{"NoEscalation", `c := input.review.object.SPEC.containers[_]; not c.securityContext.allowPrivilegeEscalation == false`, `variables.anyObject.SPEC.containers.all(c, c.?securityContext.?allowPrivilegeEscalation.orValue(true) == false)`, "escalation"},
	{"Repositories", `c := input.review.object.SPEC.containers[_]; not startswith(c.image, "registry.example.org/")`, `variables.anyObject.SPEC.containers.all(c, c.image.startsWith("registry.example.org/"))`, "repository"},
	{"NoLatest", `endswith(input.review.object.SPEC.containers[_].image, ":latest")`, `variables.anyObject.SPEC.containers.all(c, !c.image.endsWith(":latest"))`, "latest"},
	{"Limits", `c := input.review.object.SPEC.containers[_]; not c.resources.limits.memory`, `variables.anyObject.SPEC.containers.all(c, has(c.resources) && has(c.resources.limits) && "memory" in c.resources.limits)`, "limits"},
	{"Labels", `not input.review.object.metadata.labels.app`, `has(variables.anyObject.metadata.labels) && "app" in variables.anyObject.metadata.labels`, "labels"},
	{"NonRoot", `c := input.review.object.SPEC.containers[_]; not c.securityContext.runAsNonRoot`, `variables.anyObject.SPEC.containers.all(c, c.?securityContext.?runAsNonRoot.orValue(false))`, "root"},
}

// target is what is judged.
type target struct {
	name                        string
	group, kind, resource, spec string
	object                      string
}

// podSpec keeps to every rule, and to the restricted Pod Security level.
const podSpec = `{"serviceAccountName": "default", "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}, "containers": [
  {"name": "web", "image": "registry.example.org/web:1.2", "ports": [{"containerPort": 8080}], "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}}, "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}},
  {"name": "side", "image": "registry.example.org/side:2", "resources": {"limits": {"memory": "32Mi"}}, "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
 "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]}`

var (
	pods        = target{"Pod", "", "Pod", "pods", "spec", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}}, "spec": ` + podSpec + `}`}
	deployments = target{"Deployment", "apps", "Deployment", "deployments", "spec.template.spec", `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": ` + podSpec + `}}}`}
	// others are what policies that do not match are for.
	others = target{name: "ConfigMap", kind: "ConfigMap", resource: "configmaps", spec: "data"}
)

func (t *target) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: t.group, Version: "v1", Kind: t.kind}
}

// The languages.
const inVAP, inCEL, inRego, inBuiltin = "vap", "cel", "rego", "builtin"

var titles = map[string]string{inVAP: "ValidatingAdmissionPolicies", inCEL: "Gatekeeper constraints in CEL", inRego: "Gatekeeper constraints in Rego", inBuiltin: "built-in policies"}

// stated are policies as they are written: what states them, and what puts them in force.
type stated struct{ first, second []*unstructured.Unstructured }

// all are what states the policies and what puts them in force, in that order.
func (s *stated) all() []*unstructured.Unstructured { return slices.Concat(s.first, s.second) }

func (s *stated) add(to *[]*unstructured.Unstructured, text string) error {
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return fmt.Errorf("%w in\n%s", err, text)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		return err
	}
	*to = append(*to, u)
	return nil
}

// policies adds n of a language for a target; prefix tells them from others.
func (s *stated) policies(language, prefix string, t target, n int) error {
	if language == inBuiltin {
		return s.builtin(prefix, n)
	}
	for i := range n {
		r := rules[i%len(rules)]
		kind := fmt.Sprintf("%s%s%d", prefix, r.name, i)
		name := strings.ToLower(kind)
		put := func(text string) string { return strings.ReplaceAll(text, "SPEC", t.spec) }
		head := "apiVersion: templates.gatekeeper.sh/v1\nkind: ConstraintTemplate\nmetadata: {name: " + name + "}\nspec:\n  crd: {spec: {names: {kind: " + kind + "}}}\n  targets:\n  - target: admission.k8s.gatekeeper.sh\n"
		first := head + "    rego: |\n      package x\n      violation[{\"msg\": \"" + r.message + "\"}] {\n        " + strings.ReplaceAll(put(r.rego), "; ", "\n        ") + "\n      }\n"
		second := "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: " + kind + "\nmetadata: {name: one}\nspec: {match: {kinds: [{apiGroups: [\"" + t.group + "\"], kinds: [" + t.kind + "]}]}}\n"
		switch language {
		case inCEL:
			first = head + "    code:\n    - engine: K8sNativeValidation\n      source:\n        validations:\n        - {expression: '" + put(r.cel) + "', message: \"" + r.message + "\"}\n"
		case inVAP:
			first = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: " + name + "}\nspec:\n  matchConstraints: {resourceRules: [{apiGroups: [\"" + t.group + "\"], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [" + t.resource + "]}]}\n  validations:\n  - {expression: '" +
				strings.ReplaceAll(put(r.cel), "variables.anyObject", "object") + "', message: \"" + r.message + "\"}\n"
			second = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: " + name + "}\nspec: {policyName: " + name + ", validationActions: [Deny]}\n"
		}
		if err := s.add(&s.first, first); err != nil {
			return err
		}
		if err := s.add(&s.second, second); err != nil {
			return err
		}
	}
	return nil
}

// judging are the built-in policies for Pods that the target keeps to.
var judging = []string{"DisallowHostNetwork", "DisallowHostPID", "DisallowHostIPC", "DisallowPrivileged", "DisallowAddedCapabilities", "DisallowShareProcessNamespace", "DisallowHostPath", "DisallowContainerSockets",
	"RequireNonRoot", "DisallowTiller", "DisallowUnconfinedAppArmor", "DisallowPlaintextSecrets"}

// builtin adds objects of at most as many policies as there are to choose from.
func (s *stated) builtin(prefix string, n int) error {
	for i := 0; n > 0; i++ {
		var names []string
		for _, name := range judging[:min(n, len(judging))] {
			names = append(names, "{name: "+name+"}")
		}
		n -= len(names)
		if err := s.add(&s.first, fmt.Sprintf("apiVersion: gatehouse.io/v1alpha1\nkind: BuiltinPolicies\nmetadata: {name: %s%d}\nspec: {policies: [%s]}\n", strings.ToLower(prefix+"b"), i, strings.Join(names, ", "))); err != nil {
			return err
		}
	}
	return nil
}
