package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Options says where programs are kept.
type Options struct {
	// Dir holds the built programs. Default: DefaultDir.
	Dir string
	// Log receives one line for each build that is started, and the go
	// command's own output. Default: discarded.
	Log io.Writer
}

// DefaultDir is where programs are kept when nothing else is said: the user's
// cache directory, since they are large, slow to build and easy to build again.
func DefaultDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "gatehouse", "oracle")
}

// Build builds the named program unless it is there already, and returns its
// path.
func Build(ctx context.Context, o Options, name string) (string, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir()
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	p, err := find(name)
	if err != nil {
		return "", err
	}
	v, err := pinned(ctx, p.module)
	if err != nil {
		return "", err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return "", fmt.Errorf("find the program directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the program directory: %w", err)
	}
	out := filepath.Join(dir, p.name)
	stamp := out + ".stamp"
	want := recipe(p.command(v, p.name), runtime.Version())
	fresh, err := isBuilt(out, stamp, want)
	if err != nil || fresh {
		return out, err
	}
	fmt.Fprintf(o.Log, "build %s %s (minutes when nothing is cached)\n", p.name, v.Version)
	args := p.command(v, out)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stdout, cmd.Stderr = o.Log, o.Log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", p.name, err)
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		return "", fmt.Errorf("stamp %s: %w", p.name, err)
	}
	return out, nil
}

// recipe is what the stamp beside a built program holds: everything that, when
// it changes, calls for another build.
func recipe(command []string, goVersion string) string {
	return goVersion + " CGO_ENABLED=0 " + strings.Join(command, " ") + "\n"
}

// isBuilt says whether the program at out was built by the recipe want.
func isBuilt(out, stamp, want string) (bool, error) {
	if _, err := os.Stat(out); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	have, err := os.ReadFile(stamp)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return string(have) == want, err
}
