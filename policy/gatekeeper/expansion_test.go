package gatekeeper_test

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

const deploymentsToPods = `apiVersion: expansion.gatekeeper.sh/v1beta1
kind: ExpansionTemplate
metadata: {name: deployments}
spec:
  applyTo: [{groups: [apps], versions: [v1], kinds: [Deployment]}]
  templateSource: spec.template
  generatedGVK: {group: "", version: v1, kind: Pod}`

const aDeployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}}`

// owned wants a label of whatever it is.
const owned = `violation[{"msg": msg}] {
  not input.review.object.metadata.labels.owner
  msg := sprintf("%v %v lacks an owner", [input.review.kind.kind, input.review.object.metadata.name])
}`

func TestExpansion(t *testing.T) {
	pods := "{match: {kinds: [{apiGroups: [''], kinds: [Pod]}]}}"
	for _, c := range []struct {
		name, policies, object string
		want                   string
	}{
		{"implied", rego("Labelled", owned, pods), aDeployment, "Labelled one: [Implied by deployments] Pod web-pod lacks an owner"},
		{"no constraint", "", aDeployment, ""},
		{"another kind", rego("Labelled", owned, strings.Replace(pods, "Pod", "Job", 1)), aDeployment, ""},
		{"originals alone", rego("Labelled", owned, strings.Replace(pods, "match: {", "match: {source: Original, ", 1)), aDeployment, ""},
		{"no template", rego("Labelled", owned, pods), strings.Replace(aDeployment, "template:", "temple:", 1), "ExpansionTemplate deployments: it could not be evaluated: unable to expand the object: the field spec.template of web is missing"},
		{"odd metadata", rego("Labelled", owned, pods), strings.Replace(aDeployment, "metadata: {labels: {app: web}}", "metadata: 7", 1), "Labelled one: [Implied by deployments] Pod web-pod lacks an owner"},
		{"mutated", rego("Labelled", owned, pods) + `
---
apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: owner}
spec: {match: {source: Generated, kinds: [{apiGroups: [''], kinds: [Pod]}]}, location: metadata.labels.owner, parameters: {assign: {value: jane}}}`, aDeployment, ""},
		{"a mutation fails", rego("Labelled", owned, pods) + `
---
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: odd}
spec: {applyTo: [{groups: [''], versions: [v1], kinds: [Pod]}], location: spec.containers.image, parameters: {assign: {value: x}}}`, aDeployment, "ExpansionTemplate deployments: it could not be evaluated: unable to expand the object: mutate web-pod: spec.containers: a map of fields belongs there, and a list is there"},
	} {
		text := deploymentsToPods
		if c.policies != "" {
			text += "\n---\n" + c.policies
		}
		loaded := engine(t).Compile(objects(t, text))
		if len(loaded.Problems) > 0 {
			t.Fatal(loaded.Problems)
		}
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(context.Background(), request(admission.Create, objects(t, c.object)[0].Unstructured, nil, nil))
		if got := out.Message(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWrongExpansions(t *testing.T) {
	for change, want := range map[string]string{
		"kinds: [Deployment]|kinds: [Deployment, Pod], x: 1":                                                     "unknown field",
		"templateSource: spec.template|templateSource: ''":                                                       "spec.templateSource",
		"{group: \"\", version: v1, kind: Pod}|{}":                                                               "spec.generatedGVK",
		"[{groups: [apps], versions: [v1], kinds: [Deployment]}]|[{groups: [''], versions: [v1], kinds: [Pod]}]": "it applies to what it makes",
		"[{groups: [apps], versions: [v1], kinds: [Deployment]}]|[]":                                             "spec.applyTo",
		"templateSource:|enforcementAction: explode\n  templateSource:":                                          `"explode" is none of deny`,
		"name: deployments|name: " + strings.Repeat("x", 64):                                                     "metadata.name",
		"expansion.gatekeeper.sh/v1beta1|expansion.gatekeeper.sh/v2":                                             `the version "v2"`,
	} {
		from, to, _ := strings.Cut(change, "|")
		loaded := engine(t).Compile(objects(t, strings.Replace(deploymentsToPods, from, to, 1)))
		if len(loaded.Problems) != 1 || !strings.Contains(loaded.Problems[0].Message, want) || len(loaded.Policies) > 0 {
			t.Errorf("%s: %+v, want %q", change, loaded.Problems, want)
		}
	}
}
