package podsecurity_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/podsecurity"
	"github.com/gatehouse-io/gatehouse/test/tally"
)

func set(t testing.TB, opts podsecurity.Options) *policy.Set {
	t.Helper()
	p, err := podsecurity.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewSet([]policy.Policy{p}, policy.Options{})
}

func ask(s *policy.Set, o *unstructured.Unstructured, resource schema.GroupVersionResource, known policy.Cluster) *policy.Outcome {
	a := admission.NewAttributesRecord(o, nil, o.GroupVersionKind(), o.GetNamespace(), o.GetName(), resource, "", admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{})
	return s.Validate(context.Background(), policy.NewRequest(a, nil, known))
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// TestFixtures puts every fixture of upstream, of every level and version, before the
// gate, as a Pod and as the template of a Deployment.
func TestFixtures(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/pod-security-admission").Output()
	if err != nil {
		t.Skipf("the source of upstream is not here: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "test", "testdata")
	sets := map[string]*policy.Set{}
	passed, files := 0, 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		files++
		relative, _ := filepath.Rel(root, path)
		parts := strings.Split(filepath.ToSlash(relative), "/") // restricted/v1.30/fail/x.yaml
		at := parts[0] + ":" + parts[1]
		if sets[at] == nil {
			sets[at] = set(t, podsecurity.Options{Level: at})
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pod := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, &pod.Object); err != nil {
			return err
		}
		deployment := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "x"},
			"spec": map[string]any{"template": map[string]any{"metadata": pod.Object["metadata"], "spec": pod.Object["spec"]}}}}
		good := true
		for _, one := range []struct {
			o        *unstructured.Unstructured
			resource schema.GroupVersionResource
		}{{pod, pods}, {deployment, schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}}} {
			outcome := ask(sets[at], one.o, one.resource, &cluster.Known{})
			if refused := len(outcome.Denials) > 0; refused != (parts[2] == "fail") {
				good = false
				t.Errorf("%s as a %s: refused is %v: %s", relative, one.o.GetKind(), refused, outcome.Message())
			}
		}
		if good {
			passed++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tally.Of(t, "Pod Security fixtures", passed, files)
	if files < 4500 {
		t.Errorf("there are %d fixtures, and 4537 were expected", files)
	}
}

func TestNamespacesSayMore(t *testing.T) {
	known := &cluster.Known{}
	for name, labels := range map[string]map[string]any{
		"free":   {"pod-security.kubernetes.io/enforce": "privileged"},
		"strict": {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.30"},
		"warned": {"pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/warn": "baseline"},
	} {
		known.Add(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels}}})
	}
	known.Seal()
	s := set(t, podsecurity.Options{Level: "baseline"})
	for namespace, want := range map[string]string{
		"free":   "0 refusals, 0 warnings",
		"strict": "5 refusals, 0 warnings",
		"warned": "0 refusals, 1 warnings",
	} {
		pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "x", "namespace": namespace},
			"spec": map[string]any{"hostNetwork": true, "containers": []any{map[string]any{"name": "c", "image": "i"}}}}}
		out := ask(s, pod, pods, known)
		if got := fmt.Sprintf("%d refusals, %d warnings", len(out.Denials), len(out.Warnings)); got != want {
			t.Errorf("%s: %s, want %s: %s", namespace, got, want, out.Message())
		}
	}
}

func TestLevels(t *testing.T) {
	for text, wrong := range map[string]bool{"restricted": false, "baseline:v1.30": false, "restricted:latest": false, "strict": true, "baseline:30": true} {
		if _, err := podsecurity.New(podsecurity.Options{Level: text}); (err != nil) != wrong {
			t.Errorf("%s: %v", text, err)
		}
	}
}
