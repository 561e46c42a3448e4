package cel_test

import (
	"context"
	"fmt"
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
	if strings.Count(wrote(objects), "0,1,2,3,4,5,6,7,8,9") > 4 {
		return nil // what spends its budget takes long, and reads nothing
	}
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
				for v := range set.Validators(context.Background(), r) {
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

// around is a request that differs in something: most often in a part that is read, or
// near it.
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
		if m.seldom(3) {
			ns = nil // it has gone
		} else if ns != nil {
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

// pruneOnce has one policy by chance answer so many requests that differ from one.
func pruneOnce(t testing.TB, seed uint64, changes int) (compared int) {
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
	switch m.IntN(6) {
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
		constraints := m.constraints(true)
		if a = m.request(); m.seldom(3) {
			constraints = ` {namespaceSelector: {matchLabels: {env: prod}}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [namespaces, pods]}]}`
			o := object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {env: "+m.one("prod", "dev")+"}}}")
			a = attributes(admission.Update, o, o.DeepCopy(), schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "")
		}
		by = judges(t, []policy.Object{
			asPolicy(object(t, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {name: p0}\nspec:\n  validations: [{expression: 'false'}]\n  matchConstraints:"+constraints)),
			asPolicy(object(t, m.binding(validatingPolicyKind, "p0", "b", false)))})
	case 4:
		if spec := holdingCases[m.IntN(len(holdingCases))].spec; m.seldom(2) {
			by = judges(t, vap(t, spec, ""))
		} else {
			by = judges(t, vap(t, `variables: [{name: name, expression: "object == null ? oldObject.metadata.name : object.metadata.name"}, {name: names, expression: "[dyn(variables.name), dyn('other')]"}, {name: namespace, expression: request.namespace}, {name: broken, expression: object.spec.nothing.there}], validations: [{expression: `+quoted(strange[m.IntN(len(strange))])+`}]`, ""))
		}
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
	return m.prune(newAsked(t, a, ns), ns, by, changes)
}

// What is equal in all that a policy reads is the same to it.
func TestReadsDecide(t *testing.T) {
	compared, count := 0, uint64(1200)
	switch {
	case testing.Short():
		count = 200
	case worlds == atOnce: // the race detector is slow
		count = 400
	}
	for seed := range count {
		if compared += pruneOnce(t, seed, 60); t.Failed() {
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
	f.Fuzz(func(t *testing.T, seed uint64) { pruneOnce(t, seed, fuzzed) })
}
