package cel_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"
)

// asServed are attributes as an API server has them: objects of built-in kinds are of
// its types.
func asServed(t testing.TB, a admission.Attributes) admission.Attributes {
	t.Helper()
	return admission.NewAttributesRecord(ofServer(t, a.GetObject()), ofServer(t, a.GetOldObject()), a.GetKind(), a.GetNamespace(), a.GetName(), a.GetResource(), a.GetSubresource(),
		a.GetOperation(), a.GetOperationOptions(), a.IsDryRun(), a.GetUserInfo())
}

func ofServer(t testing.TB, o runtime.Object) runtime.Object {
	t.Helper()
	u, ok := o.(*unstructured.Unstructured)
	if !ok || u == nil {
		return nil
	}
	into, err := scheme.Scheme.New(u.GroupVersionKind())
	if err != nil {
		return u // a custom resource
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		t.Fatal(err)
	}
	// It comes to the plugins in another version than policies see.
	into.GetObjectKind().SetGroupVersionKind(into.GetObjectKind().GroupVersionKind().GroupKind().WithVersion("__internal"))
	return into
}
