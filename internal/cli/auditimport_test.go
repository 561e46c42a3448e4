package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store"
)

// importing runs the command and returns its exit code and what it prints.
func importing(t *testing.T, stdin string, args ...string) (code int, out string) {
	t.Helper()
	cmd := newAuditImport()
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		printError(&stdout, err)
		return exitCode(err), stdout.String()
	}
	return exitOK, stdout.String()
}

func importedLine(n int, secret string) string {
	return fmt.Sprintf(`{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"0c5b7b1e-8a0a-4d3e-9c52-%012x","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/p/exec?command=%s","verb":"create",`+
		`"user":{"username":"jane","groups":["dev"]},"objectRef":{"resource":"secrets","namespace":"shop","name":"db"},"responseStatus":{"metadata":{},"code":201},"requestObject":{"kind":"Secret","data":{"a":"%s"}},"requestReceivedTimestamp":"2026-10-01T12:00:00.000000Z","stageTimestamp":"2026-10-01T12:00:01.%06dZ","annotations":{"authorization.k8s.io/decision":"allow"}}`, n, secret, secret, n)
}

// Nothing of what was planted is anywhere in the store's folder after an import.
func TestAnImportLeavesNoSecretAnywhere(t *testing.T) {
	const planted = "hunter2correcthorse"
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	if err := os.MkdirAll(filepath.Join(logs, "older"), 0o700); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 100 {
		lines = append(lines, importedLine(i, planted))
	}
	lines[50] = lines[50][:len(lines[50])-160] // cut within the Secret
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	fmt.Fprint(zip, strings.Join(lines[:60], "\n"))
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"older/audit-1.log.gz": zipped.Bytes(), "audit.log": []byte(strings.Join(lines[55:], "\n") + "\nnot an event " + planted + "\n")} {
		if err := os.WriteFile(filepath.Join(logs, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(dir, "store")
	code, out := importing(t, "", logs, "--store", kept, "--cluster", "prod", "-o", "json")
	var summary importSummary
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&summary); err != nil || code != exitUnreadable {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if summary.Events != 104 || summary.New != 99 || summary.Duplicates != 5 || summary.Files != 2 || len(summary.Problems) != 2 {
		t.Errorf("%+v", summary)
	}
	for _, p := range summary.Problems {
		if len(p.Places) != 1 || p.Reason == "truncated" && !strings.HasSuffix(p.Places[0], "audit-1.log.gz:51") || p.Reason == "broken" && !strings.HasSuffix(p.Places[0], "audit.log:46") {
			t.Errorf("%+v", p)
		}
	}
	found := 0
	if err := filepath.WalkDir(kept, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if found++; bytes.Contains(data, []byte(planted)) {
			t.Errorf("%s holds what was planted", path)
		}
		return err
	}); err != nil || found == 0 {
		t.Errorf("%d files, %v", found, err)
	}
	aside, err := os.ReadFile(summary.Aside)
	info, statErr := os.Stat(summary.Aside)
	if err != nil || statErr != nil || info.Mode().Perm() != 0o600 || bytes.Count(aside, []byte("\n")) != 2 || !bytes.Contains(aside, []byte(fmt.Sprintf("0c5b7b1e-8a0a-4d3e-9c52-%012x", 50))) {
		t.Errorf("aside: %s, %v, %v", aside, err, statErr)
	}
	r, err := store.OpenReader(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for e, err := range r.Scan(context.Background(), audit.Scan{Bodies: true}) {
		if err != nil || e.Annotations[clusterAnnotation] != "prod" || e.Decision() != "allow" || strings.Contains(string(e.Request)+e.URI, planted) || !strings.Contains(e.URI, "command=gatehouse:hmac:") {
			t.Fatalf("%+v, %v", e, err)
		}
		n++
	}
	if n != 99 {
		t.Errorf("%d events in the store", n)
	}
	// Once more: everything is there already.
	if _, again := importing(t, "", logs, "--store", kept, "--cluster", "prod"); !strings.Contains(again, "new 0, there already 104") {
		t.Errorf("again: %s", again)
	}
}

func TestImportOfStdin(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "store")
	code, out := importing(t, `{"message":`+quotedJSON(importedLine(1, "x"))+`}`+"\n"+`{"message":"I1001 not audit"}`, "-", "--store", kept)
	if code != exitOK || !strings.Contains(out, "new 1, there already 0") || !strings.Contains(out, "other lines  1") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := importing(t, importedLine(2, "x"), "-", "--store", kept, "--format", "gke"); code != exitUnreadable || !strings.Contains(out, "no event") {
		t.Errorf("another format: exit code %d: %s", code, out)
	}
}

func quotedJSON(s string) string { b, _ := json.Marshal(s); return string(b) }

func TestWrongImports(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "store")
	for _, c := range []struct {
		code int
		args []string
	}{
		{exitUsage, nil}, {exitUsage, []string{"x"}}, {exitUsage, []string{"-", "-", "--store", kept}}, {exitUsage, []string{"x", "--store", "ftp://b"}},
		{exitUsage, []string{"x", "--store", kept, "--format", "x"}}, {exitUsage, []string{"x", "--store", kept, "-o", "x"}}, {exitUnreadable, []string{"/nowhere/at/all", "--store", kept}},
	} {
		if code, out := importing(t, "", c.args...); code != c.code || !strings.Contains(out, "error: ") {
			t.Errorf("%v: exit code %d, want %d: %s", c.args, code, c.code, out)
		}
	}
	s, err := store.Open(kept, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if code, out := importing(t, importedLine(1, "x"), "-", "--store", kept); code != exitUnreadable || !strings.Contains(out, "hint: ") {
		t.Errorf("a store in use: exit code %d: %s", code, out)
	}
}

func TestBrokenOffImport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i := &auditImport{in: strings.NewReader(importedLine(1, "x")), format: "auto"}
	if err := i.run(ctx, []string{"-"}, filepath.Join(t.TempDir(), "store"), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Errorf("%v", err)
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		read, total, events int64
		want                string
	}{
		{50, 100, 1000, "[############............]  50%  1000 events, 100 a second, 10s left"},
		{0, 0, 20, "20 events, 2 a second"},
		{0, 100, 0, "[........................]   0%  0 events, 0 a second"},
		{300, 100, 10, "[########################] 100%  10 events, 1 a second, 0s left"},
	} {
		if got := bar(c.read, c.total, c.events, 10*time.Second); got != c.want || len(got) > tableWidth {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
