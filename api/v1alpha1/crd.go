package v1alpha1

import (
	"embed"
	"fmt"
)

//go:embed crd/*.yaml
var crdFiles embed.FS

// CRDs returns the CustomResourceDefinition manifests of the stored and the
// virtual kinds, one YAML document each, in the order of their file names. The
// caller owns the bytes.
func CRDs() [][]byte {
	entries, err := crdFiles.ReadDir("crd") // embed.FS sorts by name
	if err != nil {
		panic(fmt.Sprintf("read embedded folder crd: %v", err)) // fixed at build time
	}
	manifests := make([][]byte, 0, len(entries))
	for _, e := range entries {
		data, err := crdFiles.ReadFile("crd/" + e.Name())
		if err != nil {
			panic(fmt.Sprintf("read embedded manifest %s: %v", e.Name(), err))
		}
		manifests = append(manifests, data)
	}
	return manifests
}
