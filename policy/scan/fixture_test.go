package scan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/admission"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

var (
	rules      = schema.GroupVersionResource{Group: "rules.test", Version: "v1", Resource: "rules"}
	exceptions = schema.GroupVersionResource{Group: "gatehouse.io", Version: "v1alpha1", Resource: "exceptions"}
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodes      = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	crds       = apiextensionsv1.SchemeGroupVersion.WithResource("customresourcedefinitions")
)

var podResource = Resource{pods, schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, true}

// ruleEngine makes policies of Rules: objects of spec.resource must have the label
// spec.label, and spec.action says what else becomes of them.
type ruleEngine struct{}

type rule struct {
	source          gate.Source
	resource, label string
	action          string
	namespaces      []string
	lookups         []schema.GroupVersionKind
}

func (r *rule) Source() gate.Source { return r.source }
func (r *rule) Selectors() []policy.Selector {
	return []policy.Selector{{Operations: []admission.Operation{admission.Create}, Resources: []string{r.resource}, Namespaces: r.namespaces}}
}

func (r *rule) Validate(ctx context.Context, request *policy.Request) []policy.Result {
	o, err := request.Object()
	if err != nil {
		return []policy.Result{{Actions: []policy.Action{policy.Deny}, Err: err}}
	}
	if r.action == "broken" || r.action == "ignored" {
		result := policy.Result{Err: errors.New("it divides by zero")}
		if r.action == "broken" {
			result.Actions = []policy.Action{policy.Deny}
		}
		return []policy.Result{result}
	}
	if strings.HasPrefix(r.label, "namespace:") {
		n, err := request.Namespace(ctx)
		if err != nil || n.Labels[strings.TrimPrefix(r.label, "namespace:")] != "" {
			return nil
		}
	} else if o.GetLabels()[r.label] != "" {
		return nil
	}
	var actions []policy.Action
	for a := range strings.SplitSeq(r.action, ",") {
		actions = append(actions, policy.Action(a))
	}
	return []policy.Result{{Actions: actions, Message: o.GetName() + " has no label " + r.label, Path: "metadata.labels"}}
}

// compoundRule tells its parts.
type compoundRule struct{ *rule }

func (r compoundRule) Sources() []gate.Source             { return []gate.Source{r.source} }
func (r compoundRule) Lookups() []schema.GroupVersionKind { return r.lookups }

func (ruleEngine) Name() string                     { return "rules" }
func (ruleEngine) Reads(kind schema.GroupKind) bool { return kind.Group == rules.Group }
func (ruleEngine) Compile(objects []policy.Object) (l policy.Loaded) {
	for _, o := range objects {
		text := func(field string) string { s, _, _ := unstructured.NestedString(o.Object, "spec", field); return s }
		r := &rule{source: o.Source, resource: text("resource"), label: text("label"), action: text("action")}
		if in := text("namespace"); in != "" {
			r.namespaces = []string{in}
		}
		if of := text("lookup"); of != "" {
			r.lookups = []schema.GroupVersionKind{{Version: "v1", Kind: of}}
		}
		l.Policies = append(l.Policies, compoundRule{r})
	}
	return l
}

func object(of schema.GroupVersionResource, kind, namespace, name string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": of.GroupVersion().String(), "kind": kind}}
	for key, value := range content {
		u.Object[key] = value
	}
	u.SetName(name)
	u.SetNamespace(namespace)
	u.SetUID(types.UID(strings.ToLower(kind) + "-" + namespace + "-" + name))
	return u
}

func ruleOf(name, resource, label, action string, more ...string) *unstructured.Unstructured {
	spec := map[string]any{"resource": resource, "label": label, "action": action}
	for i := 0; i < len(more); i += 2 {
		spec[more[i]] = more[i+1]
	}
	return object(rules, "Rule", "", name, map[string]any{"spec": spec})
}

func pod(namespace, name string, labels ...string) *unstructured.Unstructured {
	u := object(pods, "Pod", namespace, name, map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": "web"}}}})
	set := map[string]string{}
	for _, l := range labels {
		set[l] = "x"
	}
	u.SetLabels(set)
	return u
}

func definition(of schema.GroupVersionResource, kind string) *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: of.Resource + "." + of.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: of.Group, Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: of.Resource},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: of.Version, Served: true, Storage: true}}},
		Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{
			{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}},
	})
	if err != nil {
		panic(err)
	}
	return &unstructured.Unstructured{Object: content}
}

// world is a fake cluster with a Scanner of it.
type world struct {
	t       *testing.T
	objects *dynamicfake.FakeDynamicClient
	typed   *fake.Clientset
	clock   *clocktesting.FakeClock
	watches atomic.Int32
	served  atomic.Pointer[[]Resource]
	*Scanner
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// newWorld runs a Scanner over objects. shape, where it is not nil, changes its
// options, and arrange the fake client.
func newWorld(t *testing.T, shape func(*Options), arrange func(*dynamicfake.FakeDynamicClient), there ...runtime.Object) *world {
	t.Helper()
	w := &world{t: t, clock: clocktesting.NewFakeClock(noon)}
	w.typed = fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "1"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank", ResourceVersion: "1"}})
	w.objects = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		crds: "CustomResourceDefinitionList", rules: "RuleList", exceptions: "ExceptionList", pods: "PodList", nodes: "NodeList", configMaps: "ConfigMapList",
	}, append(there, definition(rules, "Rule"), definition(exceptions, "Exception"))...)
	w.objects.PrependWatchReactor("*", func(action clienttesting.Action) (bool, watch.Interface, error) {
		stream, err := w.objects.Tracker().Watch(action.GetResource(), action.GetNamespace())
		if action.GetResource().Group == "" {
			w.watches.Add(1)
		}
		return true, stream, err
	})
	if arrange != nil {
		arrange(w.objects)
	}
	w.serve(podResource, Resource{nodes, schema.GroupVersionKind{Version: "v1", Kind: "Node"}, false})
	factory := informers.NewSharedInformerFactory(w.typed, 0)
	namespaces := factory.Core().V1().Namespaces()
	follower := follow.New(follow.Options{Client: w.objects, Engines: []policy.Engine{ruleEngine{}}, Settle: time.Millisecond, Set: policy.Options{Now: w.clock.Now}})
	opts := Options{
		Client: w.objects, Policies: []*follow.Follower{follower}, Namespaces: namespaces, Clock: w.clock, Rate: 1e9,
		Cluster:   cluster.NewWatched(w.objects, nil, namespaces.Lister()),
		Resources: func() ([]Resource, error) { return *w.served.Load(), nil },
	}
	if shape != nil {
		shape(&opts)
	}
	var err error
	if w.Scanner, err = New(opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	done := make(chan struct{}, 2)
	go func() { follower.Run(ctx); done <- struct{}{} }()
	go func() { w.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done; factory.Shutdown() })
	return w
}

func (w *world) serve(all ...Resource) { w.served.Store(&all) }

// await waits until something holds.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if wait.PollUntilContextCancel(ctx, time.Millisecond, true, func(context.Context) (bool, error) { return holds(), nil }) != nil {
		w.t.Fatalf("%s: not so. Reports:\n%s", what, w.drawn())
	}
}

// settled waits until every kind of n has been judged and is watched.
func (w *world) settled(n int) {
	w.t.Helper()
	w.await("all has been judged", func() bool {
		p, ok := w.Progress()
		return ok && p.Kinds == n && p.Ready() && w.watches.Load() >= int32(n)
	})
}

// reads waits until the reports are drawn so.
func (w *world) reads(want string) {
	w.t.Helper()
	w.await("the reports are\n"+want, func() bool { return w.drawn() == strings.TrimLeft(want, "\n") })
}

// drawn is every report: "shop/web: fail no-owner web has no label owner".
func (w *world) drawn() string {
	var out strings.Builder
	all, _ := w.reports.All()
	for _, r := range all {
		for _, f := range r.Findings {
			fmt.Fprintf(&out, "%s/%s: %s %s: %s\n", r.Namespace, r.Name, f.Verdict, f.Rule().Policy, f.Message())
		}
	}
	return out.String()
}

// judged is how often objects were judged, by why.
func (w *world) judged() (n [len(reasons)]int64) {
	for i := range n {
		n[i] = w.judgements[i].Load()
	}
	return n
}

func (w *world) create(of schema.GroupVersionResource, o *unstructured.Unstructured) {
	w.t.Helper()
	if _, err := w.objects.Resource(of).Namespace(o.GetNamespace()).Create(w.t.Context(), o, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(of schema.GroupVersionResource, o *unstructured.Unstructured) {
	w.t.Helper()
	if _, err := w.objects.Resource(of).Namespace(o.GetNamespace()).Update(w.t.Context(), o, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete(of schema.GroupVersionResource, o *unstructured.Unstructured) {
	w.t.Helper()
	if err := w.objects.Resource(of).Namespace(o.GetNamespace()).Delete(w.t.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func exceptionFor(name, until string, policies ...string) *unstructured.Unstructured {
	var of []any
	for _, p := range policies {
		of = append(of, map[string]any{"name": p})
	}
	return object(exceptions, "Exception", "", name, map[string]any{"spec": map[string]any{
		"policies": of, "match": map[string]any{"namespaces": []any{"*"}}, "reason": "for a test", "owner": "anna", "expiresAt": until,
	}})
}
