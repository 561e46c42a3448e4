package cel_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/policy"
)

func everything() *metav1.LabelSelector { return &metav1.LabelSelector{} }

// maker makes policies, bindings, params and requests by chance, the same ones of a
// seed each time.
type maker struct {
	*rand.Rand
	t testing.TB
}

func newMaker(t testing.TB, seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 4)), t} }

func (m maker) one(of ...string) string { return of[m.IntN(len(of))] }

// seldom is true once in n times.
func (m maker) seldom(n int) bool { return m.IntN(n) == 0 }

// some is one of them or, most often, nothing.
func (m maker) some(of ...string) string {
	if m.IntN(3) > 0 {
		return ""
	}
	return m.one(of...)
}

// conditions are true, false, fail, cost too much, or do not compile.
func (m maker) condition() string {
	return m.one(
		"true", "false", "object != null", "object == null || object.metadata.name != 'web'",
		"object.spec.containers.all(c, !c.image.endsWith(':latest'))", "has(object.spec) && has(object.spec.replicas) && object.spec.replicas < 3",
		"oldObject == null || object == null || oldObject.metadata.name == object.metadata.name", "oldObject != null",
		"request.operation != 'DELETE'", "request.userInfo.username == 'alice' && 'devs' in request.userInfo.groups", "request.userInfo.extra.team == ['shop']",
		"request.kind.kind == 'Pod' && request.resource.resource == 'pods'", "request.subResource == ''", "request.dryRun", "request.namespace == 'shop'", "request.requestKind.version == 'v1'",
		"has(request.options) && has(request.options.fieldManager) && request.options.fieldManager == 'kubectl'",
		"namespaceObject.metadata.labels.env == 'prod'", "namespaceObject == null",
		"object.spec.nothing.at.all", "object.metadata.labels['none'] == 'x'", "[1][2] == 1", "1 / 0 == 1",
		"authorizer.group('').resource('pods').namespace('shop').check('get').allowed()",
		"authorizer.group('').resource('pods').check('delete').reason() == 'none may delete'",
		"authorizer.group('').resource('pods').check('patch').allowed()", "authorizer.group('').resource('pods').check('patch').errored()",
		"authorizer.requestResource.check('get').allowed()", "authorizer.serviceAccount('shop', 'web').path('/healthz').check('delete').allowed()",
		"quantity('1Gi').isGreaterThan(quantity('1Mi'))", "url('https://a.example/b').getHost() == 'a.example'", "ip('10.0.0.1').family() == 4", "semver('1.2.3').major() == 1",
		"object.metadata.?labels.?app.orValue('') == 'web'", "'a,b'.split(',') == ['a', 'b']", "object.metadata.name.matches('^[a-z]+$')", "sets.contains([1, 2], [2])",
		"[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, [0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, [0,1,2,3,4,5,6,7,8,9].all(f, a + b + c + d + e + f >= 0))))))",
		"object..spec", "object.metadata.name", "nothing.declared",
	)
}

func (m maker) withParams() string {
	return m.one("params != null", "params == null || params.data.most == '3'", "params.data.most == '3'", "params.metadata.name == 'small'", "params.most < 4",
		"params.kind in ['ConfigMap', 'Limit', 'Namespace']", "has(params.most) && object.spec.replicas <= params.most", "params.apiVersion == 'v1'", "params.ratio == 2", "params.metadata.namespace == request.namespace")
}

func (m maker) withVariables() string {
	return m.one("variables.name == 'web'", "variables.twice.size() > 4", "variables.bad == 1", "variables.name in ['web', 'shop']", "variables.undeclared")
}

// text is a string expression, or one that fails or is none.
func (m maker) text() string {
	return m.one("'said'", "'of ' + object.metadata.name", "''", "'   '", "'two\\nlines'", "object.spec.nothing", "string(1 / 0)", "request.userInfo.username", "1",
		"'x'.replace('x', '"+strings.Repeat("long", 40)+"')", "['a','b','c'].join('-')", "has(object.metadata) ? 'yes' : 'no'", "string(variables.name)", "authorizer.path('/').check('get').reason()",
		"'"+strings.Repeat("y", 5200)+"'", "object == null ? null : object.metadata.name", "null", "'\\u0007bell'")
}

// constraints are MatchResources; required says that there must be rules.
func (m maker) constraints(required bool) string {
	var b strings.Builder
	rules := m.IntN(2)
	if required {
		rules++
	}
	rule := func() string {
		r := fmt.Sprintf("apiGroups: [%s], apiVersions: [%s], operations: [%s], resources: [%s]",
			m.one(`"*"`, `""`, `""`, `"*"`, `apps`, `"", apps`, `"*"`, `events.k8s.io`), m.one("v1", "v1", `"*"`, `"*"`, "v1beta1, v1", "v1beta1"),
			m.one("CREATE", "CREATE, UPDATE", `"*"`, `"*"`, `"*"`, `"*"`, "DELETE", "UPDATE, DELETE", "CONNECT, CREATE"),
			m.one("pods", "pods", "pods, pods/exec", "pods, deployments", `"*"`, `"*"`, `"*/*"`, `"*"`, `"*/*"`, "pods/exec", "pods/*", "namespaces", "deployments/scale", "configmaps", `"*/scale"`, "events"))
		if scope := m.one("Namespaced", "Cluster", `"*"`); m.seldom(6) {
			r += ", scope: " + scope
		}
		if names := m.one("web", "web, other", "other"); m.seldom(8) {
			r += ", resourceNames: [" + names + "]"
		}
		return "  - {" + r + "}\n"
	}
	if rules > 0 {
		b.WriteString("  resourceRules:\n")
		for range rules {
			b.WriteString(rule())
		}
	}
	if m.seldom(10) {
		b.WriteString("  excludeResourceRules:\n" + rule())
	}
	if s := m.one("{matchLabels: {env: prod}}", "{matchExpressions: [{key: env, operator: NotIn, values: [dev]}]}", "{matchExpressions: [{key: env, operator: Exists}]}",
		"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, play]}]}", "{matchExpressions: [{key: env, operator: Around}]}"); m.seldom(6) {
		b.WriteString("  namespaceSelector: " + s + "\n")
	}
	if s := m.one("{matchLabels: {app: web}}", "{matchExpressions: [{key: app, operator: DoesNotExist}]}", "{matchLabels: {app: '%'}}"); m.seldom(8) {
		b.WriteString("  objectSelector: " + s + "\n")
	}
	if s := m.some("Exact", "Equivalent"); s != "" {
		b.WriteString("  matchPolicy: " + s + "\n")
	}
	if b.Len() == 0 {
		return " {}\n"
	}
	return "\n" + strings.ReplaceAll("\n"+b.String(), "\n  ", "\n    ")[1:]
}

func quoted(expression string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(expression, `\`, `\\`), `"`, `\"`) + `"`
}

// common are the fields that both kinds of policy have.
func (m maker) common(params bool) string {
	var b strings.Builder
	if params {
		b.WriteString("  paramKind: " + m.one("{apiVersion: v1, kind: ConfigMap}", "{apiVersion: v1, kind: ConfigMap}", "{apiVersion: shop.example/v1, kind: Limit}", "{apiVersion: shop.example/v1, kind: Limit}",
			"{apiVersion: shop.example/v1, kind: Limit}", "{apiVersion: v1, kind: ConfigMap}", "{apiVersion: v1, kind: Namespace}", "{apiVersion: none.example/v1, kind: Nothing}") + "\n")
	}
	if !m.seldom(30) {
		b.WriteString("  matchConstraints:" + m.constraints(true))
	}
	if f := m.one("", "Fail", "Fail", "Ignore", "Ignore"); f != "" {
		b.WriteString("  failurePolicy: " + f + "\n")
	}
	if m.IntN(2) == 0 {
		b.WriteString("  variables:\n  - {name: name, expression: object.metadata.name}\n  - {name: twice, expression: variables.name + variables.name}\n  - {name: bad, expression: object.none}\n")
	}
	if m.seldom(5) {
		b.WriteString("  matchConditions:\n")
		for i := range 1 + m.IntN(2) {
			fmt.Fprintf(&b, "  - {name: c%d, expression: %s}\n", i, quoted(m.one("true", "request.operation != ''", m.condition())))
		}
	}
	return b.String()
}

func (m maker) any(params bool) string {
	switch n := m.IntN(6); {
	case n == 0:
		return m.withVariables()
	case params && n < 4:
		return m.withParams()
	}
	return m.condition()
}

func (m maker) validating(name string, params bool) string {
	var b strings.Builder
	b.WriteString("apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: " + name + "}\nspec:\n" + m.common(params) + "  validations:\n")
	for range 1 + m.IntN(3) {
		b.WriteString("  - expression: " + quoted(m.any(params)) + "\n")
		if s := m.some("wrong", "'  kept  '", `"two\nlines"`); s != "" {
			b.WriteString("    message: " + s + "\n")
		}
		if m.IntN(2) == 0 {
			b.WriteString("    messageExpression: " + quoted(m.text()) + "\n")
		}
		if s := m.some("Forbidden", "Unauthorized", "Invalid", "RequestEntityTooLarge"); s != "" {
			b.WriteString("    reason: " + s + "\n")
		}
	}
	if m.IntN(3) == 0 {
		b.WriteString("  auditAnnotations:\n")
		for i := range 1 + m.IntN(2) {
			fmt.Fprintf(&b, "  - {key: k%d, valueExpression: %s}\n", i, quoted(m.text()))
		}
	}
	return b.String()
}

func (m maker) mutatingPolicy(name string, params bool) string {
	var b strings.Builder
	b.WriteString("apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata: {name: " + name + "}\nspec:\n" + m.common(params) + "  reinvocationPolicy: " + m.one("Never", "IfNeeded") + "\n  mutations:\n")
	for range 1 + m.IntN(2) {
		if m.IntN(2) == 0 {
			b.WriteString("  - patchType: JSONPatch\n    jsonPatch:\n      expression: " + quoted(m.one(
				`[JSONPatch{op: "add", path: "/metadata/annotations", value: {"a": "b"}}]`, `[JSONPatch{op: "add", path: "/metadata/labels/owner", value: "x" + object.metadata.name}]`,
				`[JSONPatch{op: "remove", path: "/metadata/labels"}]`, `[JSONPatch{op: "remove", path: "/metadata/none"}]`, `[JSONPatch{op: "test", path: "/metadata/name", value: "web"}, JSONPatch{op: "replace", path: "/metadata/labels", value: {"t": "ok"}}]`,
				`[JSONPatch{op: "test", path: "/metadata/name", value: "nobody"}]`, `[JSONPatch{op: "copy", from: "/metadata/name", path: "/metadata/generateName"}]`, `[JSONPatch{op: "move", from: "/metadata/labels", path: "/metadata/annotations"}]`,
				`object.spec.containers.map(c, JSONPatch{op: "add", path: "/spec/containers/0/env/-", value: Object.spec.containers.env{name: "E", value: c.name}})`,
				`[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{name: "added", image: "i"}}]`, `[]`, `[JSONPatch{op: "none", path: "/a"}]`, `"text"`, `object.spec.nothing`, `[JSONPatch{op: "replace", path: "", value: "x"}]`,
				`[JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("a/b~c"), value: string(variables.name)}]`, `has(object.spec.replicas) ? [JSONPatch{op: "replace", path: "/spec/replicas", value: object.spec.replicas + 1}] : []`)) + "\n")
			continue
		}
		b.WriteString("  - patchType: ApplyConfiguration\n    applyConfiguration:\n      expression: " + quoted(m.one(
			`Object{metadata: Object.metadata{labels: {"owner": "shop"}}}`, `Object{metadata: Object.metadata{annotations: {"n": object.metadata.name}}}`, `Object{}`, `Object{spec: Object.spec{replicas: 7}}`,
			`Object{spec: Object.spec{containers: [Object.spec.containers{name: "web", image: "other:1"}]}}`, `Object{spec: Object.spec{containers: [Object.spec.containers{name: "more", image: "more:1"}]}}`,
			`Object{spec: Object.spec{containers: [Object.spec.containers{name: "web", args: ["a"]}]}}`, `Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: "init", image: "i:1", tty: true}]}}`,
			`Object{spec: Object.spec{tolerations: [Object.spec.tolerations{key: "k"}]}}`, `Object{spec: Object.spec{hostNetwork: true, nonsense: 1}}`, `Object{spec: Object.spec{volumes: [Object.spec.volumes{name: "tmp", emptyDir: Object.spec.volumes.emptyDir{medium: "Memory"}}]}}`,
			`Object{metadata: Object.metadata{labels: {"o": string(variables.name)}}}`, `object.spec.none`, `Object{metadata: Object.metadata{name: "another"}}`, `Object{spec: Object.spec{nodeSelector: {"a": "b"}}}`)) + "\n")
	}
	return b.String()
}

func (m maker) binding(kind, policyName, name string, params bool) string {
	var b strings.Builder
	b.WriteString("apiVersion: admissionregistration.k8s.io/v1\nkind: " + kind + "Binding\nmetadata: {name: " + name + "}\nspec:\n  policyName: " + policyName + "\n")
	if kind == validatingPolicyKind {
		b.WriteString("  validationActions: [" + m.one("Deny", "Deny", "Deny, Audit", "Warn", "Warn, Audit", "Audit") + "]\n")
	}
	if params && m.IntN(8) > 0 {
		ref := m.one("name: small", "name: small", "name: small", "name: none", "selector: {matchLabels: {size: any}}", "selector: {matchLabels: {size: never}}", "selector: {}", "name: shop")
		if s := m.some("shop", "limits", "play"); s != "" {
			ref += ", namespace: " + s
		}
		if s := m.one("", "Allow", "Deny", "Deny"); s != "" {
			ref += ", parameterNotFoundAction: " + s
		}
		b.WriteString("  paramRef: {" + ref + "}\n")
	}
	if m.seldom(3) {
		b.WriteString("  matchResources:" + m.constraints(false))
	}
	return b.String()
}

const (
	validatingPolicyKind = "ValidatingAdmissionPolicy"
	mutatingPolicyKind   = "MutatingAdmissionPolicy"
)

// world is some policies of a kind with bindings.
func (m maker) world(kind string, policies int) (all []policy.Object) {
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		params := m.IntN(2) == 0
		text := ""
		if kind == validatingPolicyKind {
			text = m.validating(name, params)
		} else {
			text = m.mutatingPolicy(name, params)
		}
		all = append(all, asPolicy(object(m.t, text)))
		bindings := 1
		if kind == validatingPolicyKind {
			bindings += m.IntN(3)
		}
		for j := range bindings {
			all = append(all, asPolicy(object(m.t, m.binding(kind, name, fmt.Sprintf("%s-b%d", name, j), params))))
		}
	}
	return all
}

// newCluster is what all worlds have besides policies.
func newCluster(t testing.TB) *cluster {
	c := &cluster{namespaces: map[string]*corev1.Namespace{}}
	for name, env := range map[string]string{"shop": ", env: prod", "play": ", env: dev", "limits": ""} {
		labels := map[string]string{"kubernetes.io/metadata.name": name}
		if _, value, ok := strings.Cut(env, ": "); ok {
			labels["env"] = value
		}
		c.namespaces[name] = namespace(name, labels)
		c.objects = append(c.objects,
			object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+name+", labels: {kubernetes.io/metadata.name: "+name+env+"}}}"),
			object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: small, namespace: "+name+", labels: {size: any}}, data: {most: '3'}}"),
			object(t, "{apiVersion: shop.example/v1, kind: Limit, metadata: {name: small, namespace: "+name+", labels: {size: any}}, most: 3, ratio: 2.0}"))
	}
	c.objects = append(c.objects, object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: large, namespace: shop, labels: {size: any}}, data: {most: '9'}}"))
	return c
}

// request is one by chance.
func (m maker) request() admission.Attributes {
	ns := m.one("shop", "shop", "shop", "shop", "shop", "play", "play", "gone")
	resource, sub := schema.GroupVersionResource{Version: "v1", Resource: "pods"}, ""
	o := pod(m.t)
	switch m.IntN(8) {
	case 0:
		o = object(m.t, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, labels: {app: web}}, spec: {replicas: 3, template: {spec: {containers: [{name: web, image: a}]}}}}")
		resource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	case 1:
		o = object(m.t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {a: b}}")
		resource.Resource = "configmaps"
	case 2:
		o = object(m.t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+ns+", labels: {env: "+m.one("prod", "dev")+", app: web}}}")
		resource.Resource = "namespaces"
	}
	if o.GetKind() != "Namespace" {
		o.SetNamespace(ns)
	}
	if o.GetKind() == "Pod" {
		c := o.Object["spec"].(map[string]any)["containers"].([]any)
		c[0].(map[string]any)["image"] = m.one("web:1", "web:latest")
	}
	if m.IntN(4) == 0 {
		o.SetLabels(nil)
	}
	switch m.IntN(8) {
	case 0, 1:
		before := o.DeepCopy()
		before.SetLabels(map[string]string{"app": "before", "env": m.one("prod", "dev")})
		return attributes(admission.Update, o, before, resource, sub)
	case 2:
		return attributes(admission.Delete, nil, o, resource, sub)
	case 3:
		if o.GetKind() == "Pod" {
			exec := object(m.t, "{apiVersion: v1, kind: PodExecOptions, metadata: {name: web, namespace: "+ns+"}, command: [sh]}")
			return attributes(admission.Connect, exec, nil, resource, "exec")
		}
	}
	return attributes(admission.Create, o, nil, resource, sub)
}

// wrote is the objects as they can be read in a test's output.
func wrote(objects []policy.Object) string {
	var b strings.Builder
	for _, o := range objects {
		js, _ := (&unstructured.Unstructured{Object: o.Object}).MarshalJSON()
		b.Write(js)
	}
	return b.String()
}
