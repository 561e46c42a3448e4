package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// plan says of every spec in focus whether it runs.
type plan struct {
	// run holds the specs that must pass.
	run []string
	// excluded holds, for each excluded spec, the first entry that excludes it.
	excluded []exclusion
}

// exclusion is a spec that does not run, and why.
type exclusion struct {
	spec   string
	reason string
}

// makePlan divides the specs in focus. An entry that excludes nothing of its
// own is an error, when the focus is wide enough to tell.
func makePlan(specs []string, focus *regexp.Regexp, skips []skip) (plan, error) {
	var p plan
	used := make([]bool, len(skips))
	for _, spec := range specs {
		first := -1
		for i, s := range skips {
			if s.expr.MatchString(spec) {
				used[i] = true
				if first < 0 {
					first = i
				}
			}
		}
		switch {
		case !focus.MatchString(spec):
		case first >= 0:
			p.excluded = append(p.excluded, exclusion{spec, skips[first].Reason})
		default:
			p.run = append(p.run, spec)
		}
	}
	var errs []error
	for i, s := range skips {
		if !used[i] {
			errs = append(errs, fmt.Errorf("skip list, entry %d: no spec matches %q", i+1, s.Match))
		}
	}
	if len(p.run) == 0 {
		errs = append(errs, errors.New("plan the run: no spec is left to run"))
	}
	return p, errors.Join(errs...)
}

// print writes the plan for a person to read.
func (p plan) print(w io.Writer) {
	for _, spec := range p.run {
		fmt.Fprintf(w, "run\t%s\n", spec)
	}
	for _, e := range p.excluded {
		fmt.Fprintf(w, "excluded\t%s\t%s\n", e.spec, e.reason)
	}
	fmt.Fprintf(w, "plan: run %d, excluded %d\n", len(p.run), len(p.excluded))
}

// parseList reads the output of "e2e.test --list-tests", whose lines are
// indented and say FILE:LINE: NAME.
func parseList(out string) []string {
	var specs []string
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, " ") {
			continue
		}
		if _, name, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			specs = append(specs, name)
		}
	}
	return specs
}
