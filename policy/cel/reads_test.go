package cel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy"
)

// written reads: object.spec.containers[*].image, and a ? behind what is read by its Shape.
func spelled(parts []policy.Read) string {
	var all []string
	for _, one := range parts {
		text := [...]string{"object", "old", "namespace", "request"}[one.Of]
		for _, field := range one.Fields {
			if field == policy.Each {
				text += "[*]"
			} else {
				text += "." + field
			}
		}
		if one.Shape {
			text += "?"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// always are the parts that every binding reads.
const always = "namespace.kind? request.namespace?"

const podRules = `matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}`

// vap is a policy over Pods with its binding.
func vap(t testing.TB, spec, binding string) []policy.Object {
	if !strings.Contains(spec, "matchConstraints") {
		spec = podRules + ", " + spec
	}
	return []policy.Object{
		asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: p}, spec: {"+spec+"}}")),
		asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: p}, spec: {policyName: p, validationActions: [Deny]"+binding+"}}")),
	}
}

// readers are the policies of some objects that may say what they read.
func readers(t testing.TB, objects []policy.Object) (all []policy.Reader) {
	t.Helper()
	for _, one := range newEngine(t).Compile(objects).Policies {
		r, ok := one.(policy.Reader)
		if !ok {
			t.Fatalf("%T does not say what it reads", one)
		}
		all = append(all, r)
	}
	return all
}

// readings are expressions, and what they read.
var readings = map[string]string{
	// Those of the bench and of most clusters.
	`!object.spec.?hostNetwork.orValue(false)`:                                                                     "object.spec.hostNetwork",
	`!has(object.spec.hostPID) || !object.spec.hostPID`:                                                            "object.spec.hostPID",
	`object.spec.containers.all(c, !c.?securityContext.?privileged.orValue(false))`:                                "object.spec.containers[*].securityContext.privileged",
	`object.spec.containers.all(c, c.image.startsWith("registry.example.org/"))`:                                   "object.spec.containers[*].image",
	`object.spec.containers.all(c, has(c.resources) && has(c.resources.limits) && "memory" in c.resources.limits)`: "object.spec.containers[*].resources? object.spec.containers[*].resources.limits?",
	`has(object.metadata.labels) && "app" in object.metadata.labels`:                                               "object.metadata.labels?",
	`has(object.metadata.labels) && object.metadata.labels["app"] == "web"`:                                        "object.metadata.labels? object.metadata.labels.app",
	`object.metadata.?labels[?"app"].orValue("") != ""`:                                                            "object.metadata.labels.app",
	`object.metadata.name.size() <= 63`:                                                                            "object.metadata.name",
	`!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath))`:                                    "object.spec.volumes[*].hostPath?",
	`size(object.spec.containers) < 5`:                                                                             "object.spec.containers?",
	`object.spec.containers.size() == object.spec.volumes.size()`:                                                  "object.spec.containers? object.spec.volumes?",
	`object.spec.containers[0].image != ""`:                                                                        "object.spec.containers[*].image",
	`object.spec.replicas > 1 ? object.metadata.name != "" : true`:                                                 "object.metadata.name object.spec.replicas",
	`(object == null ? oldObject : object).metadata.name == "web"`:                                                 "object? object.metadata.name old.metadata.name",
	`object.spec == oldObject.spec`:                                                                                "object.spec old.spec",
	`object.metadata.labels == null`:                                                                               "object.metadata.labels?",
	`object.spec.containers.exists_one(c, c.name == "web")`:                                                        "object.spec.containers[*].name",
	`object.spec.containers.map(c, c.image).all(i, i.endsWith("x"))`:                                               "object.spec.containers[*].image",
	`object.spec.containers.filter(c, has(c.ports)).all(c, c.ports.all(p, p.containerPort > 1024))`:                "object.spec.containers[*]? object.spec.containers[*].ports[*].containerPort",
	`((has(object.spec.containers) ? object.spec.containers : []) + (has(object.spec.initContainers) ? object.spec.initContainers : [])).all(c, c.image != "")`: "object.spec.containers[*].image object.spec.initContainers[*].image",
	`[object.spec.?containers.orValue([]), object.spec.?initContainers.orValue([])].flatten().all(c, c.image != "")`:                                            "object.spec.containers[*]? object.spec.containers[*].image object.spec.containers.image object.spec.initContainers[*]? object.spec.initContainers[*].image object.spec.initContainers.image",
	`object.metadata.labels.all(k, k.startsWith("x"))`:                             "object.metadata.labels?",
	`object.metadata.labels.all(k, v, k != v)`:                                     "object.metadata.labels[*]",
	`object.metadata.annotations.transformList(k, v, k == "a", v).size() == 0`:     "object.metadata.annotations[*]?",
	`object.metadata.annotations.transformMap(k, v, v + "!").all(k, v, v != "a!")`: "object.metadata.annotations[*]",
	`object.spec.?nodeName.hasValue()`:                                             "object.spec.nodeName?",
	`object.?spec.?nodeName.optMap(n, n == "a").orValue(true)`:                     "object.spec.nodeName",
	`optional.of(object.metadata.name).or(optional.none()).orValue("") == "a"`:     "object.metadata.name",
	`object.spec.args[object.spec.index] == "a"`:                                   "object.spec.args[*] object.spec.index",
	`"ALL" in object.spec.containers[0].securityContext.capabilities.drop`:         "object.spec.containers[*].securityContext.capabilities.drop",
	`object.kind in ["Pod"]`:                                                       "object.kind",
	`object.spec.a + object.spec.b == 3`:                                           "object.spec.a object.spec.b",
	`[object.spec.a].size() == 1`:                                                  "object.spec.a?",
	`{"k": object.spec.a}.k == 1`:                                                  "object.spec.a",
	`string(object.spec) == ""`:                                                    "object.spec",
	`quantity(object.spec.limit).isLessThan(quantity("1Gi"))`:                      "object.spec.limit",
	`namespaceObject.metadata.labels.env == "prod"`:                                "namespace.metadata.labels.env",
	`"env" in namespaceObject.metadata.labels`:                                     "namespace.metadata.labels?",
	`request.operation == "CREATE" && request.kind.kind == "Pod" && request.subResource == "" && has(request.requestKind.group)`: "",
	`"devs" in request.userInfo.groups && request.userInfo.username == "alice"`:                                                  "request.userInfo.groups request.userInfo.username",
	`request.name == "web" && request.namespace == "shop" && !request.dryRun`:                                                    "request.dryRun request.name request.namespace",
	`has(request.options) && has(request.options.fieldManager)`:                                                                  "request.options? request.options.fieldManager?",
	`object.spec.containers.all(object, object.name != "")`:                                                                      "object.spec.containers[*].name",
	`object.spec.containers.all(c, .object.spec.hostNetwork == true)`:                                                            "object.spec.containers? object.spec.hostNetwork",
	`dyn(object)["spec"].hostNetwork == true`:                                                                                    "object.spec.hostNetwork",
	`object == oldObject`: "object old",
	`object.spec.containers.sortBy(c, c.name).all(c, c.image != "")`:                            "object.spec.containers",
	`[object.spec.a + object.spec.b].size() == 1`:                                               "object.spec.a object.spec.b",
	`(object.spec.a + object.spec.b)[?0].hasValue()`:                                            "object.spec.a object.spec.b",
	`request.userInfo.extra.labels.exists(l, l == "a") || "a" in request.userInfo.extra.labels`: "request.userInfo.extra.labels",
	`namespaceObject.metadata.labels.data.size() < 4`:                                           "namespace.metadata.labels.data",
	`object.spec.nodeName in ["a", "web"]`:                                                      "object.spec.nodeName",
	`object.spec.nodeName in object.metadata.labels`:                                            "object.metadata.labels? object.spec.nodeName",
	`object.spec.?nodeName.orValue(object.spec.?zone.orValue("a")) == "a"`:                      "object.spec.nodeName object.spec.zone",
	`object.spec.?zone.or(object.spec.?nodeName).hasValue()`:                                    "object.spec.nodeName? object.spec.zone?",
	`[object.spec.args, object.spec.zones].flatten() == ["a", "b", "x"]`:                        "object.spec.args object.spec.zones",
	`object.spec.args + object.spec.zones == ["a", "b", "x"]`:                                   "object.spec.args object.spec.zones",
	`[object.spec.args + object.spec.zones].all(l, l.size() > 1)`:                               "object.spec.args object.spec.zones",
	`{object.spec.nodeName: 1}.exists(k, k == "a")`:                                             "object.spec.nodeName",
	`object.spec.containers.map(c, c.image.endsWith("x"), c.name) == ["side"]`:                  "object.spec.containers[*].image object.spec.containers[*].name",
	`object.spec.containers.transformList(i, c, c.image.endsWith("x"), c.name).size() == 1`:     "object.spec.containers[*].image object.spec.containers[*].name?",
	`namespaceObject == null || namespaceObject.metadata.name == "shop"`:                        "namespace? namespace.metadata.name",
	`(object.spec.args + object.spec.zones).map(c, 1).size() == 2`:                              "object.spec.args? object.spec.zones?",
	`object.spec.args.map(c, 1).size() == 2`:                                                    "object.spec.args?",
	`1 + 1 == 2`:                                                                                "",
}

func TestReads(t *testing.T) {
	for expression, want := range readings {
		got := readers(t, vap(t, fmt.Sprintf("validations: [{expression: %s}]", quoted(expression)), ""))
		parts, ok := got[0].Reads()
		text := spelled(parts)
		for _, one := range strings.Fields(always) {
			text = strings.TrimSpace(strings.Replace(" "+text+" ", " "+one+" ", " ", 1))
		}
		if words := strings.Fields(text); !ok || strings.Join(words, " ") != want {
			t.Errorf("%s\nreads %s (%v)\nwant  %s", expression, text, ok, want)
		}
	}
}

func TestReadsOfPolicies(t *testing.T) {
	for _, test := range []struct{ name, spec, binding, want string }{
		{"variables", `variables: [{name: all, expression: "object.spec.containers + object.spec.?initContainers.orValue([])"}, {name: bad, expression: "variables.all.filter(c, c.image.endsWith(':latest'))"}, {name: unused, expression: object.metadata.name}], validations: [{expression: "size(variables.bad) == 0"}]`, "",
			"object.spec.containers[*]? object.spec.containers[*].image object.spec.initContainers[*]? object.spec.initContainers[*].image " + always},
		{"a variable that is only there", `variables: [{name: called, expression: object.metadata.name}], validations: [{expression: "has(variables.called)"}]`, "", "object.metadata.name? " + always},
		{"a condition", `matchConditions: [{name: c, expression: "object.metadata.name == 'a'"}], validations: [{expression: "true"}]`, "", "object.metadata.name " + always},
		{"a message", `validations: [{expression: "has(object.spec)", messageExpression: "'of ' + object.metadata.name"}]`, "", "object.spec? " + always},
		{"messages that may cost more than there is", `validations: [` + strings.Repeat(`{expression: "has(object.spec)", messageExpression: "'of ' + object.metadata.name"}, `, 5) + `]`, "", "object.metadata.name object.spec? " + always},
		{"an object selector", `matchConstraints: {objectSelector: {matchLabels: {app: web}}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, validations: [{expression: "true"}]`, "",
			"object.metadata.labels[*]? object.metadata.labels.app old.metadata.labels[*]? old.metadata.labels.app " + always},
		{"a namespace selector of a binding", `validations: [{expression: "true"}]`, `, matchResources: {namespaceSelector: {matchExpressions: [{key: env, operator: Exists}]}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}`,
			"namespace.kind? namespace.metadata.labels[*]? namespace.metadata.labels.env request.namespace?"},
		{"a namespace selector for Namespaces", `matchConstraints: {namespaceSelector: {matchLabels: {env: prod}}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [namespaces]}]}, validations: [{expression: "true"}]`, "",
			"object.metadata.labels[*]? object.metadata.labels.env namespace.kind? namespace.metadata.labels[*]? namespace.metadata.labels.env request.namespace?"},
		{"names", `matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods], resourceNames: [web]}]}, validations: [{expression: "true"}]`, "",
			"namespace.kind? request.name request.namespace?"},
		{"names that are left out", `matchConstraints: {resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}], excludeResourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods], resourceNames: [web]}]}, validations: [{expression: "true"}]`, "",
			"namespace.kind? request.name request.namespace?"},
		// What nobody knows.
		{"params", `paramKind: {apiVersion: v1, kind: ConfigMap}, validations: [{expression: "true"}]`, "", "-"},
		{"permissions", `validations: [{expression: "authorizer.requestResource.check('get').allowed()"}]`, "", "-"},
		{"the audit event", `validations: [{expression: "true"}], auditAnnotations: [{key: k, valueExpression: "'v'"}]`, "", "-"},
		{"a fault", `validations: [{expression: "object..spec"}]`, "", "-"},
		{"a variable with a fault", `variables: [{name: v, expression: "nonsense("}], validations: [{expression: "true"}]`, "", "-"},
		{"all variables", `variables: [{name: v, expression: "1"}], validations: [{expression: "dyn(variables).all(v, true)"}]`, "", "-"},
		{"a variable by a computed name", `variables: [{name: v, expression: "1"}], validations: [{expression: "dyn(variables)[object.metadata.name] == 1"}]`, "", "-"},
		{"a variable that is made of itself", `variables: [{name: v, expression: "1"}, {name: v, expression: "variables.v + 1"}], validations: [{expression: "variables.v == 1"}]`, "", "-"},
		{"the request as a whole", `validations: [{expression: "dyn(request) == dyn(object)"}]`, "", "-"},
		{"how many fields a request has", `validations: [{expression: "size(dyn(request)) > 3"}]`, "", "-"},
		{"a field of a request by a computed name", `validations: [{expression: "dyn(request)[object.metadata.name] == 3"}]`, "", "-"},
		{"a field that no request has", `validations: [{expression: "has(dyn(request).uid)"}]`, "", "-"},
	} {
		parts, ok := readers(t, vap(t, test.spec, test.binding))[0].Reads()
		got := spelled(parts)
		if !ok {
			got = "-"
		}
		if got != test.want {
			t.Errorf("%s\nreads %s\nwant  %s", test.name, got, test.want)
		}
	}
}

func TestReadsOfConstraints(t *testing.T) {
	for _, test := range []struct{ name, source, want string }{
		{"labels", `{validations: [{expression: "variables.params.labels.all(l, l in variables.anyObject.metadata.labels)"}]}`, "object? object.metadata.labels? old.metadata.labels?"},
		{"the deletion", `{validations: [{expression: "variables.anyObject.spec.containers.all(c, c.image != '')"}]}`, "object? object.spec.containers[*].image old.spec.containers[*].image"},
		{"the namespace", `{validations: [{expression: "namespaceObject.metadata.labels.env != 'prod'"}]}`, "namespace.metadata.labels.env"},
		{"a message, whose cost may exceed the budget", `{validations: [{expression: "has(object.spec)", messageExpression: "object.metadata.name"}]}`, "object.metadata.name object.spec?"},
		{"a message of parameters", `{validations: [{expression: "has(object.spec)", messageExpression: "'add ' + variables.params.label"}]}`, "object.spec?"},
		{"an exemption", `{variables: [{name: containers, expression: "has(variables.anyObject.spec.containers) ? variables.anyObject.spec.containers : []"}, {name: exempt, expression: "variables.containers.filter(c, variables.params.exemptImages.exists(e, c.image.startsWith(e))).map(c, c.image)"}, {name: bad, expression: "variables.containers.filter(c, !(c.image in variables.exempt)).filter(c, !has(c.readinessProbe))"}], validations: [{expression: "variables.bad.size() == 0"}]}`,
			"object? object.spec.containers[*]? object.spec.containers[*].image object.spec.containers[*].readinessProbe? old.spec.containers[*]? old.spec.containers[*].image old.spec.containers[*].readinessProbe?"},
		{"a condition", `{matchCondition: [{name: c, expression: "request.userInfo.username != 'root'"}], validations: [{expression: "true"}]}`, "request.userInfo.username"},
		{"a fault", `{validations: [{expression: "params.kind == ''"}]}`, "-"},
	} {
		template, _ := shared().CompileTemplate("x", object(t, "{apiVersion: v1, kind: Code, source: "+test.source+"}").Object["source"].(map[string]any))
		parts, ok := template.For(nil).Reads()
		got := spelled(parts)
		if !ok {
			got = "-"
		}
		if got != test.want {
			t.Errorf("%s\nreads %s\nwant  %s", test.name, got, test.want)
		}
	}
}
