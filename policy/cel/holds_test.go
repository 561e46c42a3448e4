package cel_test

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// silent reports whether upstream's plugin lets a request pass without a word.
func (v *verdict) silent() bool {
	return !v.Refused && len(v.Warnings) == 0 && len(v.Failures) == 0 && len(v.Annotations) == 0
}

func holds(ctx context.Context, set *policy.Set, a admission.Attributes, in policy.Cluster) bool {
	r := policy.NewRequest(a, nil, in)
	r.Authorizer, r.Objects = permissions{}, newInterfaces()
	return cel.Holds(ctx, set, r)
}

// compareHolds has Holds and upstream's plugin speak of the same request, once with its
// objects as they are and once as an API server has them. It is never true where the
// plugin is not silent.
func (w *world) compareHolds(t *testing.T, a admission.Attributes, theirs verdict, in *cluster, seen map[string]int) bool {
	t.Helper()
	served := asServed(t, a)
	for _, one := range []struct {
		name   string
		a      admission.Attributes
		theirs verdict
	}{{"held", a, theirs}, {"held as served", served, w.theirs.validate(t, served)}} {
		if !holds(context.Background(), w.ours, one.a, in) {
			continue
		}
		seen[one.name]++
		if !one.theirs.silent() {
			w.differs(t, one.a, one.theirs, verdict{Messages: []string{one.name}})
			return false
		}
	}
	return true
}

// holdingCases are one policy each, and whether Holds may speak for it where it holds.
var holdingCases = []struct {
	name, spec string
	binding    string
	want       bool
}{
	{"holds", `validations: [{expression: "true"}]`, "", true},
	{"does not hold", `validations: [{expression: "false"}]`, "", false},
	{"does not hold, and warns", `validations: [{expression: "false"}]`, "[Warn]", false},
	{"does not hold, and is written down", `validations: [{expression: "false"}]`, "[Audit]", false},
	{"fails", `validations: [{expression: "object.spec.none == 1"}]`, "", false},
	{"fails and is ignored", `failurePolicy: Ignore, validations: [{expression: "object.spec.none == 1"}]`, "", false},
	{"has variables", `variables: [{name: v, expression: "object.metadata.name"}], validations: [{expression: "variables.v == 'web'"}]`, "", true},
	{"matches by a condition", `matchConditions: [{name: c, expression: "object.metadata.name == 'web'"}], validations: [{expression: "true"}]`, "", true},
	{"does not match by a condition", `matchConditions: [{name: c, expression: "object.metadata.name == 'db'"}], validations: [{expression: "false"}]`, "", true},
	{"has a condition with a variable", `variables: [{name: v, expression: "object.metadata.name"}], matchConditions: [{name: c, expression: "variables.v == 'db'"}], validations: [{expression: "false"}]`, "", true},
	{"has a condition that fails", `matchConditions: [{name: c, expression: "object.spec.none == 1"}], validations: [{expression: "true"}]`, "", false},
	{"has a condition that fails and one that does not match", `matchConditions: [{name: c, expression: "object.spec.none == 1"}, {name: d, expression: "false"}], validations: [{expression: "true"}]`, "", false},
	{"has a condition without a namespace", `matchConditions: [{name: c, expression: "namespaceObject == null"}], validations: [{expression: "namespaceObject.metadata.name == 'shop'"}]`, "", true},
	{"is for another namespace", `matchConstraints: {namespaceSelector: {matchLabels: {env: none}}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, validations: [{expression: "false"}]`, "", true},
	{"is for other objects", `matchConstraints: {objectSelector: {matchLabels: {app: none}}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, validations: [{expression: "false"}]`, "", true},
	{"leaves Pods out", `matchConstraints: {resourceRules: [{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}], excludeResourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, validations: [{expression: "false"}]`, "", true},
	// What upstream's plugin alone says.
	{"writes to the audit event", `validations: [{expression: "true"}], auditAnnotations: [{key: k, valueExpression: "'v'"}]`, "", false},
	{"writes nothing to the audit event", `validations: [{expression: "true"}], auditAnnotations: [{key: k, valueExpression: "null"}]`, "", false},
	{"has params", `paramKind: {apiVersion: v1, kind: ConfigMap}, validations: [{expression: "true"}]`, "", false},
	{"has params of a kind that is not there", `paramKind: {apiVersion: none.example/v1, kind: None}, validations: [{expression: "true"}]`, "", false},
	{"asks for a permission", `validations: [{expression: "authorizer.group('').resource('pods').check('get').allowed()"}]`, "", false},
	{"asks for a permission in a variable", `variables: [{name: v, expression: "authorizer.group('').resource('pods').check('get').allowed()"}], validations: [{expression: "variables.v"}]`, "", false},
	{"asks for a permission in a condition", `matchConditions: [{name: c, expression: "authorizer.group('').resource('pods').check('get').allowed()"}], validations: [{expression: "true"}]`, "", false},
	{"does not compile", `validations: [{expression: "true"}, {expression: "nonsense("}]`, "", false},
	{"has a message that does not compile", `validations: [{expression: "true", messageExpression: "nonsense("}]`, "", false},
	{"has a variable that does not compile", `variables: [{name: v, expression: "nonsense("}], validations: [{expression: "true"}]`, "", false},
	{"has a condition that does not compile", `matchConditions: [{name: c, expression: "nonsense("}], validations: [{expression: "true"}]`, "", false},
	{"has an unknown failure policy", `failurePolicy: Perhaps, validations: [{expression: "true"}]`, "", false},
	{"has a selector that cannot be read", `matchConstraints: {objectSelector: {matchExpressions: [{key: a, operator: Perhaps}]}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, validations: [{expression: "true"}]`, "", false},
	{"costs too much", `validations: [{expression: "` + nested(9) + `"}]`, "", false},
	{"costs too much in a condition", `matchConditions: [{name: c, expression: "` + nested(9) + `"}], validations: [{expression: "true"}]`, "", false},
}

func TestHolds(t *testing.T) {
	in := newCluster(t)
	for _, test := range holdingCases {
		t.Run(test.name, func(t *testing.T) {
			spec := test.spec
			if !strings.Contains(spec, "matchConstraints") {
				spec = `matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, ` + spec
			}
			actions := test.binding
			if actions == "" {
				actions = "[Deny]"
			}
			all := []policy.Object{
				asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: p}, spec: {"+spec+"}}")),
				asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: p}, spec: {policyName: p, validationActions: "+actions+"}}")),
			}
			a := asServed(t, attributes(admission.Create, pod(t), nil, pods, ""))
			got := holds(context.Background(), newSet(t, all), a, in)
			if got != test.want {
				t.Errorf("holds: %v, want %v", got, test.want)
			}
			u := newUpstream(t, all, in)
			u.ready(t)
			if theirs := u.validate(t, a); got && !theirs.silent() {
				t.Errorf("it holds, and upstream's plugin says %+v", theirs)
			}
			if holds(context.Background(), newSet(t, all), asServed(t, attributes(admission.Create, object(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: web, namespace: shop}}"), nil, pods.GroupVersion().WithResource("configmaps"), "")), in) !=
				!strings.Contains(spec, `"*"], resources: ["*"]`) {
				t.Error("of a request that it does not match, it has nothing to say")
			}
		})
	}
}

// A namespace that nobody knows, a client that has gone and a request that is not the
// server's own are upstream's plugin's to speak of.
func TestHoldsIsNoAnswerWithoutGrounds(t *testing.T) {
	set := newSet(t, policies(t, 1))
	a := asServed(t, attributes(admission.Create, pod(t), nil, pods, ""))
	in := &cluster{namespaces: map[string]*corev1.Namespace{"shop": namespace("shop", nil)}}
	if !holds(context.Background(), set, a, in) {
		t.Fatal("the policy holds")
	}
	if holds(context.Background(), set, a, lost{}) {
		t.Error("the namespace cannot be had")
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if holds(gone, set, a, in) {
		t.Error("the client has gone")
	}
	if r := policy.NewRequest(a, nil, in); cel.Holds(context.Background(), set, r) {
		t.Error("there is no server to convert objects")
	}
	r := policy.NewRequest(a, nil, in)
	r.Objects = newInterfaces()
	r.SetObject(pod(t))
	if cel.Holds(context.Background(), set, r) {
		t.Error("the object is not that of the attributes any more")
	}
}

// What upstream's plugin counts of match conditions is counted once, whoever speaks.
func TestConditionsAreCountedAsUpstreamCounts(t *testing.T) {
	in := newCluster(t)
	a := asServed(t, attributes(admission.Create, pod(t), nil, pods, ""))
	for _, name := range []string{"unmatched-one", "unmatched-beside-a-refusal"} {
		policyOf := func(name, spec string) []policy.Object {
			return []policy.Object{
				asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: "+name+`}, spec: {matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]}, `+spec+"}}")),
				asPolicy(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: "+name+"}, spec: {policyName: "+name+", validationActions: [Deny]}}")),
			}
		}
		all := policyOf(name, `matchConditions: [{name: c, expression: "false"}], validations: [{expression: "false"}]`)
		want := uint64(1)
		if strings.HasSuffix(name, "refusal") {
			all, want = append(all, policyOf("z-refuses", `validations: [{expression: "false"}]`)...), 0
		}
		if got := holds(context.Background(), newSet(t, all), a, in); got != (want == 1) {
			t.Fatal(name, "holds:", got)
		}
		if got := countedConditions(t, name); got != want {
			t.Errorf("%s: %d evaluations are counted, want %d", name, got, want)
		}
		u := newUpstream(t, all, in)
		u.ready(t)
		u.validate(t, a)
		if got := countedConditions(t, name); got != want+1 {
			t.Errorf("%s: upstream's plugin counts %d evaluations, want 1", name, got-want)
		}
	}
}

func countedConditions(t *testing.T, name string) (n uint64) {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasSuffix(family.GetName(), "match_condition_evaluation_seconds") {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["name"] == name {
				if labels["kind"] != "policy" || labels["type"] != "validate" || labels["operation"] != "CREATE" {
					t.Errorf("labels: %v", labels)
				}
				n += m.GetHistogram().GetSampleCount()
			}
		}
	}
	return n
}

// asServed are attributes as an API server has them: objects of built-in kinds are of
// its types.
func asServed(t testing.TB, a admission.Attributes) admission.Attributes {
	t.Helper()
	return admission.NewAttributesRecord(ofServer(t, a.GetObject()), ofServer(t, a.GetOldObject()), a.GetKind(), a.GetNamespace(), a.GetName(), a.GetResource(), a.GetSubresource(),
		a.GetOperation(), a.GetOperationOptions(), a.IsDryRun(), a.GetUserInfo())
}

func ofServer(t testing.TB, o runtime.Object) runtime.Object {
	t.Helper()
	u, ok := o.(*unstructured.Unstructured)
	if !ok || u == nil {
		return nil
	}
	into, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return u // a custom resource
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		t.Fatal(err)
	}
	// It comes to the plugins in another version than policies see.
	into.GetObjectKind().SetGroupVersionKind(into.GetObjectKind().GroupVersionKind().GroupKind().WithVersion("__internal"))
	return into
}
