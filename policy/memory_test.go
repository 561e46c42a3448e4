package policy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/component-base/metrics/testutil"
)

// reader is a validator that says what it reads.
type reader struct {
	validator
	reads []Read
	blind bool // it does not know
}

func (r *reader) Reads() ([]Read, bool) { return r.reads, !r.blind }

var images = Read{Of: OfObject, Fields: []string{"spec", "containers", Each, "image"}}

// refusesLatest reads the images, and nothing else.
func refusesLatest(name string) *reader {
	return &reader{reads: []Read{images}, validator: validator{named: named{source(name), everything}, say: func(_ context.Context, r *Request) []Result {
		o, err := r.Object()
		if err != nil || o == nil {
			return nil
		}
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "containers")
		for _, c := range containers {
			if image, _ := c.(map[string]any)["image"].(string); strings.HasSuffix(image, ":latest") {
				return []Result{{Actions: []Action{Deny}, Message: "latest"}}
			}
		}
		return nil
	}}}
}

func renamed(o *unstructured.Unstructured, name string) *unstructured.Unstructured {
	o.SetName(name)
	return o
}

func TestWhatIsKnownIsNotAskedAgain(t *testing.T) {
	v := refusesLatest("a")
	s := NewSet([]Policy{v}, Options{})
	ask := func(o *unstructured.Unstructured) bool {
		return len(s.Validate(t.Context(), creation(o)).Denials) == 0
	}
	for i, step := range []struct {
		object *unstructured.Unstructured
		allow  bool
		asked  int32
	}{
		{pod("web:1"), true, 1},
		{renamed(pod("web:1"), "another"), true, 1}, // differs in what the policy does not read
		{pod("web:2"), true, 2},
		{pod("web:latest"), false, 3},
		{pod("web:latest"), false, 4}, // what is said is worked out each time
		{pod("web:1", "web:1"), true, 5},
		{pod("web:1"), true, 5},
		{&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "x", "namespace": "shop"}}}, true, 6},
	} {
		if ask(step.object) != step.allow || v.asked.Load() != step.asked {
			t.Errorf("step %d: asked %d times, want %d", i, v.asked.Load(), step.asked)
		}
	}
	// An update is another request than a creation.
	o := pod("web:1")
	update := NewRequest(admission.NewAttributesRecord(o, o, o.GroupVersionKind(), "shop", "web", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Update, nil, false, anna), nil, noCluster{"shop": nil})
	if s.Validate(t.Context(), update); v.asked.Load() != 7 {
		t.Error("an update was taken for a creation")
	}
	// Who wants a trace is shown an evaluation.
	ctx, recorder := traced(t)
	if s.Validate(ctx, creation(pod("web:1"))); v.asked.Load() != 8 || len(recorder.Steps()) != 1 {
		t.Errorf("asked %d times; %+v", v.asked.Load(), recorder.Steps())
	}
}

// What a policy says of a request beyond what it reads, and what it never says, is not
// remembered.
func TestWhatIsNotRemembered(t *testing.T) {
	unsettled := refusesLatest("unsettled")
	unsettled.say = func(_ context.Context, r *Request) []Result { r.Unsettle(); return nil }
	blind := refusesLatest("blind")
	blind.blind = true
	ignored := refusesLatest("ignored")
	ignored.say = func(context.Context, *Request) []Result { return []Result{{Err: errors.New("broken")}} }
	annotates := refusesLatest("annotates")
	annotates.say = func(context.Context, *Request) []Result { return []Result{{Annotations: map[string]string{"a": "b"}}} }
	all := []*reader{unsettled, blind, ignored, annotates}
	plain := refusesLatest("z")
	s := NewSet([]Policy{unsettled, blind, ignored, annotates, plain}, Options{})
	for range 3 {
		if out := s.Validate(t.Context(), creation(pod("web:1"))); out.Asked != 5 || len(out.Ignored) != 1 || out.Annotations["a"] != "b" {
			t.Fatalf("%+v", out)
		}
	}
	for _, v := range all {
		if v.asked.Load() != 3 {
			t.Errorf("%s was asked %d times of 3", v.source.Name, v.asked.Load())
		}
	}
	if plain.asked.Load() != 1 {
		t.Errorf("the one behind them was asked %d times", plain.asked.Load())
	}
}

// A namespace that cannot be had is nothing to go by; one that is not there is.
func TestMemoryOfNamespaces(t *testing.T) {
	v := &reader{reads: []Read{{Of: OfNamespace, Fields: []string{"metadata", "labels"}}}, validator: validator{named: named{source("a"), everything}}}
	s := NewSet([]Policy{v}, Options{})
	in := func(cluster Cluster) *Request {
		o := pod("a")
		return NewRequest(admission.NewAttributesRecord(o, nil, o.GroupVersionKind(), "shop", "web", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, nil, false, anna), nil, cluster)
	}
	for i, step := range []struct {
		cluster Cluster
		asked   int32
	}{
		{noCluster{"shop": {"env": "prod"}}, 1}, {noCluster{"shop": {"env": "prod"}}, 1},
		{noCluster{"shop": {"env": "test"}}, 2}, {noCluster{}, 3}, {noCluster{}, 3}, {noCluster{"shop": nil}, 4},
		{brokenCluster{}, 5}, {brokenCluster{}, 6}, {noCluster{"shop": {"env": "prod"}}, 6},
	} {
		if s.Validate(t.Context(), in(step.cluster)); v.asked.Load() != step.asked {
			t.Errorf("step %d: asked %d times, want %d", i, v.asked.Load(), step.asked)
		}
	}
}

type brokenCluster struct{ noCluster }

func (brokenCluster) Namespace(context.Context, string) (*corev1.Namespace, error) {
	return nil, errors.New("the cluster does not answer")
}

// What a client makes very long is judged each time.
func TestMemoryOfLongObjects(t *testing.T) {
	v, named := refusesLatest("a"), refusesLatest("b")
	named.reads = []Read{{Of: OfObject, Fields: []string{"metadata", "name"}}}
	s := NewSet([]Policy{v, named}, Options{})
	for range 2 {
		s.Validate(t.Context(), creation(pod(strings.Repeat("x", 2*mostWritten))))
	}
	if v.asked.Load() != 2 {
		t.Errorf("asked %d times", v.asked.Load())
	}
	var many []string
	for range mostWritten {
		many = append(many, "web:1")
	}
	s.Validate(t.Context(), creation(pod(many...)))
	c := s.memory.recall(t.Context(), creation(pod(many...)), byValidate)
	if c.known(s.validators.all[0]) || len(c.parts.writer.Text) > mostWritten+1<<10 {
		t.Errorf("%d bytes were written", len(c.parts.writer.Text))
	}
}

// Whatever was asked before, and however often, a Set says what one without a memory
// says.
func TestMemoryNeverChangesAnAnswer(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		var with, without []Policy
		for i := range 1 + r.IntN(70) {
			of := r.IntN(4)
			field := pick(r, []string{"app", "tier", "owner"})
			v := &reader{reads: []Read{{Of: OfObject, Fields: []string{"metadata", "labels", field}}}}
			if of == 0 {
				v.reads = append(v.reads, Read{Of: OfObject, Fields: []string{"metadata", "labels"}, Shape: true})
			}
			v.named = named{source(fmt.Sprintf("p%02d", i)), everything}
			v.say = func(_ context.Context, r *Request) []Result {
				o, _ := r.Object()
				labels := o.GetLabels()
				if of == 0 && len(labels) > 2 || labels[field] == fmt.Sprint(of) {
					return []Result{{Actions: []Action{Deny}, Message: field}}
				}
				return nil
			}
			with, without = append(with, v), append(without, &v.validator)
		}
		a, b := NewSet(with, Options{}), NewSet(without, Options{})
		if a.memory == nil || b.memory != nil {
			t.Fatal("one must remember, and the other not")
		}
		for range 300 {
			o := pod("a")
			set := map[string]string{}
			for _, field := range []string{"app", "tier", "owner"} {
				if r.IntN(3) > 0 {
					set[field] = fmt.Sprint(r.IntN(4))
				}
			}
			o.SetLabels(set)
			o.SetName(fmt.Sprint(r.Uint64()))
			got, want := a.Validate(t.Context(), creation(o)), b.Validate(t.Context(), creation(o))
			if fmt.Sprint(texts(got.Denials)) != fmt.Sprint(texts(want.Denials)) || got.Asked != want.Asked {
				t.Fatalf("labels %v: %q, and without a memory %q", set, texts(got.Denials), texts(want.Denials))
			}
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	v := refusesLatest("a")
	s := NewSet([]Policy{v}, Options{})
	first := func() { s.Validate(t.Context(), creation(pod("web:first"))) }
	for i := range 3 * mostRemembered {
		s.Validate(t.Context(), creation(pod(fmt.Sprint("web:", i))))
		if i%1000 == 0 {
			for range 2 * retry { // often enough to be seen while the group sleeps
				first()
			}
		}
	}
	if n := len(s.memory.young) + len(s.memory.old); n > 2*mostRemembered {
		t.Errorf("%d digests are kept", n)
	}
	before := v.asked.Load()
	for range retry {
		first()
	}
	if v.asked.Load() == before+retry {
		t.Error("what is asked for all the time was forgotten")
	}
}

// A policy that reads what is always new is soon not written down any more, and again
// once the same comes back.
func TestGroupsSleep(t *testing.T) {
	v := &reader{reads: []Read{{Of: OfObject, Fields: []string{"metadata", "name"}}}, validator: validator{named: named{source("a"), everything}}}
	s := NewSet([]Policy{v}, Options{})
	for i := range 1000 {
		s.Validate(t.Context(), creation(renamed(pod("a"), fmt.Sprint(i))))
	}
	if n := len(s.memory.young); n > mostWorth+1+1000/retry {
		t.Errorf("%d names are kept", n)
	}
	asked := v.asked.Load()
	for range 100 {
		s.Validate(t.Context(), creation(renamed(pod("a"), "same")))
	}
	if v.asked.Load() > asked+50 {
		t.Errorf("asked %d times of 100 about the same", v.asked.Load()-asked)
	}
}

func TestSilent(t *testing.T) {
	a, b := refusesLatest("a"), refusesLatest("b")
	s := NewSet([]Policy{a, b}, Options{})
	asked := 0
	ask := func(answer bool) bool {
		return s.Silent(t.Context(), creation(pod("web:1")), func(Validator) bool { asked++; return answer })
	}
	if ask(false) || asked != 1 {
		t.Error("the first that says something is the last to be asked")
	}
	if !ask(true) || asked != 3 {
		t.Error("both must be asked")
	}
	if !ask(false) || asked != 3 {
		t.Error("both are known")
	}
}

// alike is a reader that is asked with others.
type alike struct{ *reader }

func (t alike) Batch() any { return "together" }

func (t alike) ValidateAll(ctx context.Context, r *Request, policies []Validator) [][]Result {
	all := make([][]Result, len(policies))
	broken := false
	for i, p := range policies {
		one := p.(alike)
		one.asked.Add(1)
		all[i] = one.say(ctx, r)
		broken = broken || len(all[i]) > 0 && all[i][0].Err != nil
	}
	if broken {
		for i := range all {
			all[i] = []Result{{Actions: []Action{Deny}, Err: errors.New("broken")}}
		}
	}
	return all
}

// What goes wrong for one of a batch may be for the others to say: that they are known to
// say nothing by themselves is not enough then.
func TestMemoryOfBatches(t *testing.T) {
	quiet := alike{refusesLatest("quiet")}
	fails := alike{&reader{reads: []Read{{Of: OfObject, Fields: []string{"metadata", "name"}}}, validator: validator{named: named{source("fails"), everything}}}}
	fails.say = func(_ context.Context, r *Request) []Result {
		if o, _ := r.Object(); o.GetName() == "bad" {
			return []Result{{Actions: []Action{Warn}, Err: errors.New("broken")}}
		}
		return nil
	}
	s := NewSet([]Policy{quiet, fails}, Options{})
	for i, step := range []struct {
		name                 string
		denials              int
		askedQuiet, askedFar int32
	}{{"good", 0, 1, 1}, {"good", 0, 1, 1}, {"another", 0, 1, 2}, {"bad", 2, 2, 4}, {"bad", 2, 3, 6}, {"good", 0, 3, 6}} {
		out := s.Validate(t.Context(), creation(renamed(pod("web:1"), step.name)))
		if len(out.Denials) != step.denials || quiet.asked.Load() != step.askedQuiet || fails.asked.Load() != step.askedFar {
			t.Errorf("step %d: %d denials; asked %d and %d times", i, len(out.Denials), quiet.asked.Load(), fails.asked.Load())
		}
	}
}

// Who sees a request in another form finds out for himself.
func TestWhoFoundOutCounts(t *testing.T) {
	v := refusesLatest("a")
	s := NewSet([]Policy{v}, Options{})
	s.Validate(t.Context(), creation(pod("web:1")))
	if s.Silent(t.Context(), creation(pod("web:1")), func(Validator) bool { return false }) {
		t.Error("what Validate found was taken for the answer")
	}
	if !s.Silent(t.Context(), creation(pod("web:2")), func(Validator) bool { return true }) {
		t.Fatal("it says nothing")
	}
	if s.Validate(t.Context(), creation(pod("web:2"))); v.asked.Load() != 2 {
		t.Error("what somebody else found was taken for the policy's answer")
	}
}

// Requests at the same time share what is known.
func TestMemoryIsShared(t *testing.T) {
	var policies []Policy
	for i := range 130 {
		policies = append(policies, refusesLatest(fmt.Sprintf("p%03d", i)))
	}
	s := NewSet(policies, Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				image, want := fmt.Sprint("web:", (i+j)%5), 0
				if j%7 == 0 {
					image, want = "web:latest", 130
				}
				if out := s.Validate(t.Context(), creation(pod(image))); len(out.Denials) != want {
					t.Errorf("%s: %d denials", image, len(out.Denials))
				}
			}
		})
	}
	wg.Wait()
}

// A policy that is not asked, since nothing would come of it, is counted all the same.
func TestWhatIsKnownIsCounted(t *testing.T) {
	m := NewMetrics()
	registry := testutil.NewFakeKubeRegistry("1.0.0")
	for _, r := range m.Registerables() {
		registry.MustRegister(r)
	}
	s := NewSet([]Policy{refusesLatest("a")}, Options{Metrics: m})
	for range 3 {
		s.Validate(t.Context(), creation(pod("web:1")))
	}
	got, err := testutil.GetCounterMetricValue(m.results.WithLabelValues("Fake", "a", "pass"))
	if err != nil || got != 3 {
		t.Errorf("%v passes, %v", got, err)
	}
	known := func(want float64) {
		t.Helper()
		if got, err := testutil.GetCounterMetricValue(m.known); err != nil || got != want {
			t.Errorf("%v were known, want %v, %v", got, want, err)
		}
	}
	known(2)
	// Where somebody else counts the result, that it is known is counted alone.
	s = NewSet([]Policy{refusesLatest("a")}, Options{Metrics: m, Elsewhere: true})
	for range 3 {
		if !s.Silent(t.Context(), creation(pod("web:1")), func(Validator) bool { return true }) {
			t.Error("it is not silent")
		}
	}
	known(4)
	if got, err := testutil.GetCounterMetricValue(m.results.WithLabelValues("Fake", "a", "pass")); err != nil || got != 3 {
		t.Errorf("%v passes, %v", got, err)
	}
}

// A typed object is asked for in the version of the request's kind, and is never taken
// for the same as one without types: fields that are not set are there in one and not in
// the other.
func TestFormsOfObjects(t *testing.T) {
	typed := typedPod()
	typed.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSet([]Policy{refusesLatest("a")}, Options{})
	of := func(o runtime.Object) *atomic.Uint64 {
		r := NewRequest(admission.NewAttributesRecord(o, nil, corev1.SchemeGroupVersion.WithKind("Pod"), "shop", "web", corev1.SchemeGroupVersion.WithResource("pods"), "", admission.Create, nil, false, anna), nil, noCluster{})
		c := s.memory.recall(t.Context(), r, byValidate)
		c.known(s.validators.all[0])
		c.learn(s.validators.all[0])
		return &c.groups[0].silent[0]
	}
	if of(typed) == of(&unstructured.Unstructured{Object: content}) {
		t.Error("both forms are one")
	}
	if of(typed) != of(typed.DeepCopy()) {
		t.Error("the same is not known again")
	}
}

func typedPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a:1"}}}}
}
