package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
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
	for _, typed := range []bool{false, true} {
		for _, changed := range []bool{true, false} {
			b.Run(map[bool]string{true: "typed", false: "unstructured"}[typed]+"/"+map[bool]string{true: "judged", false: "unchanged"}[changed], func(b *testing.B) {
				k := many(b)
				var o Item = podNumber(1)
				if typed {
					o = typedOf(b, o, podResource.Kind)
				}
				labels := o.GetLabels()
				b.ReportAllocs()
				for i := range b.N {
					if changed {
						labels["app"] = fmt.Sprint(i)
						o.SetLabels(labels)
					}
					if err := k.look(context.Background(), o, nil, 1); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
			})
		}
	}
}

// fullPod is a Pod as an API server keeps it: with what it sets itself.
func fullPod(b testing.TB) *corev1.Pod {
	b.Helper()
	pod := &corev1.Pod{}
	if err := json.Unmarshal([]byte(`{
		"metadata": {"name": "web-7d4b9c6f5d-x2x9k", "generateName": "web-7d4b9c6f5d-", "namespace": "shop", "uid": "0c0f9b6e-1df1-4f52-8b2f-0b3f3c2d9a11", "resourceVersion": "12345",
			"creationTimestamp": "2026-11-23T12:00:00Z", "labels": {"app": "web", "pod-template-hash": "7d4b9c6f5d"},
			"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c6f5d", "uid": "5e8c7a52-6b0a-4a1c-8d8a-3c1d8d1c2b10", "controller": true, "blockOwnerDeletion": true}],
			"managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": "2026-11-23T12:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}}}]},
		"spec": {"volumes": [{"name": "kube-api-access-abcde", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}, {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}],
			"containers": [{"name": "web", "image": "registry.example/web:1", "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
				"volumeMounts": [{"name": "kube-api-access-abcde", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
				"livenessProbe": {"httpGet": {"path": "/healthz", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
				"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent", "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
			"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {}, "schedulerName": "default-scheduler",
			"tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}], "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority"},
		"status": {"phase": "Pending", "qosClass": "Burstable"}}`), pod); err != nil {
		b.Fatal(err)
	}
	return pod
}

// silent says nothing of what it is shown.
type silent struct{ compoundRule }

func (silent) Validate(context.Context, *policy.Request) []policy.Result { return nil }

// BenchmarkNewPod is what the scan does with a Pod that the watch tells of, besides
// evaluating policies: a policy is asked that reads nothing, or one that reads fields.
// "converted" makes of each an unstructured one before it looks at it.
func BenchmarkNewPod(b *testing.B) {
	for _, reads := range []bool{false, true} {
		for _, form := range []string{"converted", "typed"} {
			b.Run(map[bool]string{false: "nothing is read", true: "fields are read"}[reads]+"/"+form, func(b *testing.B) {
				k := many(b)
				one := compoundRule{&rule{source: gate.Source{Kind: "Rule", Name: "has-app"}, resource: "pods", label: "app", action: "deny"}}
				set := policy.NewSet([]policy.Policy{silent{one}}, policy.Options{})
				if reads {
					set = policy.NewSet([]policy.Policy{one}, policy.Options{})
				}
				k.sets = func() []*policy.Set { return []*policy.Set{set} }
				pod := fullPod(b)
				b.ReportAllocs()
				for i := range b.N {
					pod.Labels["app"] = strconv.Itoa(i)
					var o Item = pod
					if form == "converted" {
						u, err := contentOf(pod, podResource.Kind)
						if err != nil {
							b.Fatal(err)
						}
						o = u
					}
					if err := k.look(context.Background(), o, nil, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkHash is that of a Pod in either form.
func BenchmarkHash(b *testing.B) {
	pod := fullPod(b)
	u, err := contentOf(pod, podResource.Kind)
	if err != nil {
		b.Fatal(err)
	}
	h := newHashes()
	for name, o := range map[string]Item{"typed": pod, "unstructured": u} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				h.of(o)
			}
		})
	}
}
