package main

import (
	"fmt"
	"io"
	"slices"
)

// tally is what came of a plan.
type tally struct {
	// passed counts the planned specs that passed.
	passed int
	// failed names what failed, sorted: planned specs, and nodes of the suite
	// itself such as its setup.
	failed []string
	// excluded counts the specs in focus that did not run.
	excluded int
	// skippedSelf names the planned specs that skipped themselves; they are
	// among the excluded.
	skippedSelf []string
}

// count holds the plan against the report.
func count(p plan, cases []testCase) tally {
	t := tally{excluded: len(p.excluded)}
	status := map[string]string{}
	for _, c := range cases {
		if name, ok := c.spec(); ok {
			status[name] = c.Status
		} else if c.Status != "passed" && c.Status != "skipped" {
			t.failed = append(t.failed, c.Name+" ("+c.Status+")")
		}
	}
	for _, spec := range p.run {
		switch s := status[spec]; s {
		case "passed":
			t.passed++
		case "skipped":
			t.skippedSelf = append(t.skippedSelf, spec)
			t.excluded++
		case "":
			t.failed = append(t.failed, spec+" (not reported)")
		default:
			t.failed = append(t.failed, spec+" ("+s+")")
		}
	}
	slices.Sort(t.failed)
	slices.Sort(t.skippedSelf)
	return t
}

// print writes one summary line, then what failed and what skipped itself.
func (t tally) print(w io.Writer) {
	fmt.Fprintf(w, "conformance: run %d, passed %d, failed %d, excluded %d\n",
		t.passed+len(t.failed), t.passed, len(t.failed), t.excluded)
	for _, name := range t.failed {
		fmt.Fprintf(w, "failed: %s\n", name)
	}
	for _, name := range t.skippedSelf {
		fmt.Fprintf(w, "skipped itself: %s\n", name)
	}
}
