package faults

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/test/e2e/server"
)

// notStarted is the exit code of a server that cannot start.
const notStarted = 4

// refuses runs a server that must end by itself, and checks how it says why: one
// error line with each of the texts, one hint line, the exit code, no stack
// trace. It returns what was said.
func refuses(t *testing.T, opts server.Options, texts ...string) string {
	t.Helper()
	s := server.Launch(t, opts)
	if code := s.Wait(t, server.ReadyTimeout); code != notStarted {
		t.Errorf("exit code %d, want %d", code, notStarted)
	}
	wellSaid(t, s.Log())
	message := errorLine.FindString(s.Log()) + "\n" + hintLine.FindString(s.Log())
	for _, text := range texts {
		if !strings.Contains(message, text) {
			t.Errorf("want %q in:\n%s", text, message)
		}
	}
	return s.Log()
}

var (
	errorLine = regexp.MustCompile(`(?m)^error: .+$`)
	hintLine  = regexp.MustCompile(`(?m)^hint: .+$`)
	// trace is Go's, or the one klog puts behind a fatal line.
	trace = regexp.MustCompile(`(?m)^(panic: |goroutine \d+|fatal error: |F\d{4} )`)
)

// wellSaid checks the form of a last word.
func wellSaid(t *testing.T, said string) {
	t.Helper()
	if n := len(errorLine.FindAllString(said, -1)); n != 1 {
		t.Errorf("%d error lines, want 1", n)
	}
	if n := len(hintLine.FindAllString(said, -1)); n != 1 {
		t.Errorf("%d hint lines, want 1", n)
	}
	noTrace(t, said)
}

func noTrace(t *testing.T, said string) {
	t.Helper()
	if trace.MatchString(said) {
		t.Error("a stack trace is shown")
	}
}

// folder is a short-named directory that is removed after the test: a unix
// socket's path has at most 103 bytes.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// installation is a data directory that a server has been stopped on, with the
// address it listened on.
func installation(t *testing.T) server.Options {
	t.Helper()
	opts := server.Options{Dir: filepath.Join(folder(t), "d"), Listen: server.FreeAddress(t)}
	s := server.Start(t, opts)
	if code := s.Stop(t); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, s.Log())
	}
	return opts
}

// copyOf copies a data directory with the modes the server made.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(folder(t), "d")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		switch {
		case d.IsDir():
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(to, rel), data, 0o600)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// contents are the files below dir with a digest each. Left out is what every
// start writes: the lock, the settings made for upstream's code, and etcd, which
// begins its work before everything else is read.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err != nil || !d.Type().IsRegular() || rel == "lock" || strings.HasPrefix(rel, "run/") || strings.HasPrefix(rel, "etcd/") {
			return err
		}
		data, err := os.ReadFile(path)
		sum := sha256.Sum256(data)
		found[rel] = string(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// unchanged fails the test where a folder holds something else than before.
func unchanged(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := contents(t, dir)
	if maps.Equal(before, after) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			t.Errorf("%s is written by a server that did not start", name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is removed by a server that did not start", name)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// within fails the test where something took longer than it may.
func within(t *testing.T, limit time.Duration, what string, begun time.Time) {
	t.Helper()
	if took := time.Since(begun); took > limit {
		t.Errorf("%s took %.1f s, more than %.0f s", what, took.Seconds(), limit.Seconds())
	}
}
