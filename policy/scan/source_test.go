package scan

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// typedSource is a Source of Go types over another.
type typedSource struct {
	Source
	t testing.TB
}

func typedOf(t testing.TB, o Item, kind schema.GroupVersionKind) Item {
	typed, err := scheme.Scheme.New(kind)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(o.(*unstructured.Unstructured).Object, typed)
	}
	if err != nil {
		t.Error(err)
	}
	return typed.(Item)
}

func (s typedSource) List(ctx context.Context, of Resource, namespace string, opts metav1.ListOptions) (*Page, error) {
	page, err := s.Source.List(ctx, of, namespace, opts)
	if err != nil {
		return nil, err
	}
	for i := range page.Items {
		page.Items[i] = typedOf(s.t, page.Items[i], of.Kind)
	}
	return page, nil
}

func (s typedSource) Watch(ctx context.Context, of Resource, opts metav1.ListOptions) (watch.Interface, error) {
	w, err := s.Source.Watch(ctx, of, opts)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if o, ok := e.Object.(*unstructured.Unstructured); ok {
			e.Object = typedOf(s.t, o, of.Kind)
		}
		return e, true
	}), nil
}

// What is said does not hang on the form that objects are read in, nor how often they are
// judged: a list that says what the watch has said says nothing new.
func TestReportsAreTheSameOfGoTypes(t *testing.T) {
	for _, typed := range []bool{false, true} {
		t.Run(map[bool]string{true: "typed", false: "unstructured"}[typed], func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				if typed {
					o.Source = typedSource{FromClient(o.Client), t}
				}
			}, nil, ruleOf("owner", "pods", "owner", "deny"), ruleOf("zone", "nodes", "zone", "warn"), ruleOf("team", "pods", "namespace:team", "audit", "namespace", "bank"),
				pod("shop", "web"), pod("bank", "till", "owner"), object(nodes, "Node", "", "n", nil))
			w.settled(2)
			w.reads("/n: warn zone: n has no label zone\nbank/till: warn team: till has no label namespace:team\nshop/web: fail owner: web has no label owner\n")
			w.create(pods, pod("shop", "late"))
			w.reads("/n: warn zone: n has no label zone\nbank/till: warn team: till has no label namespace:team\nshop/late: fail owner: late has no label owner\nshop/web: fail owner: web has no label owner\n")
			if r := w.reports.Get("pod-shop-late"); r == nil || r.Kind != podResource.Kind {
				t.Errorf("the report is %+v", r)
			}
			w.update(pods, pod("shop", "late", "owner"))
			w.delete(pods, pod("shop", "web"))
			w.reads("/n: warn zone: n has no label zone\nbank/till: warn team: till has no label namespace:team\n")
			before := w.judged()
			bank := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank", ResourceVersion: "2", Labels: map[string]string{"team": "a"}}}
			if _, err := w.typed.CoreV1().Namespaces().Update(t.Context(), bank, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			w.reads("/n: warn zone: n has no label zone\n")
			w.update(rules, ruleOf("zone", "nodes", "zone", "deny"))
			w.reads("/n: fail zone: n has no label zone\n")
			w.settled(2)
			after := w.judged()
			if after[Object] != before[Object] || after[Namespace] != before[Namespace]+1 || after[Policy] != before[Policy]+1 {
				t.Errorf("judged %v, then %v", before, after)
			}
		})
	}
}

// What is in no namespace has nothing to do with the labels of one.
func TestANamespacePullsNothingThatIsInNone(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("zone", "nodes", "zone", "deny"), ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"), object(nodes, "Node", "", "n", nil))
	w.settled(2)
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "2", Labels: map[string]string{"team": "a"}}}
	if _, err := w.typed.CoreV1().Namespaces().Update(t.Context(), shop, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await("the pod is judged again", func() bool { return w.judged()[Namespace] == 1 })
	for _, action := range w.objects.Actions() {
		if action.GetResource() == nodes && action.GetNamespace() != "" {
			t.Errorf("nodes were asked for in a namespace: %v", action)
		}
	}
}

// A watch is read while objects rest: a server ends one that is not.
func TestAWatchIsReadWhileObjectsRest(t *testing.T) {
	k, s := slowly(t, 0)
	events := watch.NewFakeWithChanSize(0, false)
	source := &watched{listed: listed{}, w: events}
	k.opts.Source = source
	ctx, cancel := context.WithCancel(t.Context())
	k.rests.pay(s.clock.Now(), 1e12, changedShare)
	done := make(chan error)
	go func() {
		_, err := k.watch(ctx, "1")
		done <- err
	}()
	for i := range 2*mostQueued + 10 {
		events.Add(numbered(i, 10+i)) // returns when it is read
	}
	if k.overflows.Load() != 1 || k.judgements[Object].Load() != 0 {
		t.Errorf("behind %d times, judged %d", k.overflows.Load(), k.judgements[Object].Load())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type watched struct {
	listed
	w watch.Interface
}

func (w *watched) Watch(context.Context, Resource, metav1.ListOptions) (watch.Interface, error) {
	return w.w, nil
}

// A watch that the server has ended goes on where it was, and does not run in circles
// where one ends at once.
func TestAWatchThatEndsGoesOn(t *testing.T) {
	k, s := slowly(t, 0)
	events := watch.NewFakeWithChanSize(1, false)
	k.opts.Source = &watched{w: events}
	go func() {
		for i := range 3 {
			events.Add(numbered(i, 10+i))
		}
		events.Stop()
	}()
	if version, err := k.watch(t.Context(), "1"); version != "12" || err != nil {
		t.Errorf("it goes on at %s, %v", version, err)
	}
	if _, err := k.judgeChanged(t.Context()); err != nil || len(s.asked) != 3 {
		t.Errorf("%q were judged, %v", s.asked, err)
	}
	done := make(chan string)
	go func() {
		version, _ := k.watch(t.Context(), "12")
		done <- version
	}()
	for !s.clock.HasWaiters() {
		select {
		case <-done:
			t.Fatal("it did not wait")
		default:
		}
	}
	s.clock.Step(1e9)
	if version := <-done; version != "12" {
		t.Errorf("it goes on at %s", version)
	}
}

func TestErrorsOfAWatch(t *testing.T) {
	k, _ := slowly(t, 0)
	for _, of := range []runtime.Object{&metav1.Status{Message: "gone", Code: 410, Reason: metav1.StatusReasonExpired}, &metav1.Status{Message: "broken"}} {
		events := watch.NewFakeWithChanSize(1, false)
		k.opts.Source = &watched{w: events}
		events.Error(of)
		if _, err := k.watch(t.Context(), "1"); err == nil || err.Error() != of.(*metav1.Status).Message {
			t.Errorf("%v, want %v", err, of)
		}
	}
	events := watch.NewFakeWithChanSize(1, false)
	k.opts.Source = &watched{w: events}
	events.Add(&metav1.Status{})
	if _, err := k.watch(t.Context(), "1"); fmt.Sprint(err) != "watch: it tells of a *v1.Status" {
		t.Error(err)
	}
}
