package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/warning"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// nativePolicy refuses Pods by an expression; actions are those of its binding.
func nativePolicy(name, expression, actions string) []string {
	return []string{
		fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: %s}, spec: {failurePolicy: Fail,
  matchConstraints: {matchPolicy: Equivalent, namespaceSelector: {}, objectSelector: {}, resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: ["*"], resources: [pods]}]},
  validations: [{expression: %q, message: "%s says no", reason: Forbidden}]}}`, name, expression, name),
		fmt.Sprintf(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: %s-here}, spec: {policyName: %s, validationActions: [%s]}}`, name, name, actions),
	}
}

func readObjects(t *testing.T, texts []string) (all []policy.Object) {
	t.Helper()
	for _, text := range texts {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		all = append(all, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}})
	}
	return all
}

// upstreamValidation is upstream's plugin with policies.
func upstreamValidation(t *testing.T, policies []policy.Object) *validating.Plugin {
	t.Helper()
	objects := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	for _, p := range policies {
		into, err := scheme.Scheme.New(p.GroupVersionKind())
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(p.Object, into)
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, into)
	}
	plugin, err := validating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(objects...)
	watched := informers.NewSharedInformerFactory(client, 0)
	plugin.SetExternalKubeInformerFactory(watched)
	plugin.SetExternalKubeClientSet(client)
	plugin.SetRESTMapper(meta.NewDefaultRESTMapper(nil))
	plugin.SetDynamicClient(dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()))
	plugin.SetDrainedNotification(t.Context().Done())
	plugin.SetUnconditionalAuthorizer(allowAll())
	if err := plugin.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	watched.Start(t.Context().Done())
	if !plugin.WaitForReady() {
		t.Fatal("upstream's plugin does not become ready")
	}
	return plugin
}

func allowAll() authorizer.UnconditionalAuthorizer {
	return authorizerfactory.NewAlwaysAllowAuthorizer()
}

// shop is a cluster of one namespace.
type shop struct{ policy.Cluster }

func (shop) Namespace(context.Context, string) (*corev1.Namespace, error) {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, nil
}

func nativeSet(t *testing.T, policies []policy.Object, excepted ...string) *policy.Set {
	t.Helper()
	engine, err := cel.New(cel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all []*policy.Exception
	for _, name := range excepted {
		e, err := policy.NewException(&v1alpha1.Exception{Spec: v1alpha1.ExceptionSpec{
			Policies: []v1alpha1.ExceptedPolicy{{Kind: "ValidatingAdmissionPolicy", Name: name}},
			Match:    &v1alpha1.ExceptionMatch{Names: []string{"web"}},
			Reason:   "moves next week", Owner: "shop@example.org", ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour)),
		}}, gate.Source{Kind: "Exception", Name: "except-" + name})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	loaded := engine.Compile(policies)
	if len(loaded.Problems) > 0 {
		t.Fatal(loaded.Problems)
	}
	return policy.NewSet(loaded.Policies, policy.Options{Exceptions: policy.NewExceptions(all)})
}

type said struct {
	admission.Attributes
	warnings    []string
	annotations map[string]string
}

func (s *said) AddWarning(_, text string) { s.warnings = append(s.warnings, text) }
func (s *said) AddAnnotation(key, value string) error {
	s.annotations[key] = value
	return nil
}

func TestExceptionsFromNativePolicies(t *testing.T) {
	no := nativePolicy("no-pods", "false", "Deny")
	also := nativePolicy("also-no", "false", "Deny, Audit")
	warns := nativePolicy("warns", "false", "Warn, Audit")
	for _, test := range []struct {
		name      string
		policies  []string // upstream's
		unknown   []string // upstream's alone: the engine has not read them yet
		pod       string
		excepted  []string
		unread    bool
		refusal   string
		warnings  int
		failures  int
		exception string
	}{
		{"no exception", slices.Concat(no), nil, "web", nil, false, "no-pods says no", 0, 0, ""},
		{"an exception", slices.Concat(no), nil, "web", []string{"no-pods"}, false, "", 0, 0, "no-pods says no"},
		{"of another Pod", slices.Concat(no), nil, "other", []string{"no-pods"}, false, "no-pods says no", 0, 0, ""},
		{"of one of two policies", slices.Concat(no, also), nil, "web", []string{"no-pods"}, false, "also-no says no", 0, 1, "no-pods says no"},
		{"of the other", slices.Concat(no, also), nil, "web", []string{"also-no"}, false, "no-pods says no", 0, 0, "also-no says no"},
		{"of both", slices.Concat(no, also), nil, "web", []string{"no-pods", "also-no"}, false, "", 0, 0, "also-no says no"},
		{"a warning", slices.Concat(warns), nil, "web", nil, false, "", 1, 1, ""},
		{"of a warning", slices.Concat(warns), nil, "web", []string{"warns"}, false, "", 0, 0, "warns says no"},
		{"of a warning beside a refusal", slices.Concat(warns, no), nil, "web", []string{"warns"}, false, "no-pods says no", 0, 0, "warns says no"},
		{"the policies have not been read", slices.Concat(no), nil, "web", []string{"no-pods"}, true, "no-pods says no", 0, 0, ""},
		{"of a policy that the engine has not read", nil, slices.Concat(no), "web", []string{"no-pods"}, false, "no-pods says no", 0, 0, ""},
		{"all is well", slices.Concat(nativePolicy("fine", "true", "Deny")), nil, "web", []string{"fine"}, false, "", 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := readObjects(t, test.policies)
			set := nativeSet(t, known, test.excepted...)
			if test.unread {
				set = nil
			}
			n := &NativePolicies{Policy: &Policy{Cluster: func() policy.Cluster { return shop{} }, authorizer: allowAll()},
				Set: func() *policy.Set { return set }, Cluster: func() policy.Cluster { return shop{} }}
			plugin := n.Around(upstreamValidation(t, append(known, readObjects(t, test.unknown)...)), validating.PluginName).(admission.ValidationInterface)
			if !plugin.Handles(admission.Delete) {
				t.Error("it must handle what upstream's handles")
			}
			pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: test.pod, Namespace: "shop"}}
			s := &said{annotations: map[string]string{}, Attributes: admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), "shop", test.pod,
				schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "alice"})}
			err := plugin.Validate(warning.WithWarningRecorder(context.Background(), s), s, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
			if (err == nil) != (test.refusal == "") || err != nil && !strings.Contains(err.Error(), test.refusal) {
				t.Errorf("refused with %v, want %q", err, test.refusal)
			}
			if len(s.warnings) != test.warnings {
				t.Errorf("warnings: %q, want %d", s.warnings, test.warnings)
			}
			if got := strings.Count(s.annotations[failureAnnotation], `"policy"`); got != test.failures {
				t.Errorf("failures: %s, want %d", s.annotations[failureAnnotation], test.failures)
			}
			if got := s.annotations[NativeExceptedAnnotation]; (got == "") != (test.exception == "") || !strings.Contains(got, test.exception) {
				t.Errorf("excepted: %q, want %q", got, test.exception)
			}
		})
	}
}

func TestATraceTellsOfNativePolicies(t *testing.T) {
	known := readObjects(t, slices.Concat(nativePolicy("no-pods", "false", "Deny"), nativePolicy("fine", "true", "Deny"), nativePolicy("excused", "false", "Deny")))
	set := nativeSet(t, known, "excused")
	n := &NativePolicies{Policy: &Policy{Cluster: func() policy.Cluster { return shop{} }, authorizer: allowAll()},
		Set: func() *policy.Set { return set }, Cluster: func() policy.Cluster { return shop{} }}
	plugin := n.Around(upstreamValidation(t, known), validating.PluginName).(admission.ValidationInterface)
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}}
	a := admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind("Pod"), "shop", "web", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "",
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "alice"})
	recorder := &gate.Recorder{All: true}
	if err := plugin.Validate(gate.WithRecorder(context.Background(), recorder), a, admission.NewObjectInterfacesFromScheme(scheme.Scheme)); err == nil {
		t.Fatal("no-pods must refuse")
	}
	var told []string
	for _, step := range recorder.Steps() {
		for _, s := range step.Sources {
			told = append(told, s.Name+" "+string(step.Opinion))
		}
	}
	for _, want := range []string{"no-pods-here " + string(gate.Deny), "fine-here " + string(gate.NoOpinion), "except-excused " + string(gate.NoOpinion)} {
		if !slices.Contains(told, want) {
			t.Errorf("the trace lacks %q: %q", want, told)
		}
	}
}

// The plugin knows of a policy that the engine does not, which shows when it is asked.
func TestUpstreamsPluginIsAskedWhereAnyPolicyMayHaveAWord(t *testing.T) {
	fine := readObjects(t, nativePolicy("fine", "true", "Deny"))
	picky := readObjects(t, nativePolicy("picky", "object.metadata.name == 'web'", "Warn"))
	plugin := upstreamValidation(t, append(append(append([]policy.Object{}, fine...), picky...), readObjects(t, nativePolicy("no-pods", "false", "Deny"))...))
	request := func(kind, name string) admission.Attributes {
		pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind}, ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}}
		return &said{annotations: map[string]string{}, Attributes: admission.NewAttributesRecord(pod, nil, corev1.SchemeGroupVersion.WithKind(kind), "shop", name,
			schema.GroupVersionResource{Version: "v1", Resource: strings.ToLower(kind) + "s"}, "", admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "alice"})}
	}
	interfaces := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	for _, test := range []struct {
		name    string
		current []policy.Object // nil: they are not those of the plugin
		first   string          // the kind of a request before
		pod     string
		trace   bool
		asked   bool
	}{
		{"all hold", fine, "Secret", "web", false, false},
		{"none matches", []policy.Object{}, "Secret", "web", false, false},
		{"one does not hold", append(append([]policy.Object{}, fine...), picky...), "Secret", "db", false, true},
		{"the policies are not the plugin's", nil, "Secret", "web", false, true},
		{"the plugin has let nothing pass yet", fine, "", "web", false, true},
		{"the plugin has refused alone", fine, "Pod", "web", false, true},
		{"somebody wants a trace", fine, "Secret", "web", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var set *policy.Set
			if test.current != nil {
				set = nativeSet(t, test.current)
			}
			n := &NativePolicies{Policy: &Policy{Cluster: func() policy.Cluster { return shop{} }, authorizer: allowAll()},
				Set: func() *policy.Set { return set }, Current: func() *policy.Set { return set }, Cluster: func() policy.Cluster { return shop{} }}
			around := n.Around(plugin, validating.PluginName).(admission.ValidationInterface)
			if test.first != "" {
				if err := around.Validate(context.Background(), request(test.first, "first"), interfaces); (err == nil) != (test.first != "Pod") {
					t.Fatal(err)
				}
			}
			ctx := context.Background()
			if test.trace {
				ctx = gate.WithRecorder(ctx, &gate.Recorder{All: true})
			}
			if err := around.Validate(ctx, request("Pod", test.pod), interfaces); (err != nil) != test.asked {
				t.Errorf("refused with %v; the plugin is asked: want %v", err, test.asked)
			}
		})
	}
}

// Policies that lie in files are the plugin's alone.
func TestAPluginWithPoliciesInFilesIsAlwaysAsked(t *testing.T) {
	folder := t.TempDir()
	with, err := validating.NewPlugin(strings.NewReader("apiVersion: apiserver.config.k8s.io/v1\nkind: ValidatingAdmissionPolicyConfiguration\nstaticManifestsDir: " + folder + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	without, err := validating.NewPlugin(nil)
	if err != nil {
		t.Fatal(err)
	}
	mutates, err := mutating.NewPlugin(strings.NewReader("apiVersion: apiserver.config.k8s.io/v1\nkind: MutatingAdmissionPolicyConfiguration\nstaticManifestsDir: " + folder + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	n := &NativePolicies{}
	if n.Around(with, validating.PluginName).(*nativeValidation).may || !n.Around(without, validating.PluginName).(*nativeValidation).may {
		t.Error("with a folder of policies, and only then, the plugin must always be asked")
	}
	if n.Around(mutates, mutating.PluginName).(*nativeMutation).may {
		t.Error("with a folder of policies the plugin must always be asked")
	}
	if n.Around(struct{ admission.ValidationInterface }{without}, validating.PluginName).(*nativeValidation).may {
		t.Error("of another's plugin nothing is known")
	}
}

func TestOtherPluginsStayAsTheyAre(t *testing.T) {
	n := &NativePolicies{}
	other := &Policy{}
	if n.Around(other, "Other") != admission.Interface(other) || n.Around(other, mutating.PluginName) == admission.Interface(other) {
		t.Error("upstream's two plugins, by their names, are what is stood around")
	}
}
