package scan

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
)

func TestAnObjectThatBreaksAPolicyIsReportedUntilItIsMended(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"), pod("shop", "good", "owner"))
	w.settled(1)
	w.reads("shop/web: fail owner: web has no label owner\n")
	w.update(pods, pod("shop", "web", "owner"))
	w.reads("")
	w.create(pods, pod("bank", "till"))
	w.reads("bank/till: fail owner: till has no label owner\n")
	w.delete(pods, pod("bank", "till"))
	w.reads("")
	if got := w.judged(); got != [len(reasons)]int64{Object: 4} {
		t.Errorf("judged %v, want 4 times, each for its object", got)
	}
}

func TestVerdicts(t *testing.T) {
	w := newWorld(t, nil, nil, pod("shop", "web"),
		ruleOf("a-denies", "pods", "owner", "deny"), ruleOf("b-warns", "pods", "owner", "warn"), ruleOf("c-audits", "pods", "owner", "audit"),
		ruleOf("d-does-all", "pods", "owner", "deny,warn,audit"), ruleOf("e-is-broken", "pods", "", "broken"), ruleOf("f-is-ignored", "pods", "", "ignored"),
		ruleOf("g-warns-and-audits", "pods", "owner", "warn,audit"), ruleOf("h-passes", "pods", "spec", "deny"), ruleOf("excepted", "pods", "owner", "deny"),
		exceptionFor("x", "2026-11-23T13:00:00Z", "excepted"))
	w.settled(1)
	w.reads(`
shop/web: fail a-denies: web has no label owner
shop/web: fail d-does-all: web has no label owner
shop/web: error e-is-broken: it could not be evaluated: it divides by zero
shop/web: fail h-passes: web has no label spec
shop/web: error f-is-ignored: it could not be evaluated: it divides by zero
shop/web: warn b-warns: web has no label owner
shop/web: warn g-warns-and-audits: web has no label owner
shop/web: warn c-audits: web has no label owner
shop/web: skip excepted: web has no label owner
`)
	report := w.reports.Get("pod-shop-web")
	if got := report.Counts(); got != [Pass + 1]int{Fail: 3, Error: 2, Warn: 3, Skip: 1, Pass: 0} {
		t.Errorf("counts are %v", got)
	}
	if rule := report.Findings[8].Rule(); rule.Exception != "x" || rule.Kind != "Rule" {
		t.Errorf("the skipped one is %+v", rule)
	}
	if rule := report.Findings[1].Rule(); rule.Actions != "audit,deny,warn" || report.Findings[1].Path() != "metadata.labels" {
		t.Errorf("the actions are %+v", rule)
	}
}

func TestAPolicyThatChangesPullsWhatItCanMatchAlone(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "pods", "owner", "deny"), ruleOf("zone", "nodes", "zone", "deny"), ruleOf("shop", "pods", "shop", "warn", "namespace", "shop"),
		pod("shop", "web"), pod("bank", "till"), object(nodes, "Node", "", "n", nil))
	w.settled(2)
	w.reads(`
/n: fail zone: n has no label zone
bank/till: fail owner: till has no label owner
shop/web: fail owner: web has no label owner
shop/web: warn shop: web has no label shop
`)
	w.update(rules, ruleOf("shop", "pods", "shelf", "warn", "namespace", "shop"))
	w.reads(`
/n: fail zone: n has no label zone
bank/till: fail owner: till has no label owner
shop/web: fail owner: web has no label owner
shop/web: warn shop: web has no label shelf
`)
	w.settled(2)
	if got := w.judged(); got != [len(reasons)]int64{Object: 3, Policy: 1} {
		t.Errorf("judged %v", got)
	}
	w.delete(rules, ruleOf("owner", "", "", ""))
	w.reads(`
/n: fail zone: n has no label zone
shop/web: warn shop: web has no label shelf
`)
	w.delete(rules, ruleOf("zone", "", "", ""))
	w.reads("shop/web: warn shop: web has no label shelf\n")
	w.await("nodes are watched no more", func() bool { p, _ := w.Progress(); return p.Kinds == 1 })
	if got := w.judged(); got != [len(reasons)]int64{Object: 3, Policy: 3} {
		t.Errorf("judged %v", got)
	}
}

func TestAStatusChangesNothing(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"))
	w.settled(1)
	next := pod("shop", "web")
	next.Object["status"] = map[string]any{"phase": "Running"}
	next.SetResourceVersion("7")
	w.update(pods, next)
	w.create(pods, pod("shop", "behind", "owner")) // in the same watch
	w.await("the one behind it is judged", func() bool { return w.judged()[Object] == 2 })
}

func TestAnExceptionSkipsUntilItEnds(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"), pod("shop", "good", "owner"))
	w.settled(1)
	w.reads("shop/web: fail owner: web has no label owner\n")
	w.create(exceptions, exceptionFor("x", "2026-11-23T13:00:00Z", "owner"))
	w.reads("shop/web: skip owner: web has no label owner\n")
	w.await("its end is awaited", w.clock.HasWaiters)
	w.settled(1)
	w.clock.Step(time.Hour)
	w.reads("shop/web: fail owner: web has no label owner\n")
	if got := w.judged(); got != [len(reasons)]int64{Object: 2, Exception: 2} {
		t.Errorf("judged %v: an Exception speaks of what is reported alone", got)
	}
}

func TestANamespacePullsWhatIsInIt(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("team", "pods", "namespace:team", "deny"), pod("shop", "web"), pod("bank", "till"))
	w.settled(1)
	w.reads("bank/till: fail team: till has no label namespace:team\nshop/web: fail team: web has no label namespace:team\n")
	of := w.typed.CoreV1().Namespaces()
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", ResourceVersion: "2", Labels: map[string]string{"team": "a"}}}
	if _, err := of.Update(t.Context(), shop, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.reads("bank/till: fail team: till has no label namespace:team\n")
	if got := w.judged(); got != [len(reasons)]int64{Object: 2, Namespace: 1} {
		t.Errorf("judged %v", got)
	}
	now := metav1.NewTime(noon)
	bank := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bank", ResourceVersion: "3", DeletionTimestamp: &now, Finalizers: []string{"x"}}}
	if _, err := of.Update(t.Context(), bank, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.reads("") // of what is going away nothing is said
}

func TestLookupsPullOnceInAWhile(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("a", "pods", "owner", "deny", "lookup", "ConfigMap"), ruleOf("b", "nodes", "zone", "deny"), pod("shop", "web"), object(nodes, "Node", "", "n", nil))
	w.settled(2)
	for range 5 {
		w.LookedUp(schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"})
	}
	w.LookedUp(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
	w.await("a while is waited", func() bool { return w.clock.Waiters() >= 2 }) // with that for new kinds
	w.clock.Step(31 * time.Second)
	w.await("the pod is judged again", func() bool { return w.judged()[Lookup] > 0 })
	w.settled(2)
	if got := w.judged(); got != [len(reasons)]int64{Object: 2, Lookup: 1} {
		t.Errorf("judged %v: the node's policy looks nothing up", got)
	}
}

func TestNewKindsAreFound(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "configmaps", "owner", "deny"), object(configMaps, "ConfigMap", "shop", "c", nil))
	w.await("nothing is there to judge", func() bool { p, ok := w.Progress(); return ok && p.Kinds == 0 })
	w.serve(Resource{configMaps, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, true})
	w.clock.Step(time.Minute)
	w.reads("shop/c: fail owner: c has no label owner\n")
	w.serve()
	w.clock.Step(time.Minute)
	w.reads("")
}

func TestWhatIsLeftOutIsNotRead(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Leave = func(r schema.GroupResource) bool { return r.Resource == "nodes" }
	}, nil, ruleOf("owner", "*", "owner", "deny"), pod("shop", "web"), object(nodes, "Node", "", "n", nil))
	w.settled(1)
	w.reads("shop/web: fail owner: web has no label owner\n")
	for _, action := range w.objects.Actions() {
		if action.GetResource() == nodes {
			t.Errorf("nodes were asked for: %v", action)
		}
	}
}

func TestNotMoreThanTheRateAreJudged(t *testing.T) {
	there := []runtime.Object{ruleOf("owner", "pods", "owner", "deny")}
	for _, name := range []string{"a", "b", "c", "d"} {
		there = append(there, pod("shop", name))
	}
	w := newWorld(t, func(o *Options) { o.Rate = 2 }, nil, there...)
	w.await("the first is judged", func() bool { return w.judged()[Object] == 1 })
	for n := int64(2); n <= 4; n++ {
		w.await("the next waits", func() bool { return w.clock.Waiters() >= 2 })
		if got := w.judged()[Object]; got != n-1 {
			t.Fatalf("%d are judged, and the clock stands", got)
		}
		if p, _ := w.Progress(); p.Done != n-1 || p.Objects != 4 || p.Ready() {
			t.Errorf("progress is %+v", p)
		}
		w.clock.Step(500 * time.Millisecond)
		w.await("one more is judged", func() bool { return w.judged()[Object] == n })
	}
	w.settled(1)
}

// paged answers lists of Pods in pages of one. The second page is too late where it is
// asked for by the name that the first gave.
type paged struct {
	dynamic.Interface
	all  []*unstructured.Unstructured
	late *int
}

func (p paged) Resource(of schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	if of != pods {
		return p.Interface.Resource(of)
	}
	return pages{p.Interface.Resource(of), p}
}

type pages struct {
	dynamic.NamespaceableResourceInterface
	paged
}

func (p pages) List(_ context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	at := len(opts.Continue)
	if opts.Continue == "x" {
		*p.late++
		expired := apierrors.NewResourceExpired("too old")
		expired.ErrStatus.Continue = "y"
		return nil, expired
	}
	list := &unstructured.UnstructuredList{Items: []unstructured.Unstructured{*p.all[at]}}
	list.SetResourceVersion("1")
	if at+1 < len(p.all) {
		list.SetContinue(strings.Repeat("x", at+1))
		left := int64(len(p.all) - at - 1)
		list.SetRemainingItemCount(&left)
	}
	return list, nil
}

func TestAListThatTakesTooLongGoesOn(t *testing.T) {
	late := 0
	all := []*unstructured.Unstructured{pod("shop", "a"), pod("shop", "b"), pod("shop", "c")}
	w := newWorld(t, func(o *Options) { o.Client = paged{o.Client, all, &late} }, nil, ruleOf("owner", "pods", "owner", "deny"))
	w.settled(1)
	w.reads("shop/a: fail owner: a has no label owner\nshop/b: fail owner: b has no label owner\nshop/c: fail owner: c has no label owner\n")
	if got := w.judged()[Object]; got != 3 || late != 1 {
		t.Errorf("judged %d, with %d pages too late", got, late)
	}
}

func TestAFailureIsTriedAgainAndTakesNothingAway(t *testing.T) {
	failing := make(chan struct{}, 1)
	failing <- struct{}{}
	w := newWorld(t, nil, func(c *dynamicfake.FakeDynamicClient) {
		c.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			select {
			case <-failing:
				return true, nil, apierrors.NewForbidden(pods.GroupResource(), "", nil)
			default:
				return false, nil, nil
			}
		})
	}, ruleOf("owner", "pods", "owner", "deny"), pod("shop", "web"))
	w.await("it has failed", func() bool { return w.failed.Load() == 1 })
	if p, ok := w.Progress(); !ok || p.Ready() {
		t.Errorf("progress is %+v: a kind that cannot be read is not settled", p)
	}
	w.await("it waits", func() bool { return w.clock.Waiters() >= 2 })
	w.clock.Step(time.Second)
	w.reads("shop/web: fail owner: web has no label owner\n")
	w.settled(1)
	failing <- struct{}{}
	w.update(rules, ruleOf("owner", "pods", "boss", "deny"))
	w.await("it has failed again", func() bool { return w.failed.Load() == 2 })
	w.reads("shop/web: fail owner: web has no label owner\n")
	w.await("it waits again", func() bool { return w.clock.Waiters() >= 2 })
	w.clock.Step(2 * time.Second)
	w.reads("shop/web: fail owner: web has no label boss\n")
}

func TestTheEndOfAScannerTakesNoReportAway(t *testing.T) {
	w := newWorld(t, nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	w.create(pods, pod("shop", "web"))
	state := w.opts.Policies[0]
	w.await("policies are read", state.HasSynced)
	k := w.newKind(ctx, podResource)
	w.await("it is settled", k.settled.Load)
	w.reports.Put("pod-shop-web", &Report{UID: "pod-shop-web", Namespace: "shop", Name: "web", Findings: []Finding{{}}})
	cancel()
	<-k.done
	if w.reports.Len() != 1 {
		t.Error("the report is gone: watchers would read that all is well")
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, nil, nil, ruleOf("owner", "pods", "owner", "deny"), ruleOf("boss", "pods", "boss", "warn"), pod("shop", "web"), pod("shop", "good", "owner", "boss"))
	w.settled(1)
	registry := metrics.NewKubeRegistry()
	registry.CustomMustRegister(w.Collector())
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP gatehouse_scan_evaluations_total [ALPHA] Existing objects that were judged, by why.
# TYPE gatehouse_scan_evaluations_total counter
gatehouse_scan_evaluations_total{reason="exception"} 0
gatehouse_scan_evaluations_total{reason="lookup"} 0
gatehouse_scan_evaluations_total{reason="namespace"} 0
gatehouse_scan_evaluations_total{reason="object"} 2
gatehouse_scan_evaluations_total{reason="policy"} 0
# HELP gatehouse_scan_findings [ALPHA] What policies say of existing objects, by result.
# TYPE gatehouse_scan_findings gauge
gatehouse_scan_findings{result="error"} 0
gatehouse_scan_findings{result="fail"} 1
gatehouse_scan_findings{result="skip"} 0
gatehouse_scan_findings{result="warn"} 1
# HELP gatehouse_scan_objects [ALPHA] Existing objects of the kinds that policies match.
# TYPE gatehouse_scan_objects gauge
gatehouse_scan_objects 2
# HELP gatehouse_scan_objects_settled [ALPHA] Those of them that have been judged by the policies in force.
# TYPE gatehouse_scan_objects_settled gauge
gatehouse_scan_objects_settled 2
# HELP gatehouse_scan_reports [ALPHA] Existing objects that there is something to say of.
# TYPE gatehouse_scan_reports gauge
gatehouse_scan_reports 1
`), "gatehouse_scan_evaluations_total", "gatehouse_scan_findings", "gatehouse_scan_objects", "gatehouse_scan_objects_settled", "gatehouse_scan_reports"); err != nil {
		t.Error(err)
	}
}
