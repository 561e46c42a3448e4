// Package tally tells how much of somebody's suite passes, when all tests have run: what
// a test that passes has logged is not shown.
//
//	tally.Of(t, "Pod Security fixtures", passed, files)
//
// make test prints what was told. Nothing but tests imports this package.
package tally

import (
	"fmt"
	"os"
	"testing"
)

// Of logs that so many of a suite pass, and adds a line to the file that the variable
// GATEHOUSE_TEST_TALLY names, if it is set. Tests of several processes may add to it.
func Of(t testing.TB, suite string, passed, all int) {
	t.Helper()
	line := fmt.Sprintf("%s: %d of %d pass", suite, passed, all)
	t.Log(line)
	path := os.Getenv("GATEHOUSE_TEST_TALLY")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
