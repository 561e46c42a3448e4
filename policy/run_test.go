package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/gate"
)

func texts(all []Said) (list []string) {
	for i := range all {
		list = append(list, all[i].Text())
	}
	return list
}

func traced(t *testing.T) (context.Context, *gate.Recorder) {
	recorder := &gate.Recorder{}
	return gate.WithRecorder(t.Context(), recorder), recorder
}

// Every validator is asked, also after one has refused, in one order whatever the
// order they were given in.
func TestOrderOfValidatorsDoesNotMatter(t *testing.T) {
	policies := []Policy{denies("a"), says("b"), denies("c"),
		says("d", Result{Actions: []Action{Warn}, Message: "d warns"}, Result{Actions: []Action{Deny, Audit}, Message: "d says no"}),
		says("e", Result{Actions: []Action{Audit}, Message: "e reports"})}
	want := NewSet(policies, Options{}).Validate(t.Context(), creation(pod("a")))
	if got := texts(want.Denials); !slices.Equal(got, []string{"Fake a: a says no", "Fake c: c says no", "Fake d: d says no"}) {
		t.Errorf("denials: %q", got)
	}
	if len(want.Warnings) != 1 || len(want.Audits) != 2 {
		t.Errorf("%d warnings, %d audits", len(want.Warnings), len(want.Audits))
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		r.Shuffle(len(policies), func(i, j int) { policies[i], policies[j] = policies[j], policies[i] })
		if got := NewSet(policies, Options{}).Validate(t.Context(), creation(pod("a"))); !reflect.DeepEqual(texts(got.Denials), texts(want.Denials)) ||
			!reflect.DeepEqual(texts(got.Warnings), texts(want.Warnings)) || !reflect.DeepEqual(texts(got.Audits), texts(want.Audits)) {
			t.Fatalf("got %q, want %q", texts(got.Denials), texts(want.Denials))
		}
	}
}

// A validator more never turns a refused request into an allowed one, whatever it
// says, and however it ends.
func TestOneMoreValidatorNeverAllows(t *testing.T) {
	more := []*validator{
		says("quiet"), denies("no"), says("warns", Result{Actions: []Action{Warn}}), says("ignored", Result{Err: errors.New("broken")}),
		says("odd", Result{Actions: []Action{"allow"}}),
		{named: named{source("panics"), everything}, say: func(context.Context, *Request) []Result { panic("x") }},
		{named: named{source("elsewhere"), []Selector{{Kinds: []string{"Node"}}}}},
	}
	r := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		var policies []Policy
		for range r.IntN(4) {
			policies = append(policies, pick(r, more))
		}
		before := NewSet(policies, Options{}).Validate(t.Context(), creation(pod("a")))
		after := NewSet(append(policies, pick(r, more)), Options{}).Validate(t.Context(), creation(pod("a")))
		if len(before.Denials) > len(after.Denials) {
			t.Fatalf("%q became %q", texts(before.Denials), texts(after.Denials))
		}
	}
}

func label(o map[string]any, key, value string) {
	metadata := o["metadata"].(map[string]any)
	set, _ := metadata["labels"].(map[string]any)
	set = maps.Clone(set)
	set[key] = value
	metadata["labels"] = set
}

func TestMutationsSettle(t *testing.T) {
	// b wants what a made: a runs first by its order, and both settle in one pass;
	// the other way round it takes two.
	for _, c := range []struct {
		name   string
		orders [2]int
		asked  [2]int
	}{
		{"in order", [2]int{-1, 0}, [2]int{2, 1}}, // a is asked again, since b changed the object behind it
		{"by name", [2]int{0, 0}, [2]int{2, 1}},
		{"against order", [2]int{1, 0}, [2]int{2, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := mutates("a", func(o map[string]any) { label(o, "owner", "anna") })
			b := mutates("b", func(o map[string]any) {
				if labels := o["metadata"].(map[string]any)["labels"].(map[string]any); labels["owner"] != nil {
					label(o, "team", "of-"+labels["owner"].(string))
				}
			})
			a.how.Order, b.how.Order = c.orders[0], c.orders[1]
			request := creation(pod("a"))
			ctx, recorder := traced(t)
			shown, _ := request.Object()
			kept := shown.DeepCopy()
			out := NewSet([]Policy{b, a}, Options{}).Mutate(ctx, request)
			if !reflect.DeepEqual(shown, kept) {
				t.Error("the object was changed in place")
			}
			o, _ := request.Object()
			if got := o.GetLabels(); got["team"] != "of-anna" || !out.Changed || len(out.Denials) > 0 {
				t.Errorf("labels %v, %+v", got, out)
			}
			if got := [2]int{a.asked, b.asked}; got != c.asked {
				t.Errorf("asked %v times, want %v", got, c.asked)
			}
			patches := 0
			for _, step := range recorder.Steps() {
				if step.Opinion == gate.Mutate && len(step.Patch) > 0 {
					patches++
				}
			}
			if patches != 2 {
				t.Errorf("%d patches in the trace: %+v", patches, recorder.Steps())
			}
		})
	}
}

func TestMutationsThatContradictAreNamed(t *testing.T) {
	a := mutates("a", func(o map[string]any) { label(o, "x", "1") })
	b := mutates("b", func(o map[string]any) { label(o, "x", "2") })
	quiet := mutates("quiet", func(map[string]any) {})
	ctx, recorder := traced(t)
	out := NewSet([]Policy{a, b, quiet}, Options{MaxPasses: 4}).Mutate(ctx, creation(pod("a")))
	if got := texts(out.Denials); len(got) != 2 || !strings.HasPrefix(got[0], "Fake a: it still changes the object after 4 passes") || !strings.HasPrefix(got[1], "Fake b: ") {
		t.Errorf("got %q", got)
	}
	if a.asked != 4 || b.asked != 4 {
		t.Errorf("asked %d and %d times", a.asked, b.asked)
	}
	if last := recorder.Steps()[len(recorder.Steps())-1]; last.Opinion != gate.Deny {
		t.Errorf("the trace ends with %+v", last)
	}
}

func TestMutationMaxRuns(t *testing.T) {
	for most, want := range map[int]int{1: 1, 2: 2, 0: 4} {
		a := mutates("a", func(o map[string]any) {
			label(o, "a", fmt.Sprint(len(o["metadata"].(map[string]any)["labels"].(map[string]any)["b"].(string))))
		})
		a.how = Mutation{MaxRuns: most, Order: 1}
		b := mutates("b", func(o map[string]any) {
			before, _ := o["metadata"].(map[string]any)["labels"].(map[string]any)["b"].(string)
			if len(before) < 4 {
				label(o, "b", before+"b")
			}
		})
		out := NewSet([]Policy{a, b}, Options{}).Mutate(t.Context(), creation(pod("a")))
		if a.asked != want || len(out.Denials) > 0 {
			t.Errorf("MaxRuns %d: asked %d times, want %d; %q", most, a.asked, want, texts(out.Denials))
		}
	}
}

// Asked again, a mutator has one run less.
func TestMutationAgain(t *testing.T) {
	for most, want := range map[int]int{1: 0, 2: 1, 0: 1} {
		a := mutates("a", func(o map[string]any) { label(o, "a", "b") })
		a.how = Mutation{MaxRuns: most}
		r := creation(pod("a"))
		r.Again = true
		out := NewSet([]Policy{a}, Options{}).Mutate(t.Context(), r)
		if a.asked < want || want == 0 && a.asked > 0 || out.Changed != (want > 0) {
			t.Errorf("MaxRuns %d: asked %d times, want %d; changed %v", most, a.asked, want, out.Changed)
		}
	}
}

func TestLastMutatorsRunLast(t *testing.T) {
	var order []string
	noting := func(name string, how Mutation) *mutator {
		m := mutates(name, func(map[string]any) { order = append(order, name) })
		m.how = how
		return m
	}
	NewSet([]Policy{noting("a", Mutation{Last: true, Order: -5}), noting("b", Mutation{Order: 2}), noting("c", Mutation{Order: -1}), noting("d", Mutation{})}, Options{}).
		Mutate(t.Context(), creation(pod("a")))
	if !slices.Equal(order, []string{"c", "d", "b", "a"}) {
		t.Errorf("got %v", order)
	}
}

func TestMutationFailures(t *testing.T) {
	broken := func(name string, how Mutation) *mutator {
		return &mutator{named: named{source(name), everything}, how: how, do: func(map[string]any) error { return errors.New("no such field") }}
	}
	panics := func(name string, how Mutation) *mutator {
		return &mutator{named: named{source(name), everything}, how: how, do: func(map[string]any) error { panic("value of a Secret") }}
	}
	for _, c := range []struct {
		m    Mutator
		want string // in the denial; "" passes
		step string
	}{
		{broken("a", Mutation{}), "Fake a: it could not be evaluated: no such field", ""},
		{broken("a", Mutation{IgnoreFailure: true}), "", "no such field (its failure policy is Ignore)"},
		{panics("a", Mutation{}), "it panicked", ""},
		{panics("a", Mutation{IgnoreFailure: true}), "it panicked", ""},
	} {
		ctx, recorder := traced(t)
		last := mutates("z", func(o map[string]any) { label(o, "z", "z") })
		request := creation(pod("a"))
		out := NewSet([]Policy{c.m, last}, Options{}).Mutate(ctx, request)
		got := strings.Join(texts(out.Denials), ";")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || strings.Contains(got, "Secret") {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if o, _ := request.Object(); o.GetLabels()["z"] != "z" {
			t.Error("the other mutation did not happen")
		}
		said := fmt.Sprint(recorder.Steps())
		if !strings.Contains(said, c.step) || strings.Contains(said, "Secret") {
			t.Errorf("the trace says %s", said)
		}
	}
}

// There is nothing to change in a deletion, whatever a mutator returns.
func TestDeletionIsNotMutated(t *testing.T) {
	returns := &creator{named{source("a"), everything}}
	request := NewRequest(attributes(admission.Delete, nil, pod("a"), anna), nil, noCluster{})
	if out := NewSet([]Policy{returns}, Options{}).Mutate(t.Context(), request); out.Changed || len(out.Denials) > 0 {
		t.Errorf("got %+v", out)
	}
}

// creator answers with an object, also where there is none.
type creator struct{ named }

func (*creator) Mutation() Mutation { return Mutation{} }
func (*creator) Mutate(context.Context, *Request) (*unstructured.Unstructured, error) {
	return pod("b"), nil
}

func TestValidatorFailures(t *testing.T) {
	broken := errors.New("no such key")
	for _, c := range []struct {
		name string
		say  func(context.Context, *Request) []Result
		want string
	}{
		{"fails", func(context.Context, *Request) []Result { return []Result{{Err: broken, Actions: []Action{Deny}}} }, "it could not be evaluated: no such key"},
		{"fails and is ignored", func(context.Context, *Request) []Result { return []Result{{Err: broken}} }, ""},
		{"panics", func(context.Context, *Request) []Result { panic("value of a Secret") }, "it panicked"},
		{"panics with an index", func(context.Context, *Request) []Result { none := []Result{}; return none[len(none)+1:] }, "it panicked"},
		{"says what nobody knows", func(context.Context, *Request) []Result { return []Result{{Message: "x", Actions: []Action{"permit"}}} }, `the action "permit" is not known`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &validator{named: named{source("a"), everything}, say: c.say}
			ctx, recorder := traced(t)
			out := NewSet([]Policy{v, denies("z")}, Options{}).Validate(ctx, creation(pod("a")))
			got := texts(out.Denials)
			if got[len(got)-1] != "Fake z: z says no" {
				t.Errorf("the next policy was not asked: %q", got)
			}
			if (c.want == "") != (len(got) == 1) || !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if all := fmt.Sprint(recorder.Steps(), got); strings.Contains(all, "Secret") {
				t.Errorf("what the panic said is told: %s", all)
			}
		})
	}
}

// The time of one request is bounded: those that it does not reach are refused.
func TestDeadline(t *testing.T) {
	stops := func(name string) *validator {
		return &validator{named: named{source(name), everything}, say: func(ctx context.Context, _ *Request) []Result {
			<-ctx.Done() // a policy that would take for ever
			return []Result{{Actions: []Action{Deny}, Err: ctx.Err()}}
		}}
	}
	next := says("b")
	out := NewSet([]Policy{stops("a"), next}, Options{MaxTime: time.Millisecond}).Validate(t.Context(), creation(pod("a")))
	if got := texts(out.Denials); len(got) != 2 || !strings.Contains(got[0], "deadline") || !strings.Contains(got[1], "the time for the request's policies is over") || next.asked.Load() != 0 {
		t.Errorf("got %q, the next was asked %d times", got, next.asked.Load())
	}

	done, cancel := context.WithCancel(t.Context())
	cancel()
	m := mutates("m", func(o map[string]any) { label(o, "a", "b") })
	request := creation(pod("a"))
	out = NewSet([]Policy{m}, Options{}).Mutate(done, request)
	if got := texts(out.Denials); len(got) != 1 || m.asked != 0 || out.Changed {
		t.Errorf("got %q", got)
	}
}

// Said is kept in order of the policies also where some are asked together.
type together struct {
	validator
	batch   string
	answers func(policies []Validator) [][]Result
	calls   *int
}

func (b *together) Batch() any { return b.batch }
func (b *together) ValidateAll(_ context.Context, _ *Request, policies []Validator) [][]Result {
	*b.calls++
	return b.answers(policies)
}

func TestBatches(t *testing.T) {
	each := func(policies []Validator) (all [][]Result) {
		for _, p := range policies {
			all = append(all, []Result{{Actions: []Action{Deny}, Message: "of " + p.Source().Name}})
		}
		return all
	}
	for _, c := range []struct {
		name    string
		answers func([]Validator) [][]Result
		want    []string
	}{
		{"answers", each, []string{"Fake a: of a", "Fake b: b says no", "Fake c: of c", "Fake d: of d"}},
		{"answers too few", func(p []Validator) [][]Result { return each(p)[1:] }, []string{"Fake a: it could not be evaluated: it answers 1 of 2 policies", "Fake b: b says no", "Fake c: it could not be evaluated: it answers 1 of 2 policies", "Fake d: it could not be evaluated: it answers 0 of 1 policies"}},
		{"panics", func([]Validator) [][]Result { panic("x") }, []string{"Fake a: it could not be evaluated: it panicked; the log says where", "Fake b: b says no", "Fake c: it could not be evaluated: it panicked; the log says where", "Fake d: it could not be evaluated: it panicked; the log says where"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			calls := 0
			of := func(name, batch string, on Selector) *together {
				return &together{validator{named: named{source(name), []Selector{on}}}, batch, c.answers, &calls}
			}
			s := NewSet([]Policy{of("d", "2", Selector{}), of("c", "1", Selector{}), denies("b"), of("a", "1", Selector{}), of("x", "1", Selector{Kinds: []string{"Node"}})}, Options{})
			out := s.Validate(t.Context(), creation(pod("a")))
			if got := texts(out.Denials); !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
			if calls != 2 {
				t.Errorf("%d calls for two batches", calls)
			}
		})
	}
}

func TestAnnotationsAndTrace(t *testing.T) {
	ctx, recorder := traced(t)
	out := NewSet([]Policy{
		says("a", Result{Annotations: map[string]string{"x/a": "1"}}),
		says("b", Result{Actions: []Action{Audit}, Message: "seen", Annotations: map[string]string{"x/b": "2"}}),
		says("c", Result{Message: "exempt by spec.exemptions[0]"}),
		says("d"),
	}, Options{Now: clock}).Validate(ctx, creation(pod("a")))
	if !maps.Equal(out.Annotations, map[string]string{"x/a": "1", "x/b": "2"}) || len(out.Denials)+len(out.Warnings) > 0 {
		t.Errorf("got %+v", out)
	}
	var steps []string
	for _, s := range recorder.Steps() {
		steps = append(steps, fmt.Sprintf("%s %s: %s", s.Opinion, s.Sources[0], s.Reason))
	}
	want := []string{"no opinion Fake b: seen (written to the audit log alone)", "no opinion Fake c: exempt by spec.exemptions[0]", "no opinion Fake d: nothing is wrong"}
	if !slices.Equal(steps, want) {
		t.Errorf("got %q", steps)
	}
}
