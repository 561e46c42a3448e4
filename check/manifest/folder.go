package manifest

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// chartFile is what makes a folder a chart.
const chartFile = "Chart.yaml"

// kustomizationFiles are the names that make a folder a kustomization.
var kustomizationFiles = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

func isKustomization(name string) bool { return slices.Contains(kustomizationFiles, name) }

// kustomizationIn is the file that makes a folder a kustomization; "" where none does.
func kustomizationIn(dir string) string {
	for _, name := range kustomizationFiles {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
	}
	return ""
}

// kustomization is a folder that is to be built.
type kustomization struct {
	dir   string
	named bool // by the caller; it is built even if another one builds upon it
}

func (r *reader) addKustomization(dir string, named bool) {
	for _, k := range r.kustomizations {
		if k.dir == dir {
			k.named = k.named || named
			return
		}
	}
	r.kustomizations = append(r.kustomizations, &kustomization{dir: dir, named: named})
}

func (r *reader) chart(_ context.Context, path string) {
	r.problem(&v1alpha1.FieldError{File: path, Message: "it is a Helm chart, and charts are not rendered yet", Hint: "check what helm template prints, with the path -"})
}

func (r *reader) kustomize(context.Context) error {
	for _, k := range r.kustomizations {
		r.problem(&v1alpha1.FieldError{File: k.dir, Message: "it is a kustomization, and those are not built yet", Hint: "check what kubectl kustomize prints, with the path -"})
	}
	return nil
}
