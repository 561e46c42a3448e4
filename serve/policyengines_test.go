package serve

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
)

// The name that the settings give the cluster is the one that exemptions ask for.
func TestExemptionsByCluster(t *testing.T) {
	policies := []policy.Object{{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gatehouse.io/v1alpha1", "kind": "BuiltinPolicies", "metadata": map[string]any{"name": "all"},
		"spec": map[string]any{
			"policies":   []any{map[string]any{"name": "DisallowHostNetwork"}},
			"exemptions": []any{map[string]any{"clusters": []any{"dev-*"}}},
		},
	}}}}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "web", "namespace": "shop"},
		"spec": map[string]any{"hostNetwork": true, "containers": []any{map[string]any{"name": "a", "image": "nginx"}}},
	}}
	for name, refused := range map[string]bool{"": true, "prod": true, "dev-eu": false} {
		all, err := policyEngines(&v1alpha1.AdmissionOptions{ClusterName: name})
		if err != nil {
			t.Fatal(err)
		}
		loaded, _ := policy.Load(all, policies)
		if len(loaded.Problems) > 0 {
			t.Fatal(loaded.Problems)
		}
		known := &cluster.Known{}
		known.Seal()
		request := policy.NewRequest(admission.NewAttributesRecord(pod, nil, pod.GroupVersionKind(), "shop", "web",
			schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", admission.Create, nil, false, &user.DefaultInfo{Name: "anna"}), nil, known)
		out := policy.NewSet(loaded.Policies, policy.Options{}).Validate(t.Context(), request)
		if got := len(out.Denials) > 0; got != refused {
			t.Errorf("cluster %q: refused %v, want %v", name, got, refused)
		}
	}
}
