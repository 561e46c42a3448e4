package manifest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// unpack writes the files of an archive into a fresh folder and goes there.
func unpack(t testing.TB, archive string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// read is everything some paths stand for, in order.
func read(t testing.TB, opts Options, paths ...string) ([]*Object, Summary, error) {
	t.Helper()
	opts.Workers = 1
	var all []*Object
	summary, err := Read(context.Background(), paths, opts, func(o *Object) error {
		all = append(all, o)
		return nil
	})
	return all, summary, err
}

// where is lines "path at place", with a ~ where the place is not exact.
func where(o *Object, paths ...string) string {
	var b strings.Builder
	for _, path := range paths {
		p := o.Position(path)
		mark := ""
		if !p.Exact {
			mark = "~"
		}
		fmt.Fprintf(&b, "%s at %s%s\n", path, mark, p)
	}
	return b.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestFields(t *testing.T) {
	unpack(t, `
-- pods.yaml --
# two of them
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata:
    name: api
    labels: {app.kubernetes.io/name: api}
  spec:
    containers:
    - name: main
      image: registry.example/api:1
      securityContext: &off
        privileged: yes
    - <<: {name: side}
      securityContext: *off
---
apiVersion: v1
kind: Pod
metadata: {name: web}
-- sub/more.json --
{"apiVersion": "v1",
 "kind": "ConfigMap",
 "metadata": {"name": "c"}, "data": {"a/b": "x"}}
-- sub/values.yaml --
image: none
`)
	all, summary, err := read(t, Options{}, ".")
	if err != nil || len(all) != 3 || summary.Objects != 3 || summary.Aside != 1 {
		t.Fatalf("got %d objects, %+v, %v", len(all), summary, err)
	}
	same(t, where(all[0], "", "spec.containers[0].image", "/spec/containers/0/image", "metadata.labels[app.kubernetes.io/name]",
		"metadata.labels.app.kubernetes.io/name", "spec.containers[0].securityContext", "spec.containers[1].name", "spec.containers[1].securityContext.privileged",
		"spec.containers[0].command", "spec.containers[7].image", "status"), `
 at pods.yaml:5:3
spec.containers[0].image at pods.yaml:13:14
/spec/containers/0/image at pods.yaml:13:14
metadata.labels[app.kubernetes.io/name] at pods.yaml:9:38
metadata.labels.app.kubernetes.io/name at pods.yaml:9:38
spec.containers[0].securityContext at pods.yaml:14:7
spec.containers[1].name at pods.yaml:16:18
spec.containers[1].securityContext.privileged at pods.yaml:15:21
spec.containers[0].command at ~pods.yaml:12:7
spec.containers[7].image at ~pods.yaml:11:5
status at ~pods.yaml:5:3
`)
	if at := all[0].NamePosition("spec.containers[0].image"); at.String() != "pods.yaml:13:7" {
		t.Errorf("the name is at %s", at)
	}
	if text, ok := all[0].Line(all[0].Position("spec.containers[0].image")); !ok || text != "      image: registry.example/api:1" {
		t.Errorf("got line %q, %v", text, ok)
	}
	same(t, where(all[1], "metadata.name"), "metadata.name at pods.yaml:21:18")
	same(t, where(all[2], "/data/a~1b", "data"), "/data/a~1b at sub/more.json:3:45\ndata at sub/more.json:3:29")
	containers := all[0].Object["spec"].(map[string]any)["containers"].([]any)
	if on := containers[1].(map[string]any)["securityContext"].(map[string]any)["privileged"]; on != true {
		t.Errorf("a boolean of YAML 1.1 is %v", on)
	}
}

// Whatever cannot be read is a problem with its place, and the rest is still handed on.
func TestProblems(t *testing.T) {
	bomb := "apiVersion: v1\nkind: ConfigMap\na0: &a0 [x, x]\n"
	for i := range 40 {
		bomb += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	deep := `{"apiVersion": "v1", "kind": "ConfigMap", "data": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}"
	for name, c := range map[string]struct{ text, want string }{
		"repeated": {"apiVersion: v1\nkind: Pod\nspec: {a: 1, a: 2}\n", "f.yaml:3:14: Pod: field \"spec.a\" is repeated"},
		"syntax":   {"apiVersion: v1\nkind: Pod\n  spec: x\n", "f.yaml:3:3"},
		"bytes":    {"apiVersion: v1\nkind: Pod\nx: \xff\n", "f.yaml:3:4: the file is not UTF-8 text"},
		"kind":     {"apiVersion: v1\nmetadata: {}\n", "f.yaml:1:1: kind is missing"},
		"bomb":     {bomb, "f.yaml:"},
		"deep":     {deep, "f.yaml:1:"},
		"template": {"apiVersion: v1\nkind: Pod\n{{ if x }}\n", "f.yaml:3"},
		"itself":   {"apiVersion: v1\nkind: Pod\nx: &x\n  <<: *x\n", "f.yaml:"},
		"number":   {"apiVersion: v1\nkind: Pod\nx: .nan\n", "f.yaml:3:4"},
		"key":      {"apiVersion: v1\nkind: Pod\n? [a]\n: b\n", "f.yaml:3:3"},
		"control":  {"apiVersion: v1\nkind: Pod\nx: \"a\x1b[31m\"\n", "f.yaml:3"},
		"large":    {"apiVersion: v1\nkind: Pod\nx: " + strings.Repeat("y", 70<<10), "larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			os.WriteFile("f.yaml", []byte(c.text), 0o644)
			os.WriteFile("good.yaml", []byte("apiVersion: v1\nkind: Pod\n"), 0o644)
			all, _, err := read(t, Options{MaxObjectBytes: 64 << 10}, "f.yaml", "good.yaml")
			list := v1alpha1.FieldErrorList{}
			if !errors.As(err, &list) || !strings.Contains(err.Error(), c.want) || list[0].File != "f.yaml" || list[0].Line == 0 {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("a control character is in %q", err)
			}
			if len(all) != 1 || all[0].Source.File != "good.yaml" {
				t.Errorf("got %d objects", len(all))
			}
		})
	}
}

func TestStopping(t *testing.T) {
	in := strings.Repeat("apiVersion: v1\nkind: Pod\n---\n", 100)
	enough := errors.New("enough")
	n := 0
	_, err := Read(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader(in), Workers: 1}, func(*Object) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 {
		t.Errorf("got %v after %d", err, n)
	}
	n = 0
	for o, err := range Objects(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader(in)}) {
		if err != nil || o.Source.File != "<stdin>" || o.Source.Line != n*3+1 {
			t.Fatalf("got %v, %v", o, err)
		}
		if n++; n == 5 {
			break
		}
	}
}

func TestSecretsAreCovered(t *testing.T) {
	for name, archive := range map[string]string{
		"value":   "-- s/s.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: !!int x4e99999\n",
		"literal": "-- s/kustomization.yaml --\nsecretGenerator:\n- name: s\n  literals: [4e99999]\n",
		"tpl":     "-- s/Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\n-- s/values.yaml --\npassword: \"4e99999 {{ fail \\\"x\\\" }}\"\n-- s/templates/a.yaml --\na: {{ tpl .Values.password . }}\n",
		"parse":   "-- s/Chart.yaml --\napiVersion: v2\nname: c\nversion: 1.0.0\n-- s/values.yaml --\npassword: \"4e99999 {{ \"\n-- s/templates/a.yaml --\na: {{ tpl .Values.password . }}\n",
	} {
		unpack(t, archive)
		if _, _, err := read(t, Options{}, "s"); err == nil || strings.Contains(err.Error(), "4e99999") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	unpack(t, "-- s.yaml --\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: hunter2\n  key: |\n    hunter2\n")
	all, _, err := read(t, Options{}, "s.yaml")
	if err != nil || len(all) != 1 {
		t.Fatal(err)
	}
	for line := range 8 {
		if text, _ := all[0].Line(Position{File: "s.yaml", Line: line}); strings.Contains(text, "hunter2") {
			t.Errorf("line %d is %q", line, text)
		}
	}
}
