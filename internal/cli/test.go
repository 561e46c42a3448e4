package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/scenario"
	"github.com/gatehouse-io/gatehouse/policy"
	"github.com/gatehouse-io/gatehouse/policy/cel"
	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/suite"
)

// testFlags say which tests run and how.
type testFlags struct {
	run     string
	verbose bool
	update  bool
}

func newTest() *cobra.Command {
	var flags testFlags
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the tests of policies",
		Long: `Run the tests of policies: scenarios of Gatehouse, and suites of gator. A PATH is a
file, or a folder of which every test below it is run (default: the folder you are
in). A suite is a YAML file of the kind Suite of test.gatekeeper.sh.

A scenario is a file NAME.txtar with sections:

  What the scenario is about.
  -- policies.yaml --     policies and Exceptions
  -- cluster.yaml --      objects that are there
  -- request.yaml --      a RequestReview: who wants what
  -- want --              what is said of it; --update writes it
  -- request-2.yaml --    further requests, each with its want
  -- want-2 --

The same scenario can be asked of a running cluster: kubectl create -f of its
RequestReview, under gatehouse serve.
` + exitCodesHelp,
		Example: `  gatehouse test
  gatehouse test policies/ --run owner
  gatehouse test policies/owner.txtar --update`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			filter, err := suite.ParseFilter(flags.run)
			if err != nil {
				return coded(exitUsage, fmt.Errorf("--run: %w", err))
			}
			files, err := testFiles(args)
			if err != nil {
				return err
			}
			if len(files) == 0 {
				return coded(exitUnreadable, &hintError{problem: "there is no test in " + strings.Join(args, " "), hint: "a test is a file NAME.txtar, or a Suite of test.gatekeeper.sh: gatehouse test --help"})
			}
			t := &tester{cmd: cmd, flags: &flags, filter: filter, requests: requestsThat(flags.run)}
			for _, file := range files {
				run := t.suite
				if strings.HasSuffix(file, ".txtar") {
					run = t.scenario
					t.scenarios++
				}
				if err := run(cmd.Context(), file); err != nil {
					return err
				}
			}
			return t.done()
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.run, "run", "", "run only the tests whose path and name match this regular expression; TEST//CASE are two, the name of a suite's test (or the path of a scenario) and that of its case (or request)")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "tell of tests that pass, too")
	f.BoolVar(&flags.update, "update", false, "write into scenarios what is said, in place of what was wanted")
	return cmd
}

// testFiles are the tests of paths, in order.
func testFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, coded(exitUnreadable, err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (strings.HasSuffix(name, ".txtar") || isSuite(name)) {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return nil, coded(exitUnreadable, err)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// isSuite reports whether a file is a suite of gator.
func isSuite(name string) bool {
	if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" {
		return false
	}
	data, err := os.ReadFile(name)
	return err == nil && suite.Is(data)
}

// suite runs a suite of gator.
func (t *tester) suite(ctx context.Context, file string) error {
	if t.compiler == nil {
		compiler, err := cel.NewCompiler()
		if err != nil {
			return coded(exitInternal, err)
		}
		t.compiler = compiler
	}
	results, err := suite.Run(ctx, file, suite.Options{Compiler: t.compiler, Filter: t.filter})
	if err != nil {
		t.unreadable = append(t.unreadable, err)
		return nil
	}
	for _, r := range results {
		name := printable(file + ": " + strings.TrimSuffix(r.Test+"//"+r.Case, "//"))
		switch {
		case r.Skipped:
			t.skipped++
		case r.Err != nil:
			t.failed++
			fmt.Fprintf(t.cmd.OutOrStdout(), "FAIL  %s\n      %s\n", name, printable(r.Err.Error()))
		default:
			t.passed++
			if t.flags.verbose {
				fmt.Fprintf(t.cmd.OutOrStdout(), "ok    %s\n", name)
			}
		}
	}
	return nil
}

// requestsThat says which requests of scenarios --run takes; suite.ParseFilter has taken
// it for one. One expression is for path and name together; of TEST//CASE the first is
// for the path of the scenario, and the second for the name of the request.
func requestsThat(run string) func(file, request string) bool {
	test, request, both := strings.Cut(run, "//")
	if !both {
		whole := regexp.MustCompile(run)
		return func(file, request string) bool { return whole.MatchString(file + "/" + request) }
	}
	files, requests := regexp.MustCompile(test), regexp.MustCompile(request)
	return func(file, request string) bool { return files.MatchString(file) && requests.MatchString(request) }
}

// tester runs tests and counts them.
type tester struct {
	cmd            *cobra.Command
	flags          *testFlags
	filter         *suite.Filter
	requests       func(file, request string) bool
	passed, failed int
	// skipped are tests and cases of suites that say so, or that --run leaves out.
	skipped int
	updated int
	// scenarios are the files of the other form.
	scenarios  int
	unreadable []error
	// compiler is made for the first suite.
	compiler *cel.Compiler
}

func (t *tester) scenario(ctx context.Context, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		t.unreadable = append(t.unreadable, err)
		return nil
	}
	s, err := scenario.Parse(file, data)
	if err != nil {
		t.unreadable = append(t.unreadable, err)
		return nil
	}
	s.Requests = slices.DeleteFunc(s.Requests, func(r scenario.Request) bool { return !t.requests(file, "request"+r.Name) })
	if len(s.Requests) == 0 {
		return nil
	}
	begun := time.Now()
	results, err := scenario.Run(ctx, s, func(policies []policy.Object, objects []*unstructured.Unstructured) (*check.Judge, error) {
		return judgeOfFiles(ctx, policies, objects)
	})
	if err != nil {
		t.unreadable = append(t.unreadable, fmt.Errorf("%s: %w", file, err))
		return nil
	}
	wants := map[string]string{}
	for i := range results {
		r := &results[i]
		name := printable(file + "/request" + r.Request.Name)
		switch {
		case r.Err != nil:
			t.failed++
			fmt.Fprintf(t.cmd.OutOrStdout(), "FAIL  %s\n      %s\n", name, printable(r.Err.Error()))
		case r.Passed():
			t.passed++
			if t.flags.verbose {
				fmt.Fprintf(t.cmd.OutOrStdout(), "ok    %s  (%v)\n", name, time.Since(begun).Round(time.Millisecond))
			}
		case t.flags.update:
			wants[r.Request.Name] = r.Got
		default:
			t.failed++
			fmt.Fprintf(t.cmd.OutOrStdout(), "FAIL  %s\n%s", name, difference(r.Request.Want, r.Got))
		}
	}
	if len(wants) == 0 {
		return nil
	}
	next := s.Update(wants)
	if bytes.Equal(next, data) {
		return nil
	}
	t.updated++
	info, err := os.Stat(file)
	if err != nil {
		return coded(exitInternal, err)
	}
	return coded(exitInternal, os.WriteFile(file, next, info.Mode().Perm()))
}

// difference shows lines that were wanted and not said, and the other way round.
func difference(want, got string) string {
	var b strings.Builder
	wanted, said := strings.Split(strings.TrimSuffix(want, "\n"), "\n"), strings.Split(strings.TrimSuffix(got, "\n"), "\n")
	for _, line := range wanted {
		if !slices.Contains(said, line) {
			fmt.Fprintf(&b, "    - %s\n", printable(line))
		}
	}
	for _, line := range said {
		mark := " "
		if !slices.Contains(wanted, line) {
			mark = "+"
		}
		fmt.Fprintf(&b, "    %s %s\n", mark, printable(line))
	}
	return b.String()
}

func (t *tester) done() error {
	out := t.cmd.OutOrStdout()
	fmt.Fprintf(out, "%d passed, %d failed", t.passed, t.failed)
	if t.updated > 0 {
		fmt.Fprintf(out, ", %d written anew", t.updated)
	}
	if t.skipped > 0 {
		fmt.Fprintf(out, ", %d skipped", t.skipped)
	}
	fmt.Fprintln(out)
	switch {
	case len(t.unreadable) > 0:
		return coded(exitUnreadable, errors.Join(t.unreadable...))
	case t.failed > 0:
		return errDenied
	case t.passed+t.updated == 0 && t.scenarios == 0:
		// gator takes a suite for well of which nothing is run.
		fmt.Fprintln(t.cmd.ErrOrStderr(), "note: no test ran: all are skipped, or none matches --run")
	case t.passed+t.updated == 0:
		return coded(exitUsage, errors.New("no test matches --run"))
	}
	return nil
}
