package fix_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/gatehouse-io/gatehouse/check/fix"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// want is what an RFC 6902 patch makes of the object of a file that has an index.
func want(t testing.TB, name, text string, index int, patch string) fix.Want {
	t.Helper()
	var trees []*cluster.Tree
	if err := cluster.TreesOf(context.Background(), name, []byte(text), cluster.FileOptions{Workers: 1}, func(o *cluster.Tree) { trees = append(trees, o) }); err != nil {
		t.Fatal(err)
	}
	line, column := trees[index].Place(trees[index].Root)
	before, problems := trees[index].Value()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	data, err := utiljson.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = p.Apply(data); err != nil {
		t.Fatal(err)
	}
	after := map[string]any{}
	if err := utiljson.Unmarshal(data, &after); err != nil {
		t.Fatal(err)
	}
	return fix.Want{Line: line, Column: column, Before: before, After: after}
}

const head = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web # the name\n"

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct{ text, patch, want, refused string }{
		"a value, its comment kept": {
			"a: 1 # one\nb:   two   # two\n", `[{"op": "replace", "path": "/b", "value": "three"}]`,
			"a: 1 # one\nb:   three   # two\n", ""},
		"the quotes stay": {
			"a: 'x'\nb: \"y\"\n", `[{"op": "replace", "path": "/a", "value": "it's"}, {"op": "replace", "path": "/b", "value": "z"}]`,
			"a: 'it''s'\nb: \"z\"\n", ""},
		"a text that would be something else is quoted": {
			"a: x\n", `[{"op": "replace", "path": "/a", "value": "yes"}, {"op": "add", "path": "/b", "value": "1e3"}, {"op": "add", "path": "/c", "value": "512Mi"}]`,
			"a: \"yes\"\nb: \"1e3\"\nc: 512Mi\n", ""},
		"a field goes": {
			"spec:\n  # why\n  hostPID: true\n  a: 1\n", `[{"op": "remove", "path": "/spec/hostPID"}]`,
			"spec:\n  # why\n  a: 1\n", ""},
		"all fields of a mapping go": {
			"spec: # the rest\n  hostPID: true\nb: 1\n", `[{"op": "remove", "path": "/spec/hostPID"}]`,
			"spec: {} # the rest\nb: 1\n", ""},
		"fields are added behind the others, indented as they are": {
			"spec:\n    containers:\n      - name: c\n        image: i\n\n# the end\n", `[{"op": "add", "path": "/spec/securityContext", "value": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}}, {"op": "add", "path": "/spec/containers/0/args", "value": ["-v", "a b", "3"]}]`,
			"spec:\n    containers:\n      - name: c\n        image: i\n        args:\n          - \"-v\"\n          - a b\n          - \"3\"\n    securityContext:\n        runAsNonRoot: true\n        seccompProfile:\n            type: RuntimeDefault\n\n# the end\n", ""},
		"braces": {
			"spec: {containers: [{name: c, image: i}], volumes: [{name: v, emptyDir: {}}]} # x\n", `[{"op": "add", "path": "/spec/volumes/0/emptyDir/sizeLimit", "value": "512Mi"}, {"op": "add", "path": "/spec/containers/0/tty", "value": true}, {"op": "remove", "path": "/spec/containers/0/name"}]`,
			"spec: {containers: [{image: i, tty: true}], volumes: [{name: v, emptyDir: {sizeLimit: 512Mi}}]} # x\n", ""},
		"braces over several lines": {
			"spec: {\n  a: 1, # one\n  b: 2 # two\n}\n", `[{"op": "add", "path": "/spec/c", "value": 3}]`,
			"spec: {\n  a: 1, # one\n  b: 2,\n  c: 3 # two\n}\n", ""},
		"an item is put first, and one goes": {
			"spec:\n  containers:\n  # the web\n  - name: web\n    image: i\n  # the side\n  - name: side\n    image: j\n  x: 1\n", `[{"op": "add", "path": "/spec/containers/0", "value": {"name": "first", "image": "k"}}, {"op": "remove", "path": "/spec/containers/2"}]`,
			"spec:\n  containers:\n  - name: first\n    image: k\n  # the web\n  - name: web\n    image: i\n  # the side\n  x: 1\n", ""},
		"an item is put last, at the end of a file without a line break": {
			"list:\n- a\n- b", `[{"op": "add", "path": "/list/-", "value": "c"}]`,
			"list:\n- a\n- b\n- c", ""},
		"a literal text is not mistaken": {
			"data:\n  a: |\n    x: 1\n    # no comment\n\n  b: 1\n", `[{"op": "add", "path": "/data/c", "value": "d"}, {"op": "replace", "path": "/data/a", "value": "line"}]`,
			"data:\n  a: line\n\n  b: 1\n  c: d\n", ""},
		"an empty value": {
			"spec:\n  a:\n  b: 1\n", `[{"op": "replace", "path": "/spec/a", "value": {"c": [{"d": 1, "e": {}}]}}]`,
			"spec:\n  a:\n    c:\n    - d: 1\n      e: {}\n  b: 1\n", ""},
		"the first field of an item": {
			"list:\n- a: 1\n  b: 2\n- c: 3\n  d: 4\n", `[{"op": "remove", "path": "/list/0/a"}]`,
			"list:\n- b: 2\n- c: 3\n  d: 4\n", ""},
		"the lines of another system": {
			"spec:\r\n  a: 1\r\n  b: 2\r\n", `[{"op": "add", "path": "/spec/c", "value": 3}, {"op": "remove", "path": "/spec/a"}]`,
			"spec:\r\n  b: 2\r\n  c: 3\r\n", ""},
		"an anchor": {
			"a: &x {b: 1}\nc: *x\n", `[{"op": "replace", "path": "/a/b", "value": 2}, {"op": "replace", "path": "/c/b", "value": 2}]`, "", "has an anchor"},
		"an alias": {
			"a: &x {b: 1}\nc: *x\n", `[{"op": "replace", "path": "/c/b", "value": 2}]`, "", "c is an alias"},
		"a merge key": {
			"a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n", `[{"op": "replace", "path": "/c/b", "value": 2}]`, "", "by a merge key"},
		"a text over several lines": {
			"a: one\n  two\n", `[{"op": "replace", "path": "/a", "value": "x"}]`, "", "in a way that is not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			text := head + c.text
			eol := "\n"
			if strings.Contains(c.text, "\r\n") {
				eol, text = "\r\n", strings.ReplaceAll(head, "\n", "\r\n")+c.text
			}
			p := fix.New(context.Background(), "web.yaml", []byte(text), []fix.Want{want(t, "web.yaml", text, 0, c.patch)})
			if c.refused != "" {
				if p.Refused[0] == nil || !strings.Contains(p.Refused[0].Error(), c.refused) || p.Changed() {
					t.Fatalf("refused is %v\n%s", p.Refused[0], p.Text())
				}
				return
			}
			if p.Refused[0] != nil {
				t.Fatal(p.Refused[0])
			}
			if got := strings.TrimPrefix(string(p.Text()), strings.ReplaceAll(head, "\n", eol)); got != c.want {
				t.Errorf("it is\n%s\nwant\n%s", got, c.want)
			}
			patched(t, text, string(p.Text()), p.Diff(fix.DiffOptions{}))
		})
	}
}

// patched has the program patch apply a diff, where there is one.
func patched(t *testing.T, before, after, diff string) {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Log("no git: the diff is not applied")
		return
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yaml")
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "apply", "--whitespace=nowarn", "-")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(diff)
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, diff)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != after {
		t.Errorf("the diff makes\n%s\nwant\n%s\nof\n%s", got, after, diff)
	}
}

// Documents beside each other, items of a List, and JSON.
func TestPlanOfSeveral(t *testing.T) {
	text := "# first\n" + head + "spec:\n  hostPID: true\n  a: 1\n---\n# second\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n  spec:\n    hostIPC: true\n    x: 1\n"
	wants := []fix.Want{
		want(t, "a.yaml", text, 0, `[{"op": "remove", "path": "/spec/hostPID"}]`),
		want(t, "a.yaml", text, 1, `[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]`),
		want(t, "a.yaml", text, 2, `[{"op": "remove", "path": "/spec/hostIPC"}]`),
	}
	p := fix.New(context.Background(), "a.yaml", []byte(text), wants)
	expected := strings.NewReplacer("  hostPID: true\n", "", "{name: a}", "{name: a, labels: {a: b}}", "    hostIPC: true\n", "").Replace(text)
	if string(p.Text()) != expected {
		t.Errorf("%v\n%s", p.Refused, p.Text())
	}
	one := 2
	if diff := p.Diff(fix.DiffOptions{Of: &one}); !strings.Contains(diff, "-    hostIPC: true\n") || strings.Contains(diff, "hostPID: true\n-") || strings.Contains(diff, "labels") {
		t.Errorf("the diff of one is\n%s", diff)
	}

	json := "{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"name\": \"a\"},\n  \"spec\": {\n    \"hostPID\": true,\n    \"volumes\": [\n      {\"name\": \"v\", \"emptyDir\": {}}\n    ]\n  }\n}\n"
	p = fix.New(context.Background(), "a.json", []byte(json), []fix.Want{want(t, "a.json", json, 0, `[{"op": "remove", "path": "/spec/hostPID"}, {"op": "add", "path": "/spec/volumes/0/emptyDir/sizeLimit", "value": "1Gi"}, {"op": "add", "path": "/spec/volumes/-", "value": {"name": "w"}}]`)})
	expected = strings.NewReplacer("    \"hostPID\": true,\n", "", "{}}\n", "{\"sizeLimit\": \"1Gi\"}},\n      {\"name\": \"w\"}\n").Replace(json)
	if string(p.Text()) != expected {
		t.Errorf("%v\n%s", p.Refused, p.Text())
	}
}

// No diff shows what may be secret.
func TestSecrets(t *testing.T) {
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\nx: 1\n---\n" + head + "spec:\n  hostPID: true\n  token: |\n    hunter3\n  a: 1\n"
	p := fix.New(context.Background(), "a.yaml", []byte(text), []fix.Want{
		want(t, "a.yaml", text, 0, `[{"op": "add", "path": "/stringData/b", "value": "c"}]`),
		want(t, "a.yaml", text, 1, `[{"op": "remove", "path": "/spec/hostPID"}]`)})
	diff := p.Diff(fix.DiffOptions{Hidden: []int{13}, Cover: func(string) string { return "(not shown)" }})
	if strings.Contains(diff, "hunter") || !strings.Contains(diff, "-  hostPID: true\n") || !strings.Contains(diff, "(not shown)") {
		t.Errorf("it shows\n%s", diff)
	}
	if !strings.Contains(string(p.Text()), "{a: hunter2, b: c}") {
		t.Errorf("%v\n%s", p.Refused, p.Text())
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "web.yaml"), filepath.Join(dir, "link.yaml")
	text := head + "spec:\n  hostPID: true\n  a: 1\n"
	write := func() {
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if err := os.Symlink("web.yaml", link); err != nil {
		t.Fatal(err)
	}
	plan := func(name string) *fix.Plan {
		return fix.New(context.Background(), name, []byte(text), []fix.Want{want(t, name, text, 0, `[{"op": "remove", "path": "/spec/hostPID"}]`)})
	}
	if err := plan(link).Write(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != strings.Replace(text, "  hostPID: true\n", "", 1) {
		t.Errorf("%v\n%s", err, got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info.Mode(), err)
	}
	// It is another file now: what was planned of it does not count any more.
	if err := plan(file).Write(); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("a changed file is written: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files are left behind: %v, %v", entries, err)
	}
}
