package cel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// ready waits until its informers have everything: some hundred milliseconds, so that
// several are made before one is waited for.
func (u *upstream) ready(t testing.TB) {
	t.Helper()
	if !u.validating.WaitForReady() || !u.mutating.WaitForReady() {
		t.Fatal("upstream's plugins do not become ready")
	}
}

// upstream is an API server's two plugins with their informers, over the objects of a
// cluster.
type upstream struct {
	validating *validating.Plugin
	mutating   *mutating.Plugin
}

// kinds are those that params can be of, besides what is in no cluster at all.
var limits = schema.GroupVersionKind{Group: "shop.example", Version: "v1", Kind: "Limit"}

func newUpstream(t testing.TB, policies []policy.Object, in *cluster) *upstream {
	t.Helper()
	var native []runtime.Object
	for _, ns := range in.namespaces {
		native = append(native, ns)
	}
	var custom []runtime.Object
	for _, o := range in.objects {
		if o.GroupVersionKind() == limits {
			custom = append(custom, o)
			continue
		}
		if o.GetKind() != "Namespace" { // it is among the namespaces
			native = append(native, typed(t, o))
		}
	}
	for _, o := range policies {
		native = append(native, typed(t, o.Unstructured))
	}
	client := withSchemas{fake.NewClientset(native...)}
	kinds := runtime.NewScheme()
	kinds.AddKnownTypeWithName(limits, &unstructured.Unstructured{})
	kinds.AddKnownTypeWithName(limits.GroupVersion().WithKind("LimitList"), &unstructured.UnstructuredList{})
	dynamic := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(kinds, map[schema.GroupVersionResource]string{limits.GroupVersion().WithResource("limits"): "LimitList"}, custom...)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, meta.RESTScopeRoot)
	mapper.AddSpecific(limits, limits.GroupVersion().WithResource("limits"), limits.GroupVersion().WithResource("limits"), meta.RESTScopeNamespace)

	stop := t.Context().Done()
	u := &upstream{}
	var err error
	if u.validating, err = validating.NewPlugin(nil); err != nil {
		t.Fatal(err)
	}
	if u.mutating, err = mutating.NewPlugin(nil); err != nil {
		t.Fatal(err)
	}
	u.mutating.SetEnabled(true)
	watched := informers.NewSharedInformerFactory(client, 0)
	for _, p := range []interface {
		SetExternalKubeInformerFactory(informers.SharedInformerFactory)
		SetExternalKubeClientSet(kubernetes.Interface)
		SetRESTMapper(meta.RESTMapper)
		SetDrainedNotification(<-chan struct{})
		SetUnconditionalAuthorizer(authorizer.UnconditionalAuthorizer)
		ValidateInitialization() error
	}{u.validating, u.mutating} {
		p.SetExternalKubeInformerFactory(watched)
		p.SetExternalKubeClientSet(client)
		p.SetRESTMapper(mapper)
		p.SetDrainedNotification(stop)
		p.SetUnconditionalAuthorizer(permissions{})
	}
	u.validating.SetDynamicClient(dynamic)
	u.mutating.SetDynamicClient(dynamic)
	if err := u.validating.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	if err := u.mutating.ValidateInitialization(); err != nil {
		t.Fatal(err)
	}
	watched.Start(stop)
	return u
}

func typed(t testing.TB, o *unstructured.Unstructured) runtime.Object {
	t.Helper()
	into, err := scheme.Scheme.New(o.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
		t.Fatal(err)
	}
	// An API server has given a stored policy its defaults.
	equivalent := v1.Equivalent
	defaults := func(m *v1.MatchResources) {
		if m != nil && m.MatchPolicy == nil {
			m.MatchPolicy = &equivalent
		}
		if m != nil && m.NamespaceSelector == nil {
			m.NamespaceSelector = everything()
		}
		if m != nil && m.ObjectSelector == nil {
			m.ObjectSelector = everything()
		}
	}
	switch p := into.(type) {
	case *v1.ValidatingAdmissionPolicy:
		defaults(p.Spec.MatchConstraints)
	case *v1.ValidatingAdmissionPolicyBinding:
		defaults(p.Spec.MatchResources)
	case *v1.MutatingAdmissionPolicy:
		defaults(p.Spec.MatchConstraints)
	case *v1.MutatingAdmissionPolicyBinding:
		defaults(p.Spec.MatchResources)
	}
	return into
}

// withSchemas is a client that has the schemas of built-in kinds.
type withSchemas struct{ *fake.Clientset }

func (c withSchemas) Discovery() discovery.DiscoveryInterfaces {
	return schemas{c.Clientset.Discovery()}
}

type schemas struct{ discovery.DiscoveryInterfaces }

func (schemas) OpenAPIV3() openapi.Client { return openapitest.NewEmbeddedFileClient() }

// permissions let anybody get anything and nobody delete; whether one may patch is not
// to be found out.
type permissions struct{}

func (permissions) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	switch a.GetVerb() {
	case "get":
		return authorizer.DecisionAllow, "all may get", nil
	case "patch":
		return authorizer.DecisionNoOpinion, "", fmt.Errorf("who may patch %s is not known", a.GetResource())
	}
	return authorizer.DecisionDeny, "none may " + a.GetVerb(), nil
}

// interfaces are those of an API server: they convert versions of one kind by writing
// another version.
type serverInterfaces struct{ admission.ObjectInterfaces }

func newInterfaces() serverInterfaces {
	return serverInterfaces{admission.NewObjectInterfacesFromScheme(scheme.Scheme)}
}

// verdict is what a client and the audit log get to see.
type verdict struct {
	Refused     bool
	Code        int32
	Reason      string
	Messages    []string // upstream tells one of several
	Warnings    []string
	Failures    []string // of the audit annotation validation_failure
	Annotations []string
	Object      string // after mutation
}

type warnings struct{ said []string }

func (w *warnings) AddWarning(_, text string) {
	w.said = append(w.said, text)
}

// noted are attributes that keep annotations.
type noted struct {
	admission.Attributes
	annotations map[string]string
}

func (n *noted) AddAnnotation(key, value string) error {
	n.annotations[key] = value
	return nil
}

func (n *noted) AddAnnotationWithLevel(key, value string, _ auditinternal.Level) error {
	return n.AddAnnotation(key, value)
}

const failures = "validation.policy.admission.k8s.io/validation_failure"

// validate is what upstream's plugin says.
func (u *upstream) validate(t testing.TB, a admission.Attributes) verdict {
	var w warnings
	n := &noted{Attributes: a}
	var v verdict
	if u.validating.Handles(a.GetOperation()) {
		// Its params are read in the background, and it refuses meanwhile.
		if err := wait.PollUntilContextTimeout(context.Background(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			w, n.annotations, v = warnings{}, map[string]string{}, verdict{}
			err := u.validating.Validate(warning.WithWarningRecorder(context.Background(), &w), n, newInterfaces())
			if err != nil && strings.Contains(err.Error(), "not yet synced") {
				return false, nil
			}
			v.refuse(t, err)
			return true, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	v.Warnings = w.said
	var list []validating.ValidationFailureValue
	if text := n.annotations[failures]; text != "" {
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatal(err)
		}
	}
	delete(n.annotations, failures)
	for _, f := range list {
		v.Failures = append(v.Failures, fmt.Sprintf("%s %s %d %v %s", f.Policy, f.Binding, f.ExpressionIndex, f.ValidationActions, f.Message))
	}
	v.annotate(n.annotations)
	return v.sorted()
}

func (v *verdict) refuse(t testing.TB, err error) {
	if err == nil {
		return
	}
	v.Refused = true
	status, ok := err.(*apierrors.StatusError)
	if !ok {
		t.Fatalf("upstream refused with a %T: %v", err, err)
	}
	v.Code, v.Reason, v.Messages = status.ErrStatus.Code, string(status.ErrStatus.Reason), []string{refusal(err)}
}

func (v *verdict) annotate(of map[string]string) {
	for key, value := range of {
		values := strings.Split(value, ", ") // those of several bindings, in the order of a map
		slices.Sort(values)
		v.Annotations = append(v.Annotations, key+"="+strings.Join(values, ", "))
	}
}

func (v verdict) sorted() verdict {
	for _, list := range [][]string{v.Messages, v.Warnings, v.Failures, v.Annotations} {
		slices.Sort(list)
	}
	v.Warnings = slices.Compact(v.Warnings) // a recorder of a server leaves out the same
	return v
}

// ours is what the engine says, worded as upstream does.
func ours(set *policy.Set, a admission.Attributes, in *cluster) (verdict, *policy.Outcome) {
	r := policy.NewRequest(a, nil, in)
	r.Authorizer, r.Objects = permissions{}, newInterfaces()
	out := set.Validate(context.Background(), r)
	var v verdict
	for i := range out.Denials {
		d := &out.Denials[i]
		v.Refused = true
		// With its code and reason, as a client sees it.
		message := refusal(d.Details.(*cel.Details).Refusal(a, &d.Result))
		v.Messages = append(v.Messages, message)
	}
	for i := range out.Warnings {
		v.Warnings = append(v.Warnings, out.Warnings[i].Details.(*cel.Details).Warning(out.Warnings[i].Message))
	}
	for i := range out.Audits {
		d := out.Audits[i].Details.(*cel.Details)
		v.Failures = append(v.Failures, fmt.Sprintf("%s %s %d %v %s", d.Policy, d.Binding, d.Expression, d.Actions, out.Audits[i].Message))
	}
	v.annotate(maps.Clone(out.Annotations))
	return v.sorted(), out
}

// refusal is the whole status.
func refusal(err error) string {
	status, ok := err.(apierrors.APIStatus)
	if !ok {
		return err.Error()
	}
	text, _ := json.Marshal(status.Status())
	return string(text)
}

// newSet of an engine with these policies.
func newSet(t testing.TB, policies []policy.Object) *policy.Set {
	t.Helper()
	return policy.NewSet(newEngine(t).Compile(policies).Policies, policy.Options{})
}

func newEngine(t testing.TB) *cel.Engine {
	t.Helper()
	e, err := cel.New(cel.Options{Compiler: shared(), Namespaced: func(kind schema.GroupVersionKind) (bool, bool, error) {
		switch {
		case kind == limits, kind == schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}:
			return true, true, nil
		case kind == schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}:
			return false, true, nil
		}
		return false, false, fmt.Errorf("no such kind")
	}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// shared is one compiler for all worlds: it keeps nothing of what it compiles.
var shared = sync.OnceValue(func() *cel.Compiler {
	c, err := cel.NewCompiler()
	if err != nil {
		panic(err)
	}
	return c
})

func asPolicy(o *unstructured.Unstructured) policy.Object {
	return policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}}
}
