package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// manifests is how many of each kind gatehouse check reads.
const manifests = 1000

// checks runs gatehouse check over Deployments, one a file, on one core. What the program
// needs to start counts.
func (o *options) checks(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "gh-bench-check-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	text, err := yaml.JSONToYAML([]byte(deployments.object))
	if err != nil {
		return "", err
	}
	for i := range manifests {
		name := fmt.Sprintf("web-%d", i)
		one := strings.Replace(string(text), "name: web", "name: "+name, 1)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(one), 0o600); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "### gatehouse check\n\n%d Deployments in as many files, on one core (`GOMAXPROCS=1`), from the first line of the program to its end.\n\n| against | manifests a second | CPU a manifest | target |\n|---|--:|--:|---|\n", manifests)
	for _, c := range []struct {
		title, target string
		args          []string
	}{
		{"`--pod-security restricted`", "≥ 500/s", []string{"--pod-security", "restricted"}},
		{"`--pod-security restricted --builtin`", "", []string{"--pod-security", "restricted", "--builtin"}},
	} {
		var wall, cpu []float64
		for range o.rounds {
			cmd := exec.CommandContext(ctx, o.gatehouse, append([]string{"check", dir, "--fail-on", "never", "--format", "json"}, c.args...)...)
			cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			begun := time.Now()
			if err := cmd.Run(); err != nil {
				return "", fmt.Errorf("run gatehouse check: %w\n%s", err, errs.String())
			}
			if !bytes.Contains(out.Bytes(), fmt.Appendf(nil, `"checked": %d`, manifests)) {
				return "", fmt.Errorf("gatehouse check did not check %d manifests", manifests)
			}
			wall = append(wall, time.Since(begun).Seconds())
			cpu = append(cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
		}
		rate, target := manifests/median(wall), c.target
		if target != "" {
			target += map[bool]string{true: ", met", false: ", missed"}[rate >= 500]
		}
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s |\n", c.title, rate, nanoseconds(median(cpu)/manifests*1e9), target)
	}
	return b.String(), nil
}
