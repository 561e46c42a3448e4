package kept

import (
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Variable names the folder in the environment.
const Variable = "GATEHOUSE_TEST_KEEP"

// Folders below it.
const (
	Logs    = "logs"
	Audit   = "audit"
	Traces  = "traces"
	Secrets = "secrets"
)

// create makes a file in a folder that no other test has.
func create(t testing.TB, folder, name string) io.WriteCloser {
	dir := os.Getenv(Variable)
	if dir == "" {
		return nothing{}
	}
	dir = filepath.Join(dir, folder)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, filepath.Base(os.Args[0])+"-"+name+"-*.txt"); err == nil {
			return f
		}
	}
	t.Fatalf("keep what %s says: %v", name, err)
	return nothing{}
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Close() error                { return nil }

// Log takes what a process says. It is open until the test process ends, since a process may
// outlive its test by a moment.
func Log(t testing.TB, name string) io.Writer { return create(t, Logs, name) }

// AuditLog keeps the files of an audit log, those that were rotated included.
func AuditLog(t testing.TB, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			continue // a test has put something else there
		}
		if err := copyTo(create(t, Audit, filepath.Base(dir)), file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("keep audit log: %v", err)
		}
	}
}

func copyTo(to io.WriteCloser, file string) error {
	defer to.Close()
	if to == (nothing{}) {
		return nil
	}
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	_, err = io.Copy(to, from)
	return err
}

// Trace keeps what a collector was sent, as text.
func Trace(t testing.TB, text string) {
	f := create(t, Traces, "spans")
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatalf("keep traces: %v", err)
	}
}

// shortest is the length from which on a value is looked for: a shorter one is a word
// that stands anywhere.
const shortest = 12

// secrets is the file of this process; nil where nothing is kept.
var secrets = sync.OnceValue(func() *os.File {
	dir := os.Getenv(Variable)
	if dir == "" {
		return nil
	}
	dir = filepath.Join(dir, Secrets)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	f, err := os.CreateTemp(dir, "*.txt")
	if err != nil {
		panic(err)
	}
	return f
})

// Secret notes something that must be written nowhere. Of a JSON web token that is the
// signature, which makes it one: the rest is in the audit log by other names.
func Secret(value string) {
	f := secrets()
	if f == nil {
		return
	}
	if parts := strings.Split(value, "."); len(parts) == 3 && strings.HasPrefix(value, "eyJ") {
		value = parts[2]
	}
	if len(value) < shortest {
		return
	}
	// One line a value, whatever it is made of. A file in this mode is written as a whole.
	if _, err := f.WriteString(base64.StdEncoding.EncodeToString([]byte(value)) + "\n"); err != nil {
		panic(err)
	}
}
