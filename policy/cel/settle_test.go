package cel_test

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// ten to the fifth evaluations: most of what one expression may cost.
const costly = "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, [0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, a >= 0)))))"

// What is not made of what is read alone is not to be remembered.
func TestUnsettled(t *testing.T) {
	for _, test := range []struct {
		name, spec, binding, object string
		want                        bool
	}{
		{"a policy that matches", `validations: [{expression: "true"}]`, "", "{apiVersion: v1, kind: Pod}", false},
		{"a policy that does not", `matchConstraints: {objectSelector: {matchLabels: {app: none}}}, validations: [{expression: "false"}]`, "", "{apiVersion: v1, kind: Pod}", false},
		{"another version of a built-in kind", `matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1beta2], operations: ["*"], resources: [deployments]}]}, validations: [{expression: "true"}]`, "", "{apiVersion: apps/v1, kind: Deployment}", true},
		{"another version that is not asked for", `matchConstraints: {matchPolicy: Exact, resourceRules: [{apiGroups: [apps], apiVersions: [v1beta2], operations: ["*"], resources: [deployments]}]}, validations: [{expression: "false"}]`, "", "{apiVersion: apps/v1, kind: Deployment}", false},
		{"another version of a built-in kind in a binding", `matchConstraints: {resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: ["*"], resources: [deployments]}]}, validations: [{expression: "true"}]`,
			`, matchResources: {resourceRules: [{apiGroups: [apps], apiVersions: [v1beta2], operations: ["*"], resources: [deployments]}]}`, "{apiVersion: apps/v1, kind: Deployment}", true},
		{"a version that a custom kind may come to have", `matchConstraints: {resourceRules: [{apiGroups: [shop.example], apiVersions: [v2], operations: ["*"], resources: [limits]}]}, validations: [{expression: "false"}]`, "", "{apiVersion: shop.example/v1, kind: Limit}", true},
		{"the version of a custom kind", `matchConstraints: {resourceRules: [{apiGroups: [shop.example], apiVersions: [v1], operations: ["*"], resources: [limits]}]}, validations: [{expression: "true"}]`, "", "{apiVersion: shop.example/v1, kind: Limit}", false},
		{"labels that are labels", `validations: [{expression: "'app' in object.spec.labels"}]`, "", "{apiVersion: v1, kind: Pod, spec: {labels: {app: a}}}", false},
		{"labels that are a list", `validations: [{expression: "'app' in object.spec.labels"}]`, "", "{apiVersion: v1, kind: Pod, spec: {labels: [app]}}", true},
		{"labels of an element that are a list", `validations: [{expression: "object.spec.all(e, 'app' in e.labels)"}]`, "", "{apiVersion: v1, kind: Pod, spec: [{labels: {app: a}}, {labels: [app]}]}", true},
		{"labels of an old object that are a list", `validations: [{expression: "oldObject == null || 'app' in oldObject.labels"}]`, "", "{apiVersion: v1, kind: Pod, labels: [app]}", true},
		{"arguments that are a list", `validations: [{expression: "size(object.spec.args) < 9"}]`, "", "{apiVersion: v1, kind: Pod, spec: {args: [a]}}", false},
		{"arguments that are a text", `validations: [{expression: "size(object.spec.args) < 9"}]`, "", "{apiVersion: v1, kind: Pod, spec: {args: a}}", true},
		{"validations after which any message can be had", `validations: [` + strings.Repeat(`{expression: "`+costly+`", messageExpression: "'m'"}, `, 2) + `]`, "", "{apiVersion: v1, kind: Pod}", false},
		{"validations that leave messages little", `validations: [` + strings.Repeat(`{expression: "`+costly+`", messageExpression: "'m'"}, `, 4) + `]`, "", "{apiVersion: v1, kind: Pod}", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := object(t, test.object)
			o.SetName("web")
			a := updated(o)
			set := newSet(t, vap(t, test.spec, test.binding))
			for name, silent := range map[string]func(*policy.Request) bool{
				"validate": func(r *policy.Request) bool {
					for v := range set.Validators(context.Background(), r) {
						if len(v.Validate(context.Background(), r)) > 0 {
							return false
						}
					}
					return true
				},
				"holds": func(r *policy.Request) bool {
					r.Objects = newInterfaces()
					return cel.Holds(context.Background(), set, r)
				},
			} {
				r := policy.NewRequest(a, nil, &cluster{})
				switch silent := silent(r); {
				case name == "holds" && (strings.Contains(test.name, "little") || o.GetKind() == "Deployment"):
					// The plugin is asked, and the server of these tests has one version.
				case !silent:
					t.Errorf("%s: it has something to say", name)
				case unsettled(r) != test.want:
					t.Errorf("%s: unsettled: %v, want %v", name, unsettled(r), test.want)
				}
			}
		})
	}
}

// updated is a request that leaves an object as it is.
func updated(o *unstructured.Unstructured) admission.Attributes {
	kind := o.GroupVersionKind()
	return attributes(admission.Update, o, o, schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: strings.ToLower(kind.Kind) + "s"}, "")
}
