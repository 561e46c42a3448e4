package part

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// path is what is written of an object.
type path struct {
	fields []string
	shape  bool
}

func written(t *testing.T, object any, p path) string {
	t.Helper()
	w := Writer{Layouts: &Layouts{}}
	w.Part(reflect.ValueOf(object), p.fields, p.shape)
	if w.Lost {
		t.Fatalf("%T cannot be written", object)
	}
	return string(w.Text)
}

func typedPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"app": "web", "tier": "front"}, CreationTimestamp: metav1.NewTime(time.Unix(1, 0))},
		Spec: corev1.PodSpec{HostNetwork: true, NodeSelector: map[string]string{"a": "b"}, Containers: []corev1.Container{
			{Name: "a", Image: "a:1", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("64Mi")}},
				SecurityContext: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)},
				ReadinessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}}},
			{Name: "b", Image: "b:1"}}},
	}
}

// Each change of an object is a change of the parts that have it, and of no others.
func TestParts(t *testing.T) {
	of := func(shape bool, fields ...string) path { return path{fields, shape} }
	reads := []path{
		of(false), of(false, "metadata", "name"), of(false, "metadata", "labels"), of(false, "metadata", "labels", "app"), of(true, "metadata", "labels"),
		of(false, "spec"), of(false, "spec", "hostNetwork"), of(false, "spec", "containers"), of(true, "spec", "containers"),
		of(false, "spec", "containers", Each, "image"), of(true, "spec", "containers", Each, "securityContext"), of(false, "spec", "containers", Each, "securityContext", "runAsNonRoot"),
		of(true, "spec", "containers", Each, "resources", "limits"), of(false, "spec", "containers", Each, "resources", "limits", "memory"),
		of(false, "spec", "containers", Each, "readinessProbe", "httpGet", "port"), of(true, "spec"), of(false, "metadata", "labels", Each),
	}
	name := func(i int) string { return fmt.Sprintf("%q shape=%v", reads[i].fields, reads[i].shape) }
	for _, change := range []struct {
		what string
		do   func(*corev1.Pod)
		in   []int // indexes of reads
	}{
		{"name", func(p *corev1.Pod) { p.Name = "other" }, []int{0, 1}},
		{"a label", func(p *corev1.Pod) { p.Labels["app"] = "other" }, []int{0, 2, 3, 16}},
		{"another label", func(p *corev1.Pod) { p.Labels["tier"] = "other" }, []int{0, 2, 16}},
		{"a label more", func(p *corev1.Pod) { p.Labels["x"] = "y" }, []int{0, 2, 4, 16}},
		{"no labels", func(p *corev1.Pod) { p.Labels = nil }, []int{0, 2, 3, 4, 16}},
		{"host network", func(p *corev1.Pod) { p.Spec.HostNetwork = false }, []int{0, 5, 6, 15}},
		{"image", func(p *corev1.Pod) { p.Spec.Containers[1].Image = "c" }, []int{0, 5, 7, 9}},
		{"a container more", func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, corev1.Container{}) }, []int{0, 5, 7, 8, 9, 10, 11, 12, 13, 14}},
		{"containers the other way round", func(p *corev1.Pod) { slices.Reverse(p.Spec.Containers) }, []int{0, 5, 7, 9, 10, 11, 12, 13, 14}},
		{"root", func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.RunAsNonRoot = ptr.To(false) }, []int{0, 5, 7, 11}},
		{"nobody says root", func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext.RunAsNonRoot = nil }, []int{0, 5, 7, 10, 11}},
		{"no security context", func(p *corev1.Pod) { p.Spec.Containers[0].SecurityContext = nil }, []int{0, 5, 7, 10, 11}},
		{"memory", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits["memory"] = resource.MustParse("1Gi") }, []int{0, 5, 7, 13}},
		{"cpu", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits["cpu"] = resource.MustParse("1") }, []int{0, 5, 7, 12}},
		{"port", func(p *corev1.Pod) { p.Spec.Containers[0].ReadinessProbe.HTTPGet.Port = intstr.FromString("80") }, []int{0, 5, 7, 14}},
		{"time", func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(time.Unix(2, 0)) }, []int{0}},
		{"a hint of the scheduler", func(p *corev1.Pod) { p.Spec.NodeSelector["a"] = "c" }, []int{0, 5}},
	} {
		changed := typedPod()
		change.do(changed)
		for _, form := range []func(*corev1.Pod) any{
			func(p *corev1.Pod) any { return p },
			func(p *corev1.Pod) any {
				o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
				if err != nil {
					t.Fatal(err)
				}
				return o
			},
		} {
			before, again, after := form(typedPod()), form(typedPod()), form(changed)
			for i, read := range reads {
				if written(t, before, read) != written(t, again, read) {
					t.Errorf("%s of the same %T differs", name(i), before)
				}
				differs := written(t, before, read) != written(t, after, read)
				if want := slices.Contains(change.in, i); differs != want {
					t.Errorf("%s in a %T: %s differs: %v", change.what, before, name(i), differs)
				}
			}
		}
	}
}

// Where a part ends is a part of it.
func TestPartsThatEnd(t *testing.T) {
	read := path{fields: []string{"a", "b", "c"}}
	seen := map[string]int{}
	for i, o := range []map[string]any{
		nil, {}, {"a": nil}, {"a": map[string]any{}}, {"a": map[string]any{"b": nil}}, {"a": map[string]any{"b": map[string]any{}}},
		{"a": map[string]any{"b": map[string]any{"c": nil}}}, {"a": map[string]any{"b": map[string]any{"c": ""}}}, {"a": map[string]any{"b": map[string]any{"c": int64(0)}}},
		{"a": map[string]any{"b": map[string]any{"c": float64(0)}}}, {"a": map[string]any{"b": map[string]any{"c": false}}}, {"a": map[string]any{"b": map[string]any{"c": []any{}}}},
		{"a": map[string]any{"b": map[string]any{"c": map[string]any{}}}}, {"a": "x"}, {"a": "y"}, {"a": []any{"b"}}, {"a": map[string]any{"b": int64(1)}},
	} {
		text := written(t, o, read)
		if before, ok := seen[text]; ok {
			t.Errorf("%d is written as %d", i, before)
		}
		seen[text] = i
	}
}

// What writes its own JSON is told apart by all of it, however little of it counts: its
// fields are not those that a policy sees.
func TestPartsOfWhatWritesItself(t *testing.T) {
	type content struct {
		Any   runtime.RawExtension `json:"any"`
		Port  intstr.IntOrString   `json:"port"`
		Since metav1.Time          `json:"since"`
		Size  resource.Quantity    `json:"size"`
	}
	raw := func(text string) content { return content{Any: runtime.RawExtension{Raw: []byte(text)}} }
	for _, c := range []struct {
		field string
		a, b  content
	}{
		{"any", raw(`null`), raw(`{}`)}, {"any", raw(`{"a":1}`), raw(`{"b":1}`)}, {"any", raw(`[1]`), raw(`[2]`)},
		{"port", content{Port: intstr.FromInt32(1)}, content{Port: intstr.FromString("a")}},
		{"since", content{Since: metav1.NewTime(time.Unix(1, 0))}, content{}},
		{"size", content{Size: resource.MustParse("1")}, content{Size: resource.MustParse("2")}},
	} {
		for _, p := range []path{{[]string{c.field}, true}, {[]string{c.field}, false}, {[]string{c.field, "a"}, false}, {[]string{c.field, "a"}, true}, {[]string{c.field, Each}, false}} {
			if written(t, c.a, p) == written(t, c.b, p) {
				t.Errorf("%+v of %+v and %+v", p, c.a, c.b)
			}
		}
	}
	// The shape of what they are in says whether they are there.
	if p := (path{shape: true}); written(t, content{Since: metav1.NewTime(time.Unix(1, 0))}, p) != written(t, content{Since: metav1.NewTime(time.Unix(2, 0))}, p) {
		t.Error("another time is another shape of what it is in")
	}
}

// The types that a server has for itself have no names that a policy could read by.
func TestNamelessTypesAreLost(t *testing.T) {
	type internal struct{ Spec struct{ HostNetwork bool } }
	w := Writer{Layouts: &Layouts{}}
	if w.Part(reflect.ValueOf(&internal{}), []string{"spec", "hostNetwork"}, false); !w.Lost {
		t.Error("it was written")
	}
	w = Writer{Layouts: &Layouts{}}
	if w.Whole(reflect.ValueOf(make(chan int))); !w.Lost {
		t.Error("a channel was written")
	}
}

// Two objects are written alike only where they are equal.
func FuzzParts(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { checkParts(t, rand.New(rand.NewPCG(a, b))) })
}

func TestPartsOfAnything(t *testing.T) {
	for seed := range uint64(300) {
		checkParts(t, rand.New(rand.NewPCG(seed, 3)))
	}
}

func checkParts(t *testing.T, r *rand.Rand) {
	t.Helper()
	one := anything(r, 4)
	other := runtime.DeepCopyJSONValue(one)
	if r.IntN(2) == 0 {
		other = anything(r, 4)
	}
	if got, want := written(t, one, path{}) == written(t, other, path{}), reflect.DeepEqual(one, other); got != want {
		t.Errorf("%v and %v: written alike %v, equal %v", one, other, got, want)
	}
	var fields []string
	for range r.IntN(4) {
		fields = append(fields, pick(r, []string{"a", "b", Each}))
	}
	read := path{fields: fields}
	if written(t, one, read) == written(t, other, read) && !reflect.DeepEqual(reached(one, fields), reached(other, fields)) {
		t.Errorf("%q of %v and %v", fields, one, other)
	}
}

// reached is what fields lead to, read slowly.
func reached(v any, fields []string) any {
	if len(fields) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if fields[0] == Each {
			all := map[string]any{}
			for key, value := range v {
				all[key] = reached(value, fields[1:])
			}
			return all
		}
		value, ok := v[fields[0]]
		if !ok {
			return "absent"
		}
		return reached(value, fields[1:])
	case []any:
		if fields[0] == Each {
			all := []any{}
			for _, value := range v {
				all = append(all, reached(value, fields[1:]))
			}
			return all
		}
	}
	return []any{"not here", v}
}

func anything(r *rand.Rand, depth int) any {
	switch n := r.IntN(8); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return int64(r.IntN(2))
	case n == 3:
		return float64(r.IntN(2))
	case n == 4 || depth == 0:
		return pick(r, []string{"", "a", "ab", "s", "\x00"})
	case n == 5:
		list := []any{}
		for range r.IntN(3) {
			list = append(list, anything(r, depth-1))
		}
		return list
	default:
		o := map[string]any{}
		for range r.IntN(3) {
			o[pick(r, []string{"a", "b", "ab"})] = anything(r, depth-1)
		}
		return o
	}
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
