package rule_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// scenario is a past as promqltest writes it, and the moment that is asked about.
type scenario struct {
	Series   map[string]string `json:"series"`
	Interval string            `json:"interval"`
	At       string            `json:"at"`
	Groups   []string          `json:"groups"`
}

// fired is an alert that fires.
type fired struct {
	Labels, Annotations map[string]string
}

// verdict is what Prometheus says.
type verdict struct {
	Errors []string
	Cases  [][]fired
}

// oracle is Prometheus's own parser and engine: test/oracle/prometheus, built, or the
// program that PROMETHEUS_ORACLE names.
func oracle(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("PROMETHEUS_ORACLE"); program != "" {
		return program
	}
	program := filepath.Join(t.TempDir(), "prometheus")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "..", "test", "oracle", "prometheus")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Prometheus: %v\n%s", err, out)
	}
	return program
}

// ask puts a rule file, queries and scenarios to Prometheus.
func ask(t *testing.T, program string, file []byte, queries []string, cases []scenario) verdict {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(map[string]any{"queries": queries, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	var complaint bytes.Buffer
	cmd := exec.Command(program, "-rules", path)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Prometheus: %v\n%s", err, complaint.String())
	}
	var v verdict
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
