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

func (r *reader) chart(_ context.Context, path string) {
	r.problem(&v1alpha1.FieldError{File: path, Message: "it is a Helm chart, and charts are not rendered yet", Hint: "check what helm template prints, with the path -"})
}
