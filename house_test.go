package gatehouse_test

import (
	"bufio"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-io/gatehouse"

// floors are the rooms of the house from the ground up. A package may import
// rooms of lower floors alone, and no other room of its own, except as
// neighbours says.
var floors = [][]string{
	{"gate", "api", "internal/auditid", "internal/version", "internal/filewatch", "internal/glob", "internal/kindwatch"},
	{"cluster"},
	{"authn", "authz", "admission", "policy", "image", "secret", "network", "audit", "detect", "posture", "telemetry"},
	{"serve", "attach", "check", "console"},
	{"internal/cli"},
	{"cmd"},
}

// neighbours are the imports between rooms of one floor that the design allows.
var neighbours = map[string][]string{
	"admission": {"policy", "image"},
	"detect":    {"audit"},
	"posture":   {"authn", "authz", "admission", "policy", "image", "secret", "network", "audit", "detect"},
}

// bans are imports that one room alone may have, each with its reason.
var bans = []struct {
	prefix, only, reason string
}{
	{"k8s.io/kubernetes", "serve", "the gates stand on the supported libraries, so that others can import them and they compile in seconds"},
	{"go.etcd.io/etcd/server", "serve", "only the serve mount runs a store"},
	{"github.com/spf13/cobra", "internal/cli", "flags and printing are the command line's"},
}

type listed struct {
	path    string
	imports []string
	dir     string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}\t{{.Dir}}\t{{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, listed{strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/"), strings.Fields(fields[2]), fields[1]})
	}
	return all
}

// room is the room a package is in, and its floor; -1 for tests and tools.
func room(path string) (string, int) {
	for floor, rooms := range floors {
		for _, r := range rooms {
			if path == r || strings.HasPrefix(path, r+"/") {
				return r, floor
			}
		}
	}
	return "", -1
}

func TestWhoImportsWhom(t *testing.T) {
	for _, p := range packages(t) {
		from, floor := room(p.path)
		for _, imported := range p.imports {
			for _, ban := range bans {
				if (imported == ban.prefix || strings.HasPrefix(imported, ban.prefix+"/")) && from != ban.only && !strings.HasPrefix(p.path, "test/") {
					t.Errorf("%s imports %s: only %s may, because %s", p.path, imported, ban.only, ban.reason)
				}
			}
			own, ok := strings.CutPrefix(imported, module+"/")
			if !ok || floor < 0 {
				continue
			}
			to, height := room(own)
			switch {
			case to == from:
			case height < 0:
				t.Errorf("%s imports %s, which is no room of the house", p.path, own)
			case height > floor:
				t.Errorf("%s imports %s, which stands above it", p.path, own)
			case height == floor && !slices.Contains(neighbours[from], to):
				t.Errorf("%s imports %s: gates do not import each other", p.path, own)
			}
		}
	}
}

func TestEveryPackageTeaches(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.path, "test/") && strings.HasSuffix(p.path, "_test") || p.dir == "" {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(p.dir, "*.go"))
		documented := false
		for _, file := range files {
			if f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments); err == nil && f.Doc != nil {
				documented = true
			}
		}
		if !documented && len(files) > 0 {
			t.Errorf("package %s has no package doc", p.path)
		}
	}
}

func TestNoFileIsTooLong(t *testing.T) {
	const most = 800
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		t.Skipf("no git checkout: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		if strings.Contains(name, "zz_generated") {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			continue // removed in the work tree
		}
		lines := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			lines++
		}
		f.Close()
		if lines > most {
			t.Errorf("%s has %d lines, more than %d", name, lines, most)
		}
	}
}

func TestNoReplace(t *testing.T) {
	for _, file := range []string{"go.mod", "tools/go.mod", "test/oracle/go.mod", "test/oracle/gatekeeper/go.mod", "test/oracle/duckdb/go.mod", "test/oracle/prometheus/go.mod"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.HasPrefix(strings.TrimSpace(line), "replace") {
				t.Errorf("%s has a replace line, so that go install of a release would not work: %s", file, line)
			}
		}
	}
}
