package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/gatehouse-io/gatehouse/test/oracle/program"
)

// suite is upstream's e2e.test and what it needs to run.
type suite struct {
	// e2e, ginkgo and kubectl are paths of built programs.
	e2e, ginkgo, kubectl string
	// out, procs and timeout are the options of the same names.
	out     string
	procs   int
	timeout time.Duration
}

// buildSuite builds the programs, unless they are built already.
func buildSuite(ctx context.Context, o options) (suite, error) {
	out, err := filepath.Abs(o.out)
	if err != nil {
		return suite{}, fmt.Errorf("find the output directory: %w", err)
	}
	s := suite{out: out, procs: o.procs, timeout: o.timeout}
	for name, path := range map[string]*string{"e2e.test": &s.e2e, "ginkgo": &s.ginkgo, "kubectl": &s.kubectl} {
		if *path, err = program.Build(ctx, program.Options{Dir: o.programs, Log: os.Stderr}, name); err != nil {
			return suite{}, err
		}
	}
	return s, nil
}

// list returns the names of all specs.
func (s suite) list(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, s.e2e, "--list-tests").Output()
	if err != nil {
		return nil, fmt.Errorf("list the specs: %w", err)
	}
	specs := parseList(string(out))
	if len(specs) == 0 {
		return nil, errors.New("list the specs: e2e.test named none")
	}
	return specs, nil
}

// logFile holds what the suite prints.
func (s suite) logFile() string { return filepath.Join(s.out, "e2e.log") }

// junitFile is where the e2e framework writes its report.
func (s suite) junitFile() string { return filepath.Join(s.out, "junit_01.xml") }

// args is the command line that runs the suite.
func (s suite) args(kubeconfig string, focus *regexp.Regexp, skips []skip) []string {
	args := []string{
		"--procs=" + strconv.Itoa(s.procs),
		"--timeout=" + s.timeout.String(),
		"--no-color", "-v",
		"--focus=" + focus.String(),
	}
	for _, skip := range skips {
		args = append(args, "--skip="+skip.Match)
	}
	return append(args, s.e2e, "--",
		"--kubeconfig="+kubeconfig,
		"--kubectl-path="+s.kubectl,
		"--provider=skeleton",
		"--allowed-not-ready-nodes=-1",
		"--minStartupPods=0",
		"--report-dir="+s.out,
	)
}

// run runs the suite. An error says that the suite failed in some way; which
// specs failed is in the report.
func (s suite) run(ctx context.Context, kubeconfig string, focus *regexp.Regexp, skips []skip) error {
	log, err := os.Create(s.logFile())
	if err != nil {
		return fmt.Errorf("make the suite's log: %w", err)
	}
	defer log.Close()
	// A report of an earlier run must not be taken for this one's.
	if err := os.Remove(s.junitFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the last report: %w", err)
	}
	cmd := exec.CommandContext(ctx, s.ginkgo, s.args(kubeconfig, focus, skips)...)
	cmd.Dir = s.out
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the suite ended with %w (see %s)", err, s.logFile())
	}
	return nil
}
