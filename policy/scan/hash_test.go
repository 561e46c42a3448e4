package scan

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/resource"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
)

// unstructuredHash is what the hash of a typed object stands for.
func unstructuredHash(t testing.TB, h *hashes, o Item) uint64 {
	t.Helper()
	kinds, _, err := scheme.Scheme.ObjectKinds(o)
	if err != nil {
		t.Fatal(err)
	}
	u, err := contentOf(o, kinds[0])
	if err != nil {
		t.Fatal(err)
	}
	return h.of(u)
}

// Where two objects say something else, they have other hashes as Go types.
func TestHashesOfGoTypesTellApart(t *testing.T) {
	h := newHashes()
	random := rand.New(rand.NewSource(1))
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, random, scheme.Codecs)
	for _, empty := range []Item{
		&corev1.Pod{}, &corev1.Service{}, &corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Namespace{}, &corev1.Node{}, &corev1.PersistentVolume{}, &corev1.LimitRange{},
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.ControllerRevision{}, &batchv1.CronJob{}, &autoscalingv2.HorizontalPodAutoscaler{},
		&networkingv1.NetworkPolicy{}, &networkingv1.Ingress{}, &rbacv1.ClusterRole{}, &rbacv1.RoleBinding{},
	} {
		differ := 0
		for range 40 {
			o := reflect.New(reflect.TypeOf(empty).Elem()).Interface().(Item)
			fill.Fill(o)
			o = throughJSON(t, o, false) // some values of Go cannot be said
			if again := throughJSON(t, o, false); h.of(again) != h.of(o) {
				t.Fatalf("%T has another hash when it is read again", o)
			}
			if h.of(o.DeepCopyObject().(Item)) != h.of(o) {
				t.Fatalf("%T: a copy has another hash", o)
			}
			for range 20 {
				next := o.DeepCopyObject().(Item)
				changed := mutate(reflect.ValueOf(next).Elem(), random)
				next = throughJSON(t, next, true)
				if next == nil {
					continue
				}
				if unstructuredHash(t, h, next) == unstructuredHash(t, h, o) {
					continue // an empty list and none say the same, and are told apart all the same
				}
				differ++
				if h.of(next) == h.of(o) {
					t.Fatalf("%T: with another %s it has the same hash", o, changed)
				}
			}
		}
		if differ == 0 {
			t.Errorf("%T: no change was one", empty)
		}
	}
}

// throughJSON is an object as it is read from JSON; nil where bad is allowed and it
// cannot be.
func throughJSON(t testing.TB, o Item, bad bool) Item {
	t.Helper()
	said, err := json.Marshal(o)
	read := reflect.New(reflect.TypeOf(o).Elem()).Interface().(Item)
	if err == nil {
		err = json.Unmarshal(said, read)
	}
	if err != nil {
		if bad {
			return nil
		}
		t.Fatal(err)
	}
	return read
}

// mutate changes one value somewhere in another, and says where.
func mutate(v reflect.Value, random *rand.Rand) string {
	switch v.Type() {
	case reflect.TypeFor[metav1.Time]():
		v.Set(reflect.ValueOf(metav1.NewTime(time.Unix(random.Int63n(1<<32), 0))))
		return ""
	case reflect.TypeFor[metav1.MicroTime]():
		v.Set(reflect.ValueOf(metav1.NewMicroTime(time.Unix(random.Int63n(1<<32), 1000))))
		return ""
	case reflect.TypeFor[resource.Quantity]():
		v.Set(reflect.ValueOf(*resource.NewMilliQuantity(random.Int63n(1<<40), resource.DecimalSI)))
		return ""
	}
	switch v.Kind() {
	case reflect.Struct:
		for range 20 {
			if i := random.Intn(v.NumField()); v.Type().Field(i).IsExported() {
				return "." + v.Type().Field(i).Name + mutate(v.Field(i), random)
			}
		}
	case reflect.Pointer:
		if v.IsNil() || random.Intn(8) == 0 {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			} else {
				v.SetZero()
			}
			return ""
		}
		return mutate(v.Elem(), random)
	case reflect.Slice:
		if v.Len() == 0 || random.Intn(8) == 0 {
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			} else {
				v.SetLen(v.Len() - 1)
			}
			return ""
		}
		i := random.Intn(v.Len())
		return fmt.Sprintf("[%d]", i) + mutate(v.Index(i), random)
	case reflect.Map:
		keys := v.MapKeys()
		if len(keys) == 0 {
			return ""
		}
		key := keys[random.Intn(len(keys))]
		if random.Intn(3) == 0 {
			v.SetMapIndex(key, reflect.Value{})
			return "{}"
		}
		value := reflect.New(v.Type().Elem()).Elem()
		value.Set(v.MapIndex(key))
		where := mutate(value, random)
		v.SetMapIndex(key, value)
		return "{}" + where
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(v.Int() ^ 1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() ^ 1)
	}
	return ""
}

// What is next to each other is not taken for one.
func TestHashesKeepNeighboursApart(t *testing.T) {
	of := newHashes()
	seen := map[uint64]string{}
	for _, c := range []*corev1.Pod{
		{},
		{ObjectMeta: metav1.ObjectMeta{Name: "ab"}},
		{ObjectMeta: metav1.ObjectMeta{GenerateName: "ab"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "a", GenerateName: "b"}},
		{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}},
		{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"ab": ""}}},
		{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"": "ab"}}},
		{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": "b"}}},
		{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b", "c": "d"}}},
		{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "d", "c": "b"}}},
		{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"a", "b"}}},
		{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"b", "a"}}},
		{ObjectMeta: metav1.ObjectMeta{Finalizers: []string{"ab"}}},
		{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}},
		{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a"}}, InitContainers: []corev1.Container{{Name: "b"}}}},
		{Spec: corev1.PodSpec{NodeSelector: map[string]string{"a": "b"}}},
		{Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"cpu": resource.MustParse("1")}}},
		{Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"cpu": resource.MustParse("1m")}}},
		{Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"memory": resource.MustParse("1")}}},
		{Spec: corev1.PodSpec{HostPID: true}},
		{Spec: corev1.PodSpec{HostNetwork: true}},
		{Spec: corev1.PodSpec{AutomountServiceAccountToken: new(bool)}},
	} {
		said := fmt.Sprintf("%+v", c)
		h := of.of(c)
		if other, ok := seen[h]; ok {
			t.Errorf("one hash for\n%s\nand\n%s", other, said)
		}
		seen[h] = said
	}
}

func TestHashesLeaveOutWhatAServerWrites(t *testing.T) {
	h := newHashes()
	a := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"memory": resource.MustParse("1024Mi")}}}
	b := a.DeepCopy()
	b.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	b.ResourceVersion, b.Generation, b.ManagedFields = "7", 3, []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	b.Status.Phase = corev1.PodRunning
	b.Spec.Overhead["memory"] = resource.MustParse("1Gi")
	if h.of(a) != h.of(b) {
		t.Error("they are told apart")
	}
	b.DeletionTimestamp = &metav1.Time{Time: noon}
	if h.of(a) == h.of(b) {
		t.Error("they are not told apart")
	}
}

// What is in the metadata is not taken for what is beside it.
func TestHashesTellMetadataApart(t *testing.T) {
	h := newHashes()
	inside := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"x": "y"}}}
	beside := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{}, "x": "y"}}
	if h.of(inside) == h.of(beside) {
		t.Error("they are not told apart")
	}
}

// A hash changes nothing: others read the object at the same time.
func TestHashesChangeNothing(t *testing.T) {
	h := newHashes()
	parsed, unparsed := resource.MustParse("1.5Gi"), resource.NewQuantity(1<<30, resource.BinarySI)
	o := &corev1.Pod{Spec: corev1.PodSpec{Overhead: corev1.ResourceList{"a": parsed, "b": *unparsed}}}
	before := fmt.Sprintf("%#v", o.Spec.Overhead)
	h.of(o)
	if after := fmt.Sprintf("%#v", o.Spec.Overhead); after != before {
		t.Errorf("%s\nhas become\n%s", before, after)
	}
}

// Objects judged as Go types come to what they come to unstructured.
func TestJudgingGoTypesIsJudgingWhatTheySay(t *testing.T) {
	k := many(t)
	for i := range 200 {
		o := podNumber(i)
		if i%3 == 0 {
			o.SetLabels(map[string]string{"owner": "x", "zone": fmt.Sprint(i % 2)})
		}
		a, b := k.judge(t.Context(), o, podResource), k.judge(t.Context(), typedOf(t, o, podResource.Kind), podResource)
		a.Judged, b.Judged = noon, noon
		if !reflect.DeepEqual(a, b) {
			t.Errorf("unstructured: %+v\ntyped: %+v", a, b)
		}
	}
}
