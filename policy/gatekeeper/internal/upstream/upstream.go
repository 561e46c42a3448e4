// Package upstream says to tests where Gatekeeper's own source is: its fixtures, its demos
// and its documentation are what this house is held against.
//
//	file := filepath.Join(upstream.Source(t), "test", "gator", "verify", "suite.yaml")
//
// The source is that of the module test/oracle/gatekeeper, in the module cache. A test is
// skipped where it cannot be had, and nothing but tests imports this package.
package upstream

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Source is the folder of Gatekeeper's source.
func Source(t testing.TB) string {
	t.Helper()
	house, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("find the house: %v", err)
	}
	module := filepath.Join(strings.TrimSpace(string(house)), "test", "oracle", "gatekeeper")
	out, err := exec.Command("go", "-C", module, "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/gatekeeper/v3").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skipf("the source of Gatekeeper is not here: %v", err)
	}
	return dir
}
