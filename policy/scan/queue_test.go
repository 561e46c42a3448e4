package scan

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
)

// slow is a rule that takes its time.
type slow struct {
	compoundRule
	clock *clocktesting.FakeClock
	takes time.Duration
	asked []string
}

func (s *slow) Validate(ctx context.Context, r *policy.Request) []policy.Result {
	s.asked = append(s.asked, r.GetName())
	s.clock.Step(s.takes)
	return s.compoundRule.Validate(ctx, r)
}

// slowly is a kind that is not run, with one rule.
func slowly(t *testing.T, takes time.Duration) (*kind, *slow) {
	k := many(t)
	s := &slow{compoundRule: compoundRule{&rule{source: gate.Source{Kind: "Rule", Name: "r"}, resource: "pods", label: "owner", action: "deny"}}, clock: clocktesting.NewFakeClock(noon), takes: takes}
	sets := []*policy.Set{policy.NewSet([]policy.Policy{s}, policy.Options{})}
	k.opts.Clock = s.clock
	k.sets = func() []*policy.Set { return sets }
	return k, s
}

func numbered(i, version int) *unstructured.Unstructured {
	o := podNumber(i)
	o.SetName(fmt.Sprintf("p%d", i))
	o.SetResourceVersion(fmt.Sprint(version))
	o.SetAnnotations(map[string]string{"version": fmt.Sprint(version)})
	return o
}

// What has changed is judged one after the other, with rests in between; of an object
// its last version, and what has gone meanwhile is not judged.
func TestWhatHasChangedWaitsForItsTurn(t *testing.T) {
	k, s := slowly(t, 10*time.Millisecond)
	for i := range 4 {
		k.changed.put(numbered(i, 10+i))
	}
	turn := func(want ...string) {
		t.Helper()
		rested, err := k.judgeChanged(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(s.asked, want) {
			t.Fatalf("judged %q, want %q", s.asked, want)
		}
		if (rested == nil) != (k.changed.len() == 0) {
			t.Errorf("%d wait; is there a rest: %v", k.changed.len(), rested != nil)
		}
	}
	turn("p0")
	turn("p0") // it rests
	k.changed.put(numbered(2, 20))
	k.changed.put(numbered(2, 30))
	k.changed.drop(numbered(1, 0).GetUID())
	s.clock.Step(88 * time.Millisecond)
	turn("p0")
	s.clock.Step(2 * time.Millisecond) // ten milliseconds are a tenth of these hundred
	turn("p0", "p2")
	s.clock.Step(time.Minute)
	turn("p0", "p2", "p3")
	if got := k.objects[numbered(2, 0).GetUID()].version; got != 30 {
		t.Errorf("version %d was judged", got)
	}
}

// What is quickly judged is not waited for, and objects do not wait in any number.
func TestNobodyRestsForLittleOrWithTooManyWaiting(t *testing.T) {
	k, s := slowly(t, 10*time.Microsecond)
	for i := range 20 {
		k.changed.put(numbered(i, 10))
	}
	if rested, err := k.judgeChanged(t.Context()); err != nil || rested != nil || len(s.asked) != 20 {
		t.Errorf("judged %d, rests: %v, %v", len(s.asked), rested != nil, err)
	}
	k, s = slowly(t, time.Second)
	for i := range mostQueued + 5 {
		k.changed.put(numbered(i, 10))
	}
	if _, err := k.judgeChanged(t.Context()); err != nil || k.changed.len() != mostQueued-1 || len(s.asked) != 6 {
		t.Errorf("%d wait after %d were judged, %v", k.changed.len(), len(s.asked), err)
	}
}

// A list tells what there is: what waited is in it, or gone.
func TestAListTakesTheQueueAway(t *testing.T) {
	k, _ := slowly(t, time.Second)
	k.opts.Client = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{pods: "PodList"})
	k.changed.put(numbered(1, 10))
	if _, err := k.list(t.Context(), "", nil); err != nil {
		t.Fatal(err)
	}
	if k.changed.take() != nil {
		t.Error("an object that may be gone would be judged")
	}
}

func TestRestsAreOfAShare(t *testing.T) {
	var r rests
	r.pay(noon, 10*time.Millisecond, 0.25)
	if got := r.left(noon); got != 30*time.Millisecond {
		t.Errorf("%v are left", got)
	}
	r.pay(noon.Add(10*time.Millisecond), 10*time.Millisecond, 0.1) // beside it, of another kind
	if got := r.left(noon.Add(10 * time.Millisecond)); got != 110*time.Millisecond {
		t.Errorf("%v are left", got)
	}
	if got := r.left(noon.Add(time.Second)); got != 0 {
		t.Errorf("%v are left", got)
	}
}

// A watch may tell of objects of Go types. They are judged as what a list has, and a
// list that says the same says nothing new.
func TestAWatchOfGoTypes(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		client := o.Client
		o.Watch = func(ctx context.Context, of Resource, list metav1.ListOptions) (watch.Interface, error) {
			stream, err := client.Resource(of.GroupVersionResource).Watch(ctx, list)
			if err != nil || of.GroupVersionResource != pods {
				return stream, err
			}
			return watch.Filter(stream, func(e watch.Event) (watch.Event, bool) {
				pod := &corev1.Pod{}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(e.Object.(*unstructured.Unstructured).Object, pod); err != nil {
					t.Error(err)
				}
				pod.TypeMeta = metav1.TypeMeta{}
				e.Object = pod
				return e, true
			}), nil
		}
	}, nil, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"))
	w.settled(1)
	w.create(pods, pod("shop", "late"))
	w.reads("shop/late: fail owner: late has no label owner\nshop/web: fail owner: web has no label owner\n")
	if r := w.reports.Get("pod-shop-late"); r == nil || r.Kind != (schema.GroupVersionKind{Version: "v1", Kind: "Pod"}) {
		t.Errorf("the report is %+v", r)
	}
	w.update(pods, pod("shop", "late", "owner"))
	w.reads("shop/web: fail owner: web has no label owner\n")
	w.delete(pods, pod("shop", "web"))
	w.reads("")
}
