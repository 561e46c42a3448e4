// Command authz measures the authorization gates beside upstream's, by the Go
// benchmarks that stand in their packages, and writes the medians into
// docs/performance.md.
//
//	go run ./test/bench/authz
//
// Both sides run in one process, one after the other, on one core: a nanosecond of
// time is one of CPU. They run several times, and the ratio is that of the medians.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/test/bench/page"
)

// packages are where the benchmarks are.
var packages = []string{"./authz/rbac", "./authz/guard", "./authz/abac"}

func main() {
	runs := flag.Int("runs", 5, "how often each benchmark runs")
	length := flag.Duration("time", 300*time.Millisecond, "how long it runs each time")
	out := flag.String("page", "docs/performance.md", "page to write into; empty for none")
	flag.Parse()
	if err := run(*runs, *length, *out); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(runs int, length time.Duration, out string) error {
	load := page.LoadAverage()
	args := append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-timeout", "60m", "-cpu", "1",
		"-count", fmt.Sprint(runs), "-benchtime", length.String()}, packages...)
	cmd := exec.Command("go", args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run go %s: %w\n%s", strings.Join(args, " "), err, output.String())
	}
	table := render(parse(output.String()))
	fmt.Println(table)
	if out == "" {
		return nil
	}
	section := fmt.Sprintf("## Authorization beside upstream's authorizers\n\n"+
		"- Date: %s\n- Versions: Kubernetes v1.37.2, %s\n- Machine: %s; load average before the run %s\n- Command: `make bench-authz`\n\n"+
		"Medians of %d runs of %v, both sides in one process on one core, so that time is CPU time. The ratio is upstream's time over gatehouse's: how many times faster. "+
		"Requests are those of 100 requesters in turn, whose entries stay in the processor's caches; *rare* ones are of 20,000, who are not at work and are read from memory each time.\n%s",
		time.Now().UTC().Format(time.DateOnly), runtime.Version(), page.Machine(), load, runs, length, table)
	return page.Rewrite(out, "bench-authz", section)
}
