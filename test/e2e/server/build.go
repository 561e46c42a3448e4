package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Binary is the program under test: $GATEHOUSE_BIN, or one built from this tree.
var Binary = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("GATEHOUSE_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	root := string(out[:len(out)-1])
	bin := filepath.Join(root, "bin", "gatehouse-test")
	build := exec.Command("go", append(append([]string{"build"}, raceFlags...), "-o", bin, "./cmd/gatehouse")...)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gatehouse: %w\n%s", err, out)
	}
	return bin, nil
})
