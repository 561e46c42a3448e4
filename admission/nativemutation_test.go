package admission

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// labelling gives Pods a label whose value is an expression.
func labelling(name, again, value string) []string {
	return []string{
		fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: %[1]s}, spec: {failurePolicy: Fail, reinvocationPolicy: %[2]s,
  matchConstraints: {matchPolicy: Equivalent, namespaceSelector: {}, objectSelector: {}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]},
  mutations: [{patchType: ApplyConfiguration, applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: {"%[1]s": %[3]s}}}'}}]}}`, name, again, value),
		fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicyBinding, metadata: {name: %s-here}, spec: {policyName: %s}}`, name, name),
	}
}

// mutatingSet is policies with an Exception from one of them, for Pods of a name.
func mutatingSet(t *testing.T, texts []string, excepted string, pods ...string) *policy.Set {
	t.Helper()
	engine, err := cel.New(cel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	loaded := engine.Compile(readObjects(t, texts))
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	x, err := policy.NewException(&v1alpha1.Exception{Spec: v1alpha1.ExceptionSpec{
		Policies: []v1alpha1.ExceptedPolicy{{Kind: "MutatingAdmissionPolicy", Name: excepted}}, Match: &v1alpha1.ExceptionMatch{Names: pods},
		Reason: "moves next week", Owner: "shop@example.org", ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
	}}, gate.Source{Kind: "Exception", Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewSet(loaded.Policies, policy.Options{Exceptions: policy.NewExceptions([]*policy.Exception{x})})
}

// pluginOf stands for upstream's plugin: it shows that it was asked.
type pluginOf struct {
	*admission.Handler
	refuses error
}

func (p pluginOf) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	pod := a.GetObject().(*corev1.Pod)
	metav1.SetMetaDataLabel(&pod.ObjectMeta, "plugin", "asked")
	return p.refuses
}

func podRequest(name string) (*corev1.Pod, *said) {
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}}
	return pod, &said{annotations: map[string]string{}, Attributes: admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), "shop", name,
		schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "alice"})}
}

func mutationAround(set, current *policy.Set, may bool) *nativeMutation {
	n := &NativePolicies{Policy: &Policy{Cluster: func() policy.Cluster { return shop{} }, authorizer: allowAll()},
		Set: func() *policy.Set { return set }, Current: func() *policy.Set { return current }, Cluster: func() policy.Cluster { return shop{} }}
	return &nativeMutation{pluginOf{Handler: admission.NewHandler(admission.Create)}, shortcut{around: n, may: may}}
}

func labelsOf(pod *corev1.Pod) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(pod.Labels)) {
		all = append(all, key+"="+pod.Labels[key])
	}
	return strings.Join(all, " ")
}

var interfaces = admission.NewObjectInterfacesFromScheme(scheme.Scheme)

func TestExceptionsFromNativeMutations(t *testing.T) {
	policies := slices.Concat(labelling("owner", "Never", "request.userInfo.username"), labelling("tier", "Never", `"web"`))
	set := mutatingSet(t, policies, "owner", "web")
	broken := mutatingSet(t, slices.Concat(policies, labelling("broken", "Never", "object.metadata.labels.nothing")), "owner", "web")
	for _, test := range []struct {
		name         string
		set, current *policy.Set
		may          bool
		excluded     bool
		pod          string
		labels       string
		refusal      string
		excepted     bool
	}{
		{"an exception", set, set, true, false, "web", "tier=web", "", true},
		{"of another Pod", set, set, true, false, "db", "plugin=asked", "", false},
		{"a policy that the engine has not read", set, nil, true, false, "web", "plugin=asked", "", false},
		{"other policies since", set, broken, true, false, "web", "plugin=asked", "", false},
		{"policies in files", set, set, false, false, "web", "plugin=asked", "", false},
		{"nothing has been read", nil, nil, true, false, "web", "plugin=asked", "", false},
		{"what no policy is asked about", set, set, true, true, "web", "plugin=asked", "", false},
		{"another policy fails", broken, broken, true, false, "web", "", "policy 'broken' with binding 'broken-here' denied request", true},
		{"a failure without an exception", broken, broken, true, false, "db", "plugin=asked", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mutationAround(test.set, test.current, test.may)
			if test.excluded {
				m.around.Policy.SetExcludedAdmissionResources([]schema.GroupResource{{Resource: "pods"}})
			}
			for _, traced := range []bool{false, true} {
				pod, a := podRequest(test.pod)
				ctx, recorder := context.Background(), (*gate.Recorder)(nil)
				if traced {
					recorder = &gate.Recorder{All: true}
					ctx = gate.WithRecorder(ctx, recorder)
				}
				err := m.Admit(ctx, a, interfaces)
				if (err == nil) != (test.refusal == "") || err != nil && !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("refused with %v, want %q", err, test.refusal)
				}
				if got := labelsOf(pod); got != test.labels {
					t.Errorf("labels %q, want %q", got, test.labels)
				}
				said := a.annotations[NativeMutationExceptedAnnotation]
				if told, want := said == notVouched, traced && test.set == set && !test.excluded && (test.current != set || !test.may); told != want {
					t.Errorf("it says that the Exception does not count: %v, want %v", told, want)
				}
				if got := strings.TrimPrefix(said, notVouched); strings.Contains(got, "Exception x: MutatingAdmissionPolicyBinding owner-here") != test.excepted || (got == "") == test.excepted {
					t.Errorf("the audit event says %q", got)
				}
				if told := strings.Contains(fmt.Sprint(recorder.Steps()), "excepted by shop@example.org"); told != (traced && test.excepted) {
					t.Errorf("traced %v, the trace tells of an Exception: %v", traced, told)
				}
			}
		})
	}
}

// What others change later is shown to those policies that want to see it, and to no
// other; the one that an Exception lets it by comes back when that matches no more.
func TestExceptedMutationsAreReinvoked(t *testing.T) {
	count := func(name string) string { return `string(size(object.spec.?nodeSelector.orValue({})))` }
	set := mutatingSet(t, slices.Concat(labelling("owner", "IfNeeded", `"alice"`), labelling("once", "Never", count("once")), labelling("again", "IfNeeded", count("again"))), "owner", "web")
	m := mutationAround(set, set, true)
	pod, a := podRequest("web")
	if err := m.Admit(context.Background(), a, interfaces); err != nil {
		t.Fatal(err)
	}
	if got := labelsOf(pod); got != "again=0 once=0" || !a.GetReinvocationContext().ShouldReinvoke() {
		t.Fatalf("labels %q", got)
	}
	a.GetReinvocationContext().SetIsReinvoke()
	m.around.Set, m.around.Current = func() *policy.Set { return nil }, func() *policy.Set { return nil }
	if err := m.Admit(context.Background(), a, interfaces); err != nil || labelsOf(pod) != "again=0 once=0" {
		t.Errorf("nothing is new, and it says %v with the labels %q", err, labelsOf(pod))
	}
	pod.Spec.NodeSelector = map[string]string{"a": "b"}
	if err := m.Admit(context.Background(), a, interfaces); err != nil || labelsOf(pod) != "again=1 once=0" {
		t.Errorf("another has changed it, and it says %v with the labels %q", err, labelsOf(pod))
	}
}

// A refusal of upstream's plugin stands, and is no readiness.
func TestTheRefusalOfAMutationStands(t *testing.T) {
	set := mutatingSet(t, labelling("owner", "Never", `"alice"`), "owner", "web")
	m := mutationAround(set, set, true)
	no := errors.New("not yet ready")
	m.MutationInterface = pluginOf{refuses: no}
	if _, a := podRequest("db"); !errors.Is(m.Admit(context.Background(), a, interfaces), no) || m.ready.Load() {
		t.Error("the plugin's refusal is lost")
	}
}
