package follow

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// An informer may transform an object more than once.
func TestOutlineOfAnOutline(t *testing.T) {
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "widgets.example.org"},
		"spec": map[string]any{"group": "example.org", "names": map[string]any{"kind": "Widget", "plural": "widgets"}, "versions": []any{map[string]any{"name": "v1", "served": true, "storage": true}}},
	}}
	first, err := outline(crd)
	if err != nil {
		t.Fatal(err)
	}
	again, err := outline(first)
	if err != nil || again.(*unstructured.Unstructured).Object["kindDefined"] != "Widget" {
		t.Errorf("of an outline it makes %v, %v", again, err)
	}
}
