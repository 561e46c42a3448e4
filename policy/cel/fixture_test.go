package cel_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/gate"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
)

// cluster is a policy.Cluster of a few objects.
type cluster struct {
	namespaces map[string]*corev1.Namespace
	objects    []*unstructured.Unstructured
}

var _ policy.Cluster = &cluster{}

func (c *cluster) Namespace(_ context.Context, name string) (*corev1.Namespace, error) {
	if ns := c.namespaces[name]; ns != nil {
		return ns, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
}

func (c *cluster) Object(_ context.Context, kind schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	for _, o := range c.objects {
		if o.GroupVersionKind() == kind && o.GetNamespace() == namespace && o.GetName() == name {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: kind.Group, Resource: kind.Kind}, name)
}

func (c *cluster) Objects(_ context.Context, kind schema.GroupVersionKind, namespace string) (found []*unstructured.Unstructured, _ error) {
	for _, o := range c.objects {
		if o.GroupVersionKind() == kind && (namespace == "" || o.GetNamespace() == namespace) {
			found = append(found, o)
		}
	}
	return found, nil
}

func namespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	// As an API server reads it: whole numbers are int64.
	js, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.UnmarshalJSON(js); err != nil {
		t.Fatal(err)
	}
	return o
}

func written(t testing.TB, texts ...string) (all []policy.Object) {
	t.Helper()
	for _, text := range texts {
		o := object(t, text)
		all = append(all, policy.Object{Unstructured: o, Source: gate.Source{Kind: o.GetKind(), Name: o.GetName()}})
	}
	return all
}

func engine(t testing.TB) *cel.Engine {
	t.Helper()
	e, err := cel.New(cel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var alice = &user.DefaultInfo{Name: "alice", UID: "7", Groups: []string{"devs", "system:authenticated"}, Extra: map[string][]string{"team": {"shop"}}}

// attributes of a request for an object, of its kind and a plural made of that.
func attributes(operation admission.Operation, now, before *unstructured.Unstructured, resource schema.GroupVersionResource, subresource string) admission.Attributes {
	o := now
	if o == nil {
		o = before
	}
	var object, old runtime.Object
	var options runtime.Object
	if now != nil {
		object = now
	}
	if before != nil {
		old = before
	}
	switch operation {
	case admission.Create:
		options = &metav1.CreateOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}, FieldManager: "kubectl"}
	case admission.Update:
		options = &metav1.UpdateOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "UpdateOptions"}}
	case admission.Delete:
		options = &metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "DeleteOptions"}}
	}
	ns := o.GetNamespace()
	if o.GetKind() == "Namespace" {
		ns = o.GetName()
	}
	return admission.NewAttributesRecord(object, old, o.GroupVersionKind(), ns, o.GetName(), resource, subresource, operation, options, false, alice)
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

func pod(t testing.TB) *unstructured.Unstructured {
	return object(t, `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front}}
spec:
  hostNetwork: false
  serviceAccountName: web
  containers:
  - name: web
    image: registry.example/web:1.2
    ports: [{containerPort: 8080}]
    env: [{name: A, value: b}]
    resources: {limits: {cpu: 100m, memory: 64Mi}}
    securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false}
  - name: side
    image: registry.example/side:2
  volumes: [{name: tmp, emptyDir: {}}]
`)
}
