package gatekeeper_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
)

// asked of a Pod, which keeps to all of it.
var asking = []string{
	`violation[{"msg": "host network"}] { input.review.object.spec.hostNetwork }`,
	`violation[{"msg": "privileged"}] { input.review.object.spec.containers[_].securityContext.privileged }`,
	`violation[{"msg": msg}] { c := containers[_]; not repository(c.image); msg := sprintf("%v is from elsewhere", [c.image]) }
containers[c] { c := input.review.object.spec.containers[_] }
containers[c] { c := input.review.object.spec.initContainers[_] }
repository(image) { startswith(image, input.parameters.repositories[_]) }`,
	`violation[{"msg": msg, "details": {"missing": missing}}] { provided := {l | input.review.object.metadata.labels[l]}; required := {l | l := input.parameters.labels[_]}; missing := required - provided; count(missing) > 0; msg := sprintf("%v are missing", [missing]) }`,
}

func regoPolicies(b testing.TB, n int) []policy.Object {
	var texts []string
	for i := range n {
		texts = append(texts, rego(fmt.Sprintf("Asked%d", i), asking[i%len(asking)], `{match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}, parameters: {labels: [app, tier], repositories: ["other.example.org/", "registry.example.org/"]}}`))
	}
	return objects(b, strings.Join(texts, "\n---\n"))
}

// BenchmarkRego is one request before so many constraints, each of a template of its own.
func BenchmarkRego(b *testing.B) {
	const pod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "tier": "front"}}, "spec": {"containers": [
		{"name": "web", "image": "registry.example.org/web:1.2", "resources": {"limits": {"cpu": "100m"}}, "securityContext": {"runAsNonRoot": true}}, {"name": "side", "image": "registry.example.org/side:2"}]}}`
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(pod)); err != nil {
		b.Fatal(err)
	}
	known := &cluster.Known{}
	known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}})
	known.Seal()
	for _, n := range []int{1, 16, 100, 1000} {
		loaded := engine(b).Compile(regoPolicies(b, n))
		if len(loaded.Problems) > 0 {
			b.Fatal(loaded.Problems[0])
		}
		set := policy.NewSet(loaded.Policies, policy.Options{})
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if out := set.Validate(context.Background(), request(admission.Create, o, nil, known)); out.Asked != n || len(out.Denials) > 0 {
					b.Fatal(out.Asked, out.Message())
				}
			}
		})
	}
}

// BenchmarkRegoCompile is the start with 1,000 templates and constraints.
func BenchmarkRegoCompile(b *testing.B) {
	all := regoPolicies(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if loaded := engine(b).Compile(all); len(loaded.Policies) != len(all)/2 {
			b.Fatal(loaded.Problems)
		}
	}
}

// BenchmarkRegoLooksUp is one request before a constraint that looks at each of 1,000
// objects; changing is with one of them new for each.
func BenchmarkRegoLooksUp(b *testing.B) {
	loaded := engine(b).Compile(objects(b, rego("Unique", `violation[{"msg": "taken"}] { data.inventory.namespace[_]["v1"]["ConfigMap"][name].data.host == input.review.object.data.host; name != input.review.object.metadata.name }`, "{}")))
	if len(loaded.Problems) > 0 {
		b.Fatal(loaded.Problems[0])
	}
	set := policy.NewSet(loaded.Policies, policy.Options{})
	host := func(i int, text string) *unstructured.Unstructured {
		o := aConfigMap()
		o.SetName(fmt.Sprintf("c%d", i))
		o.Object["data"] = map[string]any{"host": text, "text": "something beside it"}
		return o
	}
	var shared []*unstructured.Unstructured
	for i := range 1000 {
		shared = append(shared, host(i, fmt.Sprintf("%d.example.org", i)))
	}
	there := func(more string) *cluster.Known {
		known := &cluster.Known{}
		for _, o := range shared {
			known.Add(o)
		}
		known.Add(host(1000, more))
		known.Seal()
		return known
	}
	for name, views := range map[string][]*cluster.Known{"still": {there("a")}, "changing": {there("a"), there("b")}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if out := set.Validate(context.Background(), request(admission.Create, aConfigMap(), nil, views[i%len(views)])); len(out.Denials) > 0 {
					b.Fatal(out.Message())
				}
			}
		})
	}
}
