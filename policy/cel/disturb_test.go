package cel_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/policy"
)

// vocabulary are keys and values that expressions ask for.
var vocabulary = struct {
	keys   []string
	values []any
}{
	strings.Fields("metadata spec status labels annotations name namespace app env tier containers initContainers volumes image ports containerPort hostNetwork hostPID hostPath resources limits memory cpu securityContext privileged capabilities drop args zone zones index a b limit nodeName replicas readinessProbe finalizers kind none nothing x"),
	[]any{nil, true, false, int64(0), int64(1), int64(5000), int64(math.MaxInt64), 1.5, "", "a", "web", "x", "prod", "web:latest", "registry.example.org/a:1", "0", "1Gi", map[string]any{}, []any{}, []any{"a"}, []any{"ALL"}, []any{map[string]any{"name": "web", "image": "a"}},
		map[string]any{"app": "web"}, map[string]any{"a": "a", "b": map[string]any{}}, []any{map[string]any{"containerPort": int64(80)}, "x"}},
}

func (m maker) key() string { return vocabulary.keys[m.IntN(len(vocabulary.keys))] }
func (m maker) value() any {
	return runtime.DeepCopyJSONValue(vocabulary.values[m.IntN(len(vocabulary.values))])
}

// disturb changes something somewhere below a value, and returns it.
func (m maker) disturb(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 0 && !m.seldom(4) {
			key := slices.Sorted(maps.Keys(v))[m.IntN(len(v))]
			if m.seldom(6) {
				delete(v, key)
			} else {
				v[key] = m.disturb(v[key])
			}
			return v
		}
		if !m.seldom(8) {
			v[m.key()] = m.value()
			return v
		}
	case []any:
		if len(v) > 0 && !m.seldom(4) {
			i := m.IntN(len(v))
			if m.seldom(6) {
				return slices.Delete(v, i, i+1)
			}
			v[i] = m.disturb(v[i])
			return v
		}
		if !m.seldom(8) {
			return append(v, m.value())
		}
	case string:
		if m.seldom(2) {
			return v + m.one("a", ":latest", "9")
		}
	}
	return m.value()
}

// tweak changes a value so that its shape stays, or that of what is around it.
func (m maker) tweak(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if len(v) > 0 {
			key := slices.Sorted(maps.Keys(v))[m.IntN(len(v))]
			v[key] = m.tweak(v[key])
		}
	case []any:
		if len(v) > 0 {
			i := m.IntN(len(v))
			v[i] = m.tweak(v[i])
		}
	case string:
		if v != "" {
			return m.one("a", "web", "x", "web:latest", "registry.example.org/z:1", "1Gi", strings.Repeat("y", 70))
		}
	case int64:
		if v != 0 {
			return []int64{1, 2, 3, math.MaxInt64}[m.IntN(4)]
		}
	case bool:
		return !v
	}
	return value
}

// near changes something along a part that is read, or below it, and returns the value.
func (m maker) near(value any, fields []string) any {
	if len(fields) == 0 || m.seldom(5) {
		if m.seldom(2) {
			return m.disturb(value)
		}
		return m.tweak(value)
	}
	switch v := value.(type) {
	case map[string]any:
		key := fields[0]
		if len(v) > 0 && (key == policy.Each || m.seldom(6)) {
			key = slices.Sorted(maps.Keys(v))[m.IntN(len(v))]
		}
		if below, ok := v[key]; ok {
			v[key] = m.near(below, fields[1:])
		} else {
			v[m.one(key, m.key())] = m.value()
		}
		return v
	case []any:
		if len(v) > 0 {
			i := m.IntN(len(v))
			v[i] = m.near(v[i], fields[1:])
			return v
		}
	}
	return m.disturb(value)
}

// disturbed is a copy of an object with so many changes, of its kind and with its name.
func (m maker) disturbed(o *unstructured.Unstructured, changes int) *unstructured.Unstructured {
	o = o.DeepCopy()
	kind, name, ns := o.GroupVersionKind(), o.GetName(), o.GetNamespace()
	for range changes {
		for _, field := range []string{m.one("metadata", "spec", "spec", "spec"), m.one("metadata", "spec", m.key())} {
			if below, ok := o.Object[field]; ok {
				o.Object[field] = m.disturb(below)
				break
			}
			o.Object[field] = m.value()
		}
	}
	o.SetGroupVersionKind(kind)
	if metadata, ok := o.Object["metadata"].(map[string]any); ok && m.seldom(2) {
		metadata["name"], metadata["namespace"] = name, ns
	}
	return o
}

// rich has something of all that is asked for.
func rich(t testing.TB) *unstructured.Unstructured {
	return object(t, `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}, annotations: {a: a, b: c}}
spec:
  hostNetwork: false
  replicas: 2
  a: 1
  b: 2
  index: 0
  limit: 1Mi
  args: [a, b]
  nodeName: a
  containers:
  - {name: web, image: "registry.example.org/web:1.2", ports: [{containerPort: 8080}], resources: {limits: {cpu: 100m, memory: 64Mi}}, securityContext: {privileged: false, capabilities: {drop: [ALL]}}}
  - {name: side, image: "registry.example.org/side:2x", readinessProbe: {}}
  initContainers: [{name: init, image: "registry.example.org/init:1"}]
  volumes: [{name: tmp, emptyDir: {}}]
`)
}

// combined is an expression of others.
func (m maker) combined(depth int) string {
	all := append(slices.Sorted(maps.Keys(readings)), usual...)
	one := all[m.IntN(len(all))]
	if depth == 0 || m.seldom(3) {
		if m.seldom(2) {
			return "!(" + one + ")"
		}
		return one
	}
	switch m.IntN(5) {
	case 0:
		return "(" + one + ") || (" + m.combined(depth-1) + ")"
	case 1:
		return "(" + one + ") ? (" + m.combined(depth-1) + ") : (" + m.combined(depth-1) + ")"
	case 2:
		return "[" + one + "].map(x, x).exists(x, x) || " + m.combined(depth-1)
	case 3:
		return "optional.of(" + one + ").optMap(x, !x).orValue(true) && (" + m.combined(depth-1) + ")"
	}
	return "(" + one + ") && (" + m.combined(depth-1) + ")"
}

// constraints are those of templates in CEL.
var templates = []string{
	`{validations: [{expression: "variables.params.labels.all(l, l in variables.anyObject.metadata.labels)", messageExpression: "'add ' + variables.params.labels[0]"}]}`,
	`{variables: [{name: containers, expression: "has(variables.anyObject.spec.containers) ? variables.anyObject.spec.containers : []"}, {name: init, expression: "variables.anyObject.spec.?initContainers.orValue([])"}, {name: exempt, expression: "variables.containers.filter(c, variables.params.exempt.exists(e, c.image.startsWith(e))).map(c, c.image)"}, {name: bad, expression: "(variables.containers + variables.init).filter(c, !(c.image in variables.exempt)).filter(c, !has(c.readinessProbe))"}], validations: [{expression: "variables.bad.size() == 0", messageExpression: "variables.bad.map(c, c.name).join(', ')"}]}`,
	`{variables: [{name: priv, expression: "variables.anyObject.spec.containers.filter(c, c.?securityContext.?privileged.orValue(false)).map(c, 'bad: ' + c.name)"}], validations: [{expression: "size(variables.priv) == 0"}], failurePolicy: Ignore}`,
	`{matchCondition: [{name: c, expression: "request.userInfo.username != 'bob'"}], validations: [{expression: "namespaceObject.metadata.labels[?'env'].orValue('') != 'x' || 'ALL' in object.spec.containers[0].securityContext.capabilities.drop"}]}`,
	`{variables: [{name: keys, expression: "object.metadata.labels.transformList(k, v, v != '', k)"}, {name: by, expression: "object.spec.containers.transformMapEntry(i, c, {c.name: c.image})"}], validations: [{expression: "variables.keys.exists(k, k == 'app') && !('web' in variables.by && variables.by['web'].endsWith('latest'))"}]}`,
	`{validations: [{expression: "object.spec.containers.size() >= 2 ? object.spec.containers.sortBy(c, c.name)[0].image != '' : (object.spec.containers + object.spec.args).last().hasValue()"}]}`,
	`{validations: [{expression: "(object.spec.a + object.spec.b).size() == 2 || type(object.spec.a) == int || object.spec.?args[?0].orValue('') == 'a'"}]}`,
}

var parameters = map[string]any{"labels": []any{"app", "tier"}, "exempt": []any{"registry"}}
