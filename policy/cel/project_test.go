package cel_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"

	"github.com/gatehouse-io/gatehouse/policy"
)

// asked is a request, and what of it can be read.
type asked struct {
	admission.Attributes
	in   policy.Cluster
	part [policy.OfRequest + 1]any
}

// newAsked is a request in a namespace; nil where that is not there.
func newAsked(t testing.TB, a admission.Attributes, ns *corev1.Namespace) *asked {
	in := &cluster{namespaces: map[string]*corev1.Namespace{}}
	r := &asked{Attributes: a, in: in}
	if ns != nil {
		in.namespaces[a.GetNamespace()] = ns
		r.part[policy.OfNamespace] = content(t, ns)
	}
	r.part[policy.OfObject], r.part[policy.OfOldObject] = content(t, a.GetObject()), content(t, a.GetOldObject())
	request := plugincel.CreateAdmissionRequest(a, metav1.GroupVersionResource{}, metav1.GroupVersionKind{})
	var options any
	if request.Options.Object != nil {
		options = content(t, request.Options.Object)
	}
	request.Options.Object = nil
	all := content(t, request).(map[string]any)
	all["options"] = options
	r.part[policy.OfRequest] = all
	return r
}

// content is any object as JSON has it; nil for none.
func content(t testing.TB, o any) any {
	t.Helper()
	switch o := o.(type) {
	case nil:
		return nil
	case *unstructured.Unstructured:
		return o.Object
	}
	if v := reflect.ValueOf(o); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	all, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// projection is what some reads tell of a request, and no more than they must.
func (r *asked) projection(parts []policy.Read) string {
	var b strings.Builder
	for i := range parts {
		project(&b, r.part[parts[i].Of], r.part[parts[i].Of] != nil, parts[i].Fields, parts[i].Shape)
		b.WriteByte('\n')
	}
	return b.String()
}

// project tells where the fields end, and what is there; where they lead into nothing, how
// many are left.
func project(b *strings.Builder, value any, there bool, fields []string, shape bool) {
	switch {
	case !there:
		fmt.Fprintf(b, "absent before %d", len(fields))
		return
	case value == nil:
		fmt.Fprintf(b, "null before %d", len(fields))
		return
	case len(fields) == 0 && shape:
		projectShape(b, value)
		return
	case len(fields) == 0:
		js, _ := json.Marshal(value)
		fmt.Fprintf(b, "%T %s", value, js)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		fmt.Fprintf(b, "map before %d ", len(fields))
		if fields[0] != policy.Each {
			below, there := v[fields[0]]
			project(b, below, there, fields[1:], shape)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(b, "%q: ", key)
			project(b, v[key], true, fields[1:], shape)
		}
	case []any:
		fmt.Fprintf(b, "list before %d ", len(fields))
		if fields[0] == policy.Each {
			for _, one := range v {
				project(b, one, true, fields[1:], shape)
				b.WriteString(", ")
			}
		}
	default:
		fmt.Fprintf(b, "neither before %d", len(fields))
	}
}

func projectShape(b *strings.Builder, value any) {
	switch v := value.(type) {
	case map[string]any:
		fmt.Fprintf(b, "map of %q", slices.Sorted(maps.Keys(v)))
	case []any:
		fmt.Fprintf(b, "list of %d", len(v))
	default:
		fmt.Fprintf(b, "%T, zero: %v", value, reflect.ValueOf(value).IsZero())
	}
}
