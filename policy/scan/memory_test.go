package scan

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/follow"
)

// many is a kind of a Scanner that is not run, with policies of which every Pod breaks
// three.
func many(t testing.TB) *kind {
	t.Helper()
	namespaces := informers.NewSharedInformerFactory(fake.NewClientset(), 0).Core().V1().Namespaces()
	lister := corelisters.NewNamespaceLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{}))
	f := follow.New(follow.Options{Engines: []policy.Engine{ruleEngine{}}})
	s, err := New(Options{Client: paged{}, Policies: []*follow.Follower{f}, Cluster: cluster.NewWatched(nil, nil, lister), Namespaces: namespaces,
		Resources: func() ([]Resource, error) { return nil, nil }, Rate: 1e12, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	var policies []policy.Policy
	for _, label := range []string{"owner", "team", "zone", "present"} {
		policies = append(policies, compoundRule{&rule{source: gate.Source{Kind: "Rule", Name: "has-" + label}, resource: "pods", label: label, action: "deny"}})
	}
	sets := []*policy.Set{policy.NewSet(policies, policy.Options{})}
	s.sets = func() []*policy.Set { return sets }
	return &kind{Scanner: s, resource: podResource, objects: map[types.UID]known{}, changed: newQueue()}
}

// podNumber is one of many, of the size that a server gives it.
func podNumber(i int) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": fmt.Sprintf("web-7d4b9c6f5d-%05d", i), "namespace": fmt.Sprintf("team-%03d", i%200), "resourceVersion": fmt.Sprint(1000000 + i),
			"uid": fmt.Sprintf("%08x-89ab-4cde-8f01-23456789abcd", i), "labels": map[string]any{"present": "x", "app": "web"},
		},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": "registry.example/web:1", "ports": []any{map[string]any{"containerPort": int64(80)}}}}},
	}}
	return o
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has found to be unused is freed by now
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAHundredThousandObjectsTakeLittle holds what is kept of 100,000 Pods, each of
// which breaks three policies with messages of its own, to the bound that is promised.
func TestAHundredThousandObjectsTakeLittle(t *testing.T) {
	const objects, most = 100_000, 100 << 20
	before := heap()
	k := many(t)
	for i := range objects {
		if err := k.look(t.Context(), podNumber(i), nil, 1); err != nil {
			t.Fatal(err)
		}
	}
	after := heap()
	took := after - min(after, before)
	t.Logf("%d objects with %d findings take %.1f MB", objects, k.reports.Findings(Fail), float64(took)/(1<<20))
	if k.reports.Len() != objects || k.reports.Findings(Fail) != 3*objects {
		t.Errorf("%d reports with %d findings", k.reports.Len(), k.reports.Findings(Fail))
	}
	if took > most {
		t.Errorf("they take %d bytes, more than %d", took, most)
	}
	runtime.KeepAlive(k)
}

// BenchmarkLook is one object of the stream: changed and judged, or the same as before.
func BenchmarkLook(b *testing.B) {
	for _, changed := range []bool{true, false} {
		b.Run(map[bool]string{true: "judged", false: "unchanged"}[changed], func(b *testing.B) {
			k := many(b)
			o := podNumber(1)
			labels := o.Object["metadata"].(map[string]any)["labels"].(map[string]any)
			b.ReportAllocs()
			for i := range b.N {
				if changed {
					labels["app"] = fmt.Sprint(i)
				}
				if err := k.look(context.Background(), o, nil, 1); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}
