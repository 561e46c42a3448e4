package rules

import (
	"bytes"
	"context"
	"embed"
	"fmt"

	"github.com/gatehouse-io/gatehouse/detect"
)

//go:embed *.yaml
var files embed.FS

// Text is all rules as one stream of YAML documents.
func Text() []byte {
	entries, err := files.ReadDir(".") // in the order of the names
	if err != nil {
		panic(fmt.Sprintf("read embedded rules: %v", err)) // fixed at build time
	}
	var all bytes.Buffer
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			panic(fmt.Sprintf("read embedded rules: %v", err))
		}
		all.WriteString("---\n")
		all.Write(data)
	}
	return all.Bytes()
}

// Read reads the rules.
func Read(ctx context.Context) (*detect.Files, error) {
	return detect.ReadText(ctx, "built-in rules", Text())
}
