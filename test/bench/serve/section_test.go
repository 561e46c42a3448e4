package main

import (
	"strings"
	"testing"
	"time"
)

func TestRenderSection(t *testing.T) {
	got := renderSection(circumstances{
		date: "2026-11-22", versions: "gatehouse v1; stock v1", machine: "2 cores, X, linux/amd64", load: "0.10",
		command: "go run ./test/bench/serve", runs: 5, work: defaultWorkload, settle: 30 * time.Second,
	}, "TABLES")
	for _, want := range []string{
		"Date: 2026-11-22\n", "Versions: gatehouse v1; stock v1\n", "Machine: 2 cores, X, linux/amd64; load average before the run 0.10\n",
		"Command: `go run ./test/bench/serve`\n", "Medians of 5 runs", "30s after ready", "TABLES",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
}
