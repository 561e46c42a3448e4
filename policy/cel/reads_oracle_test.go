package cel_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// judge is what answers, and what it says that its answer hangs on.
type judge struct {
	name  string
	parts []policy.Read
	// silent reports whether it has nothing to say of a request.
	silent func(*policy.Request) bool
	// served says that it sees objects of the server's types.
	served bool
}

// unsettled reports whether what was said of a request is not to be remembered.
func unsettled(r *policy.Request) bool {
	return reflect.ValueOf(r).Elem().FieldByName("unsettled").Bool()
}

// judges of policies, by both ways that a policy is asked.
func judges(t testing.TB, objects []policy.Object) (all []judge) {
	for i, one := range newEngine(t).Compile(objects).Policies {
		reader := one.(policy.Reader)
		parts, ok := reader.Reads()
		if !ok {
			continue
		}
		set := policy.NewSet([]policy.Policy{one}, policy.Options{})
		all = append(all,
			judge{fmt.Sprint("validate ", i), parts, func(r *policy.Request) bool {
				// As a Set asks: only those whose Selectors match.
				for _, v := range set.Validators(context.Background(), r) {
					if len(v.Validate(context.Background(), r)) > 0 {
						return false
					}
				}
				return true
			}, false},
			judge{fmt.Sprint("holds ", i), parts, func(r *policy.Request) bool {
				r.Objects = newInterfaces()
				return cel.Holds(context.Background(), set, r)
			}, true})
	}
	return all
}

// constraintJudge is that of a constraint.
func constraintJudge(t testing.TB, source string, parameters map[string]any) []judge {
	template, _ := shared().CompileTemplate("x", object(t, "{apiVersion: v1, kind: Code, source: "+source+"}").Object["source"].(map[string]any))
	constraint := template.For(map[string]any{"spec": map[string]any{"parameters": parameters}})
	parts, ok := constraint.Reads()
	if !ok {
		return nil
	}
	return []judge{{source, parts, func(r *policy.Request) bool {
		ns, _ := r.Namespace(context.Background())
		return len(constraint.Evaluate(context.Background(), r, ns)) == 0
	}, false}}
}

// ask reports whether a judge is silent, and whether that may be remembered.
func (j *judge) ask(r *asked) (silent, remembered bool) {
	request := policy.NewRequest(r.Attributes, nil, r.in)
	silent = j.silent(request)
	return silent, silent && !unsettled(request)
}

// compare has a judge answer two requests that are equal in all it reads. It reports
// whether they were, and one answer at least could be remembered.
func (j *judge) compare(t testing.TB, one, other *asked) bool {
	if one.projection(j.parts) != other.projection(j.parts) {
		return false
	}
	a, keepsA := j.ask(one)
	b, keepsB := j.ask(other)
	if keepsA && !b || keepsB && !a {
		t.Errorf("%s reads %s\nis silent: %v of\n%v\n%v and %v of\n%v\n%v", j.name, spelled(j.parts), a, one.part, one.Attributes, b, other.part, other.Attributes)
	}
	return keepsA || keepsB
}

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

// around makes requests of attributes: those, and others that differ in something.
func (m maker) around(base *asked, ns *corev1.Namespace, parts []policy.Read) *asked {
	a := base.Attributes
	now, before := a.GetObject(), a.GetOldObject()
	ofObject := slices.DeleteFunc(slices.Clone(parts), func(one policy.Read) bool { return one.Of != policy.OfObject && one.Of != policy.OfOldObject })
	changed := func(o runtime.Object) runtime.Object {
		u, ok := o.(*unstructured.Unstructured)
		if !ok || u == nil {
			return o
		}
		if len(ofObject) == 0 || m.seldom(3) {
			return m.disturbed(u, 1+m.IntN(3))
		}
		u = u.DeepCopy()
		kind := u.GroupVersionKind()
		for range 1 + m.IntN(2) {
			if all, ok := m.near(u.Object, ofObject[m.IntN(len(ofObject))].Fields).(map[string]any); ok {
				u.Object = all
			}
		}
		u.SetGroupVersionKind(kind)
		return u
	}
	name, in, dry, who, options := a.GetName(), a.GetNamespace(), a.IsDryRun(), a.GetUserInfo(), a.GetOperationOptions()
	switch m.IntN(6) {
	case 0:
		before = changed(before)
	case 1:
		now, before = changed(now), changed(before)
	case 2:
		if ns != nil {
			all := content(m.t, ns.DeepCopy()).(map[string]any)
			if all["metadata"] = m.disturb(all["metadata"]); m.seldom(2) {
				all["metadata"] = map[string]any{"name": "shop", "labels": map[string]any{"env": m.one("prod", "dev"), m.key(): "a"}}
			}
			other := &corev1.Namespace{}
			if runtime.DefaultUnstructuredConverter.FromUnstructured(all, other) == nil {
				ns = other
			}
		}
	case 3:
		name, dry = m.one(name, "other"), m.seldom(2)
		who = &user.DefaultInfo{Name: m.one("alice", "bob", "root"), Groups: []string{m.one("devs", "ops")}, Extra: map[string][]string{m.one("team", "x"): {m.one("shop", "y")}}}
		if m.seldom(2) {
			options = &metav1.CreateOptions{FieldManager: m.one("", "kubectl", "x"), DryRun: []string{"All"}}
		}
	default:
		now = changed(now)
	}
	return newAsked(m.t, admission.NewAttributesRecord(now, before, a.GetKind(), in, name, a.GetResource(), a.GetSubresource(), a.GetOperation(), options, dry, who), ns)
}

// served is the request as its server has it; nil where its types do not hold it.
func served(t testing.TB, r *asked, ns *corev1.Namespace) *asked {
	of := func(o runtime.Object) (runtime.Object, bool) {
		u, ok := o.(*unstructured.Unstructured)
		if !ok || u == nil {
			return nil, true
		}
		into, err := scheme.Scheme.New(u.GroupVersionKind())
		if err != nil || runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into) != nil {
			return nil, false
		}
		into.GetObjectKind().SetGroupVersionKind(u.GroupVersionKind())
		return into, true
	}
	a := r.Attributes
	now, ok := of(a.GetObject())
	before, alsoOK := of(a.GetOldObject())
	if !ok || !alsoOK {
		return nil
	}
	return newAsked(t, admission.NewAttributesRecord(now, before, a.GetKind(), a.GetNamespace(), a.GetName(), a.GetResource(), a.GetSubresource(), a.GetOperation(), a.GetOperationOptions(), a.IsDryRun(), a.GetUserInfo()), ns)
}

// prune compares requests that differ in nothing that is read, and counts them.
func (m maker) prune(base *asked, ns *corev1.Namespace, by []judge, changes int) (compared int) {
	typed := served(m.t, base, ns)
	for range changes {
		other := m.around(base, ns, by[m.IntN(len(by))].parts)
		var otherNS *corev1.Namespace
		for _, one := range other.in.(*cluster).namespaces {
			otherNS = one
		}
		otherTyped := served(m.t, other, otherNS)
		for i := range by {
			one, two := base, other
			if by[i].served {
				if one, two = typed, otherTyped; one == nil || two == nil {
					continue
				}
			}
			if by[i].compare(m.t, one, two) {
				compared++
			}
		}
	}
	return compared
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

// pruneOnce has one policy of a kind, by chance, answer requests by chance.
func pruneOnce(t testing.TB, seed uint64) (compared int) {
	m := newMaker(t, seed)
	ns := namespace("shop", map[string]string{"kubernetes.io/metadata.name": "shop", "env": m.one("prod", "dev", "x")})
	var by []judge
	base := m.disturbed(rich(t), m.IntN(3))
	a := attributes(admission.Create, base, nil, pods, "")
	switch m.IntN(4) {
	case 0:
		a = attributes(admission.Update, base, m.disturbed(base, m.IntN(3)), pods, "")
	case 1:
		a = attributes(admission.Delete, nil, base, pods, "")
	}
	a = admission.NewAttributesRecord(a.GetObject(), a.GetOldObject(), schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, "shop", "web", pods, "", a.GetOperation(), a.GetOperationOptions(), false, alice)
	switch m.IntN(5) {
	case 0:
		by = constraintJudge(t, templates[m.IntN(len(templates))], parameters)
	case 1, 2:
		spec := "validations: [{expression: " + quoted(m.combined(m.IntN(2))) + "}]"
		if m.seldom(4) {
			spec += ", matchConditions: [{name: c, expression: " + quoted(m.combined(1)) + "}]"
		}
		if m.seldom(4) {
			spec = "variables: [{name: v, expression: " + quoted(m.combined(1)) + "}], validations: [{expression: " + quoted("variables.v || "+m.combined(1)) + "}]"
		}
		by = judges(t, vap(t, spec, ""))
	case 3:
		// It is silent where it does not match.
		by = judges(t, []policy.Object{
			asPolicy(object(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p0}\nspec:\n  validations: [{expression: 'false'}]\n  matchConstraints:"+m.constraints(true))),
			asPolicy(object(t, m.binding(validatingPolicyKind, "p0", "b", false)))})
		a = m.request()
	default:
		by = judges(t, m.world(validatingPolicyKind, 1))
		a = m.request()
	}
	if in := a.GetNamespace(); in != "shop" {
		ns = namespace(in, map[string]string{"kubernetes.io/metadata.name": in, "env": "dev"})
	}
	if len(by) == 0 {
		return 0
	}
	return m.prune(newAsked(t, a, ns), ns, by, 60)
}

// What is equal in all that a policy reads is the same to it.
func TestReadsDecide(t *testing.T) {
	compared, count := 0, uint64(1500)
	if testing.Short() {
		count = 200
	}
	for seed := range count {
		if compared += pruneOnce(t, seed); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if compared < int(count) {
		t.Errorf("%d requests were compared: too few", compared)
	}
	t.Logf("%d requests were compared", compared)
}

func FuzzReads(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { pruneOnce(t, seed) })
}
