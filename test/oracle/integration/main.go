package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gatehouse-io/gatehouse/test/oracle/program"
)

// module is upstream's, suite the package of the tests, and servers the one that starts
// their servers.
const (
	module  = "k8s.io/kubernetes"
	suite   = "k8s.io/kubernetes/test/integration/apiserver/cel"
	servers = "k8s.io/kubernetes/cmd/kube-apiserver/app/testing"
)

// start is how the function begins that starts a server, in upstream's text.
const start = "customFlags []string, storageConfig *storagebackend.Config) (result TestServer, err error) {\n"

func main() {
	gatehouse := flag.String("gatehouse", filepath.Join("..", "..", "bin", "gatehouse"), "gatehouse `binary`")
	tests := flag.String("run", "AdmissionPolicy|Validate|PolicyBindings|PolicyExemption|CRDParams|BindingRemoval|CostLimit", "which tests, as in go test -run")
	verbose := flag.Bool("v", false, "print all that the tests say")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, *gatehouse, *tests, *verbose)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(4)
	case failed > 0:
		os.Exit(1)
	}
}

func run(ctx context.Context, gatehouse, tests string, verbose bool) (failed int, err error) {
	gatehouse, err = filepath.Abs(gatehouse)
	if err != nil {
		return 0, err
	}
	etcd, err := program.Build(ctx, program.Options{Log: os.Stderr}, "etcd") // the suite starts one, and leaves it alone
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "gh-integration-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	modfile, err := lay(ctx, dir)
	if err != nil {
		return 0, err
	}
	bin := filepath.Join(dir, "cel.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-trimpath", "-modfile", modfile, "-o", bin, suite)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build %s: %w", suite, err)
	}
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.run", tests, "-test.timeout", "40m")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GATEHOUSE_BIN="+gatehouse, "PATH="+filepath.Dir(etcd)+":"+os.Getenv("PATH"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	t, err := tally(out, verbose)
	if err != nil {
		return 0, err
	}
	ended := cmd.Wait() // that tests failed is in the tally
	fmt.Printf("%d passed, %d failed, %d not driven\n", t.passed, t.failed, t.skipped)
	if t.passed+t.failed == 0 {
		return 0, fmt.Errorf("no test was run: %w", ended)
	}
	return t.failed, nil
}

// lay makes a copy of upstream's module, with one statement more in one file and ours
// beside it, and a go.mod that names it. The go command lays no overlay over its cache.
func lay(ctx context.Context, dir string) (modfile string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", module, err)
	}
	copied := filepath.Join(dir, "kubernetes")
	if err := link(strings.TrimSpace(string(out)), copied); err != nil {
		return "", fmt.Errorf("copy %s: %w", module, err)
	}
	at := filepath.Join(copied, strings.TrimPrefix(servers, module))
	changed := filepath.Join(at, "testserver.go")
	text, err := os.ReadFile(changed)
	if err != nil {
		return "", err
	}
	if bytes.Count(text, []byte(start)) != 1 {
		return "", fmt.Errorf("%s does not begin StartTestServer as it did: look at it again", servers)
	}
	text = bytes.Replace(text, []byte(start), []byte(start+"\tif os.Getenv(\"GATEHOUSE_BIN\") != \"\" {\n\t\treturn startGatehouse(t, customFlags)\n\t}\n"), 1)
	ours, err := os.ReadFile(filepath.Join("integration", "server.go.txt"))
	if err != nil {
		return "", err
	}
	// The file is a link into the cache: it is taken away, and not written through.
	if err := os.Remove(changed); err != nil {
		return "", err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile("go.sum")
	if err != nil {
		return "", err
	}
	modfile = filepath.Join(dir, "go.mod")
	for name, data := range map[string][]byte{changed: text, filepath.Join(at, "gatehouse.go"): ours, modfile: fmt.Appendf(mod, "\nreplace %s => %s\n", module, copied), filepath.Join(dir, "go.sum"): sum} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return "", err
		}
	}
	return modfile, nil
}

// link makes a tree of folders whose files are those of another, linked where that can
// be done.
func link(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rest)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case os.Link(path, target) == nil:
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
}

// counts are how many tests, with their cases, came to what.
type counts struct{ passed, failed, skipped int }

// tally reads what the tests say, and prints the ends of those that did not pass.
func tally(from io.Reader, verbose bool) (c counts, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	var recent []string
	for lines.Scan() {
		line := lines.Text()
		if verbose {
			fmt.Println(line)
		}
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "--- PASS"):
			c.passed++
		case strings.HasPrefix(trimmed, "--- FAIL"):
			c.failed++
			if !verbose {
				fmt.Println(strings.Join(append(recent, line), "\n"))
			}
		case strings.HasPrefix(trimmed, "--- SKIP"):
			c.skipped++
			fmt.Println(trimmed)
		case strings.Contains(line, "_test.go:") || strings.Contains(line, "NOT DRIVEN"):
			recent = append(recent[max(0, len(recent)-8):], line)
		case strings.HasPrefix(line, "=== RUN"):
			recent = nil
		}
	}
	return c, lines.Err()
}
