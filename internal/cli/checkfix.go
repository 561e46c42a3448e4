package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gatehouse-io/gatehouse/check"
	"github.com/gatehouse-io/gatehouse/check/fix"
)

// What --fix may be.
const fixWrite, fixDiff = "write", "diff"

// onStdin is the name of manifests that come from there.
const onStdin = "<stdin>"

// fixes are the findings that have a patch, and where in the report each is.
type fixes struct {
	set   fix.Set
	found []fixable
	plans map[*fix.Plan][]int // findings that are gone when it is written
}

type fixable struct {
	at      int
	finding check.Finding
}

// add keeps a finding, and with it the text of its object, where there is a patch.
func (f *fixes) add(at int, finding check.Finding) {
	if finding.Mend != nil {
		f.found = append(f.found, fixable{at, finding})
		f.set.Add(&finding)
	}
	if finding.Hidden {
		f.set.Hide(finding.Position.File, finding.Position.Line)
	}
}

// planFixes gives each finding its diff.
func (c *checking) planFixes(ctx context.Context) {
	c.fixes.set.Plan(ctx, func(file string) ([]byte, error) {
		if file == onStdin {
			return c.stdin, nil
		}
		return os.ReadFile(file)
	})
	c.fixes.plans = map[*fix.Plan][]int{}
	for i := range c.fixes.found {
		f := &c.fixes.found[i]
		told := c.fixes.set.Tell(ctx, &f.finding, false)
		to := &c.report.Findings[f.at]
		to.Fix, to.Changes, to.Unfixed = told.Diff, told.Changes, told.Refused
		if told.Plan != nil && told.Refused == "" {
			c.fixes.plans[told.Plan] = append(c.fixes.plans[told.Plan], f.at)
		}
	}
}

// writeFixes shows the diff of every file, and writes it. A file that cannot be written
// stays as it is, and the others are written all the same.
func (c *checking) writeFixes() error {
	if c.fix != fixWrite {
		return nil
	}
	errs := c.cmd.ErrOrStderr()
	var all error
	for _, p := range c.fixes.set.Plans {
		if !p.Changed() {
			continue
		}
		fmt.Fprint(errs, fix.Printable(c.fixes.set.Diff(p)))
		if p.Name == onStdin {
			for _, at := range c.fixes.plans[p] {
				c.report.Findings[at].Unfixed = "it is read from stdin: name the file"
			}
			continue
		}
		if err := p.Write(); err != nil {
			all = errors.Join(all, err)
			for _, at := range c.fixes.plans[p] {
				c.report.Findings[at].Unfixed = "its file cannot be written"
			}
			continue
		}
		for _, at := range c.fixes.plans[p] {
			c.report.Findings[at].Fixed = true
		}
		fmt.Fprintf(errs, "note: fixed %s\n", printable(p.Name))
	}
	return all
}

// tellDiff prints the diff of every file, as patch reads it, and beside it what it does
// not mend.
func (c *checking) tellDiff() {
	out, errs := c.cmd.OutOrStdout(), c.cmd.ErrOrStderr()
	for _, p := range c.fixes.set.Plans {
		diff := c.fixes.set.Diff(p)
		if f, ok := out.(*os.File); ok && isTerminal(f) {
			diff = fix.Printable(diff)
		}
		fmt.Fprint(out, diff)
	}
	left := 0
	for i := range c.report.Findings {
		f := &c.report.Findings[i]
		switch {
		case f.Unfixed != "":
			fmt.Fprintf(errs, "note: %s: %s: not fixed: %s\n", f.File, f.Rule, f.Unfixed)
		case f.Fix == "" && f.Patch == "" && f.Counts():
			left++
		}
	}
	if left > 0 {
		fmt.Fprintf(errs, "note: no policy states a patch for %d findings: check without --fix shows them\n", left)
	}
}
