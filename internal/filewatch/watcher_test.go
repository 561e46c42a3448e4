package filewatch

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// within is the promise of authn's packages: a changed file counts within a second.
const within = time.Second

type report struct {
	data string
	err  error
}

func start(t *testing.T, path string) <-chan report {
	t.Helper()
	w, _, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	reports, done := make(chan report, 16), make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(data []byte, err error) { reports <- report{string(data), err} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return reports
}

func expect(t *testing.T, reports <-chan report, want string) {
	t.Helper()
	select {
	case r := <-reports:
		if r.err != nil || r.data != want {
			t.Fatalf("got %q, %v; want %q", r.data, r.err, want)
		}
	case <-time.After(within):
		t.Fatalf("no report within %s; want %q", within, want)
	}
}

func expectError(t *testing.T, reports <-chan report) {
	t.Helper()
	select {
	case r := <-reports:
		if r.err == nil {
			t.Fatalf("got %q; want an error", r.data)
		}
	case <-time.After(within):
		t.Fatalf("no error within %s", within)
	}
}

func expectSilence(t *testing.T, reports <-chan report) {
	t.Helper()
	select {
	case r := <-reports:
		t.Fatalf("unexpected report %q, %v", r.data, r.err)
	case <-time.After(600 * time.Millisecond):
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestChangesAreSeen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	write(t, path, "one")
	reports := start(t, path)

	write(t, path, "two") // in place, same size
	expect(t, reports, "two")

	write(t, filepath.Join(dir, "new"), "six") // renamed over
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	expect(t, reports, "six")

	write(t, path, "ten") // the renamed file is watched too
	expect(t, reports, "ten")

	write(t, path, "ten")
	expectSilence(t, reports)
}

func TestSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, v, "file"), v)
	}
	// As kubelet does: file -> ..data/file, and ..data is swapped by a rename.
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Symlink("v1", filepath.Join(dir, "..data")))
	must(os.Symlink("..data/file", filepath.Join(dir, "file")))
	reports := start(t, filepath.Join(dir, "file"))
	must(os.Symlink("v2", filepath.Join(dir, "..tmp")))
	must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	expect(t, reports, "v2")
}

func TestVanishedFileIsToldOnceAndComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	reports := start(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	expectError(t, reports)
	expectSilence(t, reports)
	write(t, path, "one")
	expect(t, reports, "one")
}

func TestSlowWriteIsGivenWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "one")
	reports := start(t, path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"a", "b", "c"} {
		if _, err := f.WriteString(part); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, reports, "abc")
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	if _, _, err := Open(t.TempDir()); err == nil {
		t.Fatal("a directory was read")
	}
	if _, _, err := Open(filepath.Join(t.TempDir(), "missing")); !os.IsNotExist(err) {
		t.Fatalf("got %v", err)
	}
}
