package manifest

import (
	"path/filepath"
	"slices"
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
