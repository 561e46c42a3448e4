package tokenfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/klog/v2"

	"github.com/gatehouse-io/gatehouse/authn"
)

// journal collects what an Authenticator says.
type journal struct {
	mu       sync.Mutex
	errs     []error
	warnings []string
	reloads  int
}

func (j *journal) options() Options {
	return Options{
		OnError:   func(err error) { j.mu.Lock(); j.errs = append(j.errs, err); j.mu.Unlock() },
		OnWarning: func(w string) { j.mu.Lock(); j.warnings = append(j.warnings, w); j.mu.Unlock() },
		OnReload:  func(int) { j.mu.Lock(); j.reloads++; j.mu.Unlock() },
	}
}

func (j *journal) lastError() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.errs) == 0 {
		return nil
	}
	return j.errs[len(j.errs)-1]
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, path string, opts Options) *Authenticator {
	t.Helper()
	a, err := New(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return a
}

// userOf is the user a token stands for, "" for none.
func userOf(t *testing.T, a *Authenticator, token string) string {
	t.Helper()
	resp, ok, err := a.AuthenticateToken(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return ""
	}
	return resp.User.GetName()
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for begun := time.Now(); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > time.Second {
			t.Fatalf("not within a second: %s", what)
		}
	}
}

func TestLookup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.csv")
	write(t, path, "tok-ann,ann,1,\"dev,ops\"\ntok-bob,bob,2\n")
	a, err := New(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	resp, ok, err := a.AuthenticateToken(context.Background(), "tok-ann")
	if err != nil || !ok {
		t.Fatalf("got %v, %v", ok, err)
	}
	if got := fmt.Sprint(resp.User.GetName(), resp.User.GetUID(), resp.User.GetGroups()); got != "ann1[dev ops]" {
		t.Errorf("got %s", got)
	}
	for _, token := range []string{"", "tok", "tok-ann ", "TOK-ANN"} {
		if u := userOf(t, a, token); u != "" {
			t.Errorf("token %q is %s", token, u)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tokens.csv")
	write(t, path, "tok-ann,ann,1\ntok-bob,bob,2\n")
	var j journal
	a := start(t, path, j.options())

	write(t, path, "tok-ann,ann,1\n")
	eventually(t, "bob's token is refused", func() bool { return userOf(t, a, "tok-bob") == "" })

	write(t, filepath.Join(dir, "new"), "tok-eve,eve,3\n")
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a renamed-over file counts", func() bool { return userOf(t, a, "tok-eve") == "eve" && userOf(t, a, "tok-ann") == "" })

	write(t, path, "tok-zoe,zoe,4\ntok-bad,\n")
	eventually(t, "a bad file is reported", func() bool { return j.lastError() != nil })
	if userOf(t, a, "tok-eve") != "eve" || userOf(t, a, "tok-zoe") != "" {
		t.Error("the bad file is in force")
	}
	if got, want := a.LastError().Error(), path+":2: has 2 of the 3 columns"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	write(t, path, "tok-zoe,zoe,4\n")
	eventually(t, "a mended file counts", func() bool { return userOf(t, a, "tok-zoe") == "zoe" && a.LastError() == nil })

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a removed file is reported", func() bool { return errors.Is(a.LastError(), os.ErrNotExist) })
	if userOf(t, a, "tok-zoe") != "zoe" {
		t.Error("the tokens went with the file")
	}
}

func TestSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "v1"), "tok-ann,ann,1\n")
	write(t, filepath.Join(dir, "v2"), "tok-bob,bob,2\n")
	path, tmp := filepath.Join(dir, "tokens.csv"), filepath.Join(dir, "tmp")
	if err := os.Symlink("v1", path); err != nil {
		t.Fatal(err)
	}
	a := start(t, path, Options{})
	if err := errors.Join(os.Symlink("v2", tmp), os.Rename(tmp, path)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the swapped link counts", func() bool { return userOf(t, a, "tok-bob") == "bob" && userOf(t, a, "tok-ann") == "" })
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.csv")
	write(t, bad, "a,b,c\n\nx\n")
	for _, c := range []struct{ path, want string }{
		{filepath.Join(dir, "none.csv"), "none.csv: read token file: no such file or directory"},
		{dir, "read token file: not a regular file"},
		{bad, "bad.csv:3: has 1 of the 3 columns"},
	} {
		_, err := New(c.path, Options{})
		var fileErr *authn.FileError
		if !errors.As(err, &fileErr) || !strings.Contains(err.Error(), c.want) || fileErr.Mend == "" {
			t.Errorf("%s: got %v, want %q with a hint", c.path, err, c.want)
		}
	}
	if _, err := New("", Options{}); err == nil {
		t.Error("no path is accepted")
	}
}

func TestWarnings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.csv")
	write(t, path, "secret,ann,1\n,bob,2\nsecret,eve,3\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	var j journal
	if _, err := New(path, j.options()); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(j.warnings, "\n")
	for _, want := range []string{"mode 0644", ":2: the token is empty", ":3: the same token stands on line 1"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning %q in:\n%s", want, all)
		}
	}
	write(t, path, "")
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	j = journal{}
	if _, err := New(path, j.options()); err != nil {
		t.Fatal(err)
	}
	if len(j.warnings) != 1 || !strings.Contains(j.warnings[0], "no tokens") {
		t.Errorf("got %q", j.warnings)
	}
}

// TestNoTokenIsEverSaid writes a marker where tokens stand in files that are
// wrong in every way we know of, and looks for it in all that is said.
func TestNoTokenIsEverSaid(t *testing.T) {
	const marker = "hunter2marker"
	var log bytes.Buffer
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	t.Cleanup(func() { klog.Flush(); klog.LogToStderr(true) })

	var said strings.Builder
	for i, data := range []string{
		marker, marker + ",a", marker + "\"x,a,b", "\"" + marker, "\"" + marker + "\"x,a,b", marker + ",a,b\n" + marker + ",c,d",
		",a," + marker, marker + "\x00,a", "a,b,c\n\"" + marker + "\n" + marker, marker + "\r" + marker,
	} {
		path := filepath.Join(t.TempDir(), "tokens.csv")
		write(t, path, data)
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := New(path, Options{}) // the default reports, into klog
		var j journal
		_, _ = New(path, j.options())
		fmt.Fprintf(&said, "%d %v %+v %#v %q\n", i, err, err, err, j.warnings)

		good := filepath.Join(t.TempDir(), "tokens.csv")
		write(t, good, "a,b,c\n")
		a := start(t, good, Options{})
		write(t, good, data)
		time.Sleep(60 * time.Millisecond)
		fmt.Fprintln(&said, a.LastError())
	}
	klog.Flush()
	if text := said.String() + log.String(); strings.Contains(text, marker) {
		t.Fatalf("a token is said:\n%s", text)
	}
	if log.Len() == 0 {
		t.Error("nothing was logged: the test looks in the wrong place")
	}
}

func BenchmarkAuthenticateToken(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var data strings.Builder
			for i := range n {
				fmt.Fprintf(&data, "token-%d,user-%d,%d\n", i, i, i)
			}
			path := filepath.Join(b.TempDir(), "tokens.csv")
			if err := os.WriteFile(path, []byte(data.String()), 0o600); err != nil {
				b.Fatal(err)
			}
			a, err := New(path, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, _ := a.AuthenticateToken(context.Background(), "token-0"); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}
