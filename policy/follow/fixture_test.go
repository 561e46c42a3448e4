package follow

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// What does not compile is said in the log, on purpose, many times.
func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

var (
	rules      = schema.GroupVersionResource{Group: "rules.test", Version: "v1", Resource: "rules"}
	exceptions = schema.GroupVersionResource{Group: "gatehouse.io", Version: "v1alpha1", Resource: "exceptions"}
	template   = schema.GroupVersionResource{Group: "templates.gatekeeper.sh", Version: "v1", Resource: "constrainttemplates"}
)

// ruleEngine compiles Rules and templates: spec.text says what a policy answers, and
// one that is "broken" does not compile, and one that is "foreign" is another program's.
type ruleEngine struct {
	last     map[string]*rule
	compiled int
}

type rule struct {
	source gate.Source
	text   string
}

func (r *rule) Source() gate.Source          { return r.source }
func (r *rule) Selectors() []policy.Selector { return []policy.Selector{{}} }
func (r *rule) Validate(context.Context, *policy.Request) []policy.Result {
	return []policy.Result{{Actions: []policy.Action{policy.Deny}, Message: r.text}}
}

func (*ruleEngine) Name() string { return "rules" }
func (*ruleEngine) Reads(kind schema.GroupKind) bool {
	return kind.Group == rules.Group || kind.Group == template.Group
}

func (e *ruleEngine) Compile(objects []policy.Object) (l policy.Loaded) {
	e.compiled++
	now := map[string]*rule{}
	for _, o := range objects {
		text, _, _ := unstructured.NestedString(o.Object, "spec", "text")
		if text == "foreign" {
			l.Problems = append(l.Problems, policy.Problem{Source: o.Source, Message: "it is not read", Foreign: true})
			continue
		}
		p := &rule{o.Source, text}
		if text == "broken" {
			p = e.last[o.GetName()]
			l.Problems = append(l.Problems, policy.Problem{Source: o.Source, Message: "it is broken", Hint: "mend it", InForce: p != nil})
		}
		if p != nil {
			now[o.GetName()] = p
			l.Policies = append(l.Policies, p)
		}
	}
	e.last = now
	return l
}

func definition(of schema.GroupVersionResource, kind string) *unstructured.Unstructured {
	crd := &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: of.Resource + "." + of.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: of.Group, Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, Plural: of.Resource},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: of.Version, Served: true, Storage: true}}},
		Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{
			{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue}}},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		panic(err)
	}
	return &unstructured.Unstructured{Object: content}
}

func object(of schema.GroupVersionResource, kind, name string, generation int64, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": of.GroupVersion().String(), "kind": kind, "spec": spec}}
	u.SetName(name)
	u.SetUID(types.UID("uid-of-" + name))
	u.SetGeneration(generation)
	return u
}

func ruleOf(name, text string, generation int64) *unstructured.Unstructured {
	return object(rules, "Rule", name, generation, map[string]any{"text": text})
}

// world is a fake cluster, and a Follower of it.
type world struct {
	client *fake.FakeDynamicClient
	engine *ruleEngine
	*Follower
	states chan *State
}

func newWorld(t *testing.T, there ...runtime.Object) *world {
	t.Helper()
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		definitions: "CustomResourceDefinitionList", rules: "RuleList", exceptions: "ExceptionList", template: "ConstraintTemplateList",
	}, there...)
	w := &world{client: client, engine: &ruleEngine{}, states: make(chan *State, 100)}
	w.Follower = New(Options{Client: client, Engines: []policy.Engine{w.engine}, Settle: time.Millisecond})
	w.OnChange(func(s *State) { w.states <- s })
	return w
}

func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// await waits for a State that holds.
func (w *world) await(t *testing.T, what string, holds func(*State) bool) *State {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case s := <-w.states:
			if holds(s) {
				return s
			}
		case <-limit:
			t.Fatalf("no state in which %s", what)
		}
	}
}

// texts are the policies of a State, "name: text".
func texts(s *State) string {
	out := ""
	for _, p := range s.Policies {
		out += fmt.Sprintf("%s: %s\n", p.Source().Name, p.(*rule).text)
	}
	return out
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
