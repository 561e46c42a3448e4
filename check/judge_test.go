package check_test

import (
	"context"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/builtin"
	"github.com/gatehouse-io/gatehouse/policy/podsecurity"
)

// kinds are a few that there are.
type kinds struct{}

var known = map[schema.GroupKind]struct {
	resource   string
	namespaced bool
}{
	{Kind: "Pod"}:                       {"pods", true},
	{Kind: "ConfigMap"}:                 {"configmaps", true},
	{Kind: "Namespace"}:                 {"namespaces", false},
	{Group: "apps", Kind: "Deployment"}: {"deployments", true},
}

func (kinds) ResourceOf(kind schema.GroupKind) (string, bool, bool) {
	of, ok := known[kind]
	return of.resource, of.namespaced, ok
}

func (kinds) KindOf(resource schema.GroupResource) (schema.GroupVersionKind, bool, bool) {
	for kind, of := range known {
		if kind.Group == resource.Group && of.resource == resource.Resource {
			return kind.WithVersion("v1"), of.namespaced, true
		}
	}
	return schema.GroupVersionKind{}, false, false
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

// judge has these built-in policies, and these objects in its cluster.
func judge(t *testing.T, policies string, there ...string) *check.Judge {
	t.Helper()
	objects := &cluster.Known{}
	for _, text := range there {
		objects.Add(object(t, text))
	}
	objects.Seal()
	o := object(t, "{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: all}, spec: {policies: ["+policies+"]}}")
	j := check.New(check.Options{Engines: []policy.Engine{builtin.New(builtin.Options{})}, Kinds: kinds{}, Cluster: objects,
		Policies: []policy.Object{{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}}}})
	if len(j.Loaded.Problems) > 0 {
		t.Fatal(j.Loaded.Problems)
	}
	return j
}

func raw(t *testing.T, text string) *runtime.RawExtension {
	t.Helper()
	data, err := object(t, text).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return &runtime.RawExtension{Raw: data}
}

const hostPID = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostPID: true, containers: [{name: c, image: i}]}}"

func TestAsk(t *testing.T) {
	j := judge(t, "{name: DisallowHostPID}, {name: DisallowPodExec}", hostPID)
	attributes := func(verb, resource, subresource, name, namespace string) *authorizationv1.ResourceAttributes {
		return &authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: resource, Subresource: subresource, Name: name, Namespace: namespace}
	}
	for name, c := range map[string]struct {
		spec v1alpha1.RequestReviewSpec
		want string
		err  string
	}{
		"a creation":                         {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "pods", "", "", "shop"), Object: raw(t, hostPID)}, "deny", ""},
		"a creation of nothing":              {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "pods", "", "", "shop")}, "", ""},
		"a read":                             {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("get", "pods", "", "p", "shop")}, "", ""},
		"exec":                               {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "pods", "exec", "p", "shop")}, "deny", ""},
		"exec by GET":                        {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("get", "pods", "exec", "p", "shop")}, "deny", ""},
		"an update of what is not there":     {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("update", "pods", "", "q", "shop"), Object: raw(t, hostPID)}, "no opinion", ""},
		"a deletion":                         {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("delete", "configmaps", "", "q", "shop")}, "no opinion", ""},
		"an object of another kind":          {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "configmaps", "", "", "shop"), Object: raw(t, hostPID)}, "", "the request is for a ConfigMap"},
		"an object of another namespace":     {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "pods", "", "", "shop"), Object: raw(t, strings.Replace(hostPID, "name: p", "name: p, namespace: lab", 1))}, "", `in the namespace "lab"`},
		"a resource that nobody knows":       {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "widgets", "", "", "shop")}, "", "is not known"},
		"a kind that its object alone tells": {v1alpha1.RequestReviewSpec{ResourceAttributes: attributes("create", "widgets", "", "", "shop"), Object: raw(t, "{apiVersion: v1, kind: Widget, metadata: {name: w}}")}, "allow", ""},
	} {
		c.spec.User = "jane"
		v, err := j.Ask(context.Background(), &c.spec)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		for _, s := range v.Trace.Steps {
			if got = string(s.Opinion); s.Opinion == gate.Deny {
				break
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q: %v", name, got, c.want, v.Trace.Steps)
		}
	}
}

// What is given is not changed, and policies are not judged by policies.
func TestJudge(t *testing.T) {
	j := judge(t, "{name: EmptyDirSizeLimit}")
	pod := object(t, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}], volumes: [{name: v, emptyDir: {}}]}}")
	before := pod.DeepCopy()
	q := j.Creation(pod, "shop")
	if q.Namespace != "shop" || q.Resource.Resource != "pods" {
		t.Errorf("the question is %+v", q)
	}
	v, err := j.Judge(context.Background(), q, false)
	if err != nil {
		t.Fatal(err)
	}
	if limit, _, _ := unstructured.NestedSlice(v.Object.Object, "spec", "volumes"); !v.Mutated.Changed || limit[0].(map[string]any)["emptyDir"].(map[string]any)["sizeLimit"] != "512Mi" {
		t.Errorf("the object is %v", v.Object)
	}
	if before.GetNamespace() != pod.GetNamespace() || pod.Object["spec"].(map[string]any)["volumes"].([]any)[0].(map[string]any)["emptyDir"].(map[string]any)["sizeLimit"] != nil {
		t.Errorf("the one that was given has changed: %v", pod)
	}
	exempt := j.Creation(object(t, "{apiVersion: gatehouse.io/v1alpha1, kind: BuiltinPolicies, metadata: {name: x}}"), "")
	if v, err := j.Judge(context.Background(), exempt, true); err != nil || len(v.Trace.Steps) > 0 {
		t.Errorf("a policy is judged: %v, %v", v, err)
	}
	if ns := j.Creation(object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: lab}}"), "shop"); ns.Namespace != "lab" {
		t.Errorf("a Namespace is in %q", ns.Namespace)
	}
}

// A Namespace that nobody gave has its name for a label, and is told of.
func TestAssumedNamespaces(t *testing.T) {
	p, err := podsecurity.New(podsecurity.Options{Level: "baseline"})
	if err != nil {
		t.Fatal(err)
	}
	j := check.New(check.Options{Kinds: kinds{}, Extra: []policy.Policy{p}})
	v, err := j.Judge(context.Background(), j.Creation(object(t, hostPID), "shop"), false)
	if err != nil || !v.Denied() {
		t.Fatalf("it passes: %v", err)
	}
	if got := j.Assumed(); len(got) != 1 || got[0] != "shop" {
		t.Errorf("assumed are %v", got)
	}
}
