package cluster

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

// TestFiles reads each archive in testdata/files as a folder, and compares what
// the View holds, or what is wrong, with its file "want".
func TestFiles(t *testing.T) {
	archives, err := filepath.Glob("testdata/files/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			var want *txtar.File
			for i, f := range archive.Files {
				if f.Name == "want" {
					want = &archive.Files[i]
					continue
				}
				write(t, f.Name, f.Data)
			}
			got := describe(FromFiles(context.Background(), []string{"."}, nil, FileOptions{}))
			if want == nil {
				archive.Files = append(archive.Files, txtar.File{Name: "want"})
				want = &archive.Files[len(archive.Files)-1]
			}
			if string(want.Data) == got {
				return
			}
			if !*update {
				t.Fatalf("got:\n%s\nwant:\n%s", got, want.Data)
			}
			want.Data = []byte(got)
			if err := os.WriteFile(filepath.Join(packageDir, path), txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

var packageDir, _ = os.Getwd()

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// describe is a View as text: one line an object, and below it what it grants.
func describe(v *View, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var out strings.Builder
	rules := func(rules []rbacv1.PolicyRule, lines []int) {
		for i, r := range rules {
			if i < len(lines) {
				fmt.Fprintf(&out, "  %d:", lines[i])
			}
			fmt.Fprintf(&out, "  %v %v%v%v%v\n", r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs)
		}
	}
	binding := func(ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		fmt.Fprintf(&out, "  %s %s\n", ref.Kind, ref.Name)
		for _, s := range subjects {
			fmt.Fprintf(&out, "  to %s %s %s\n", s.Kind, s.Namespace, s.Name)
		}
	}
	for _, h := range v.ClusterRoles {
		fmt.Fprintln(&out, h.Source)
		rules(h.Object.Rules, h.Rules)
	}
	for _, h := range v.ClusterRoleBindings {
		fmt.Fprintln(&out, h.Source)
		binding(h.Object.RoleRef, h.Object.Subjects)
	}
	for _, h := range v.Roles {
		fmt.Fprintln(&out, h.Source)
		rules(h.Object.Rules, h.Rules)
	}
	for _, h := range v.RoleBindings {
		fmt.Fprintln(&out, h.Source)
		binding(h.Object.RoleRef, h.Object.Subjects)
	}
	for _, h := range v.Guards {
		fmt.Fprintf(&out, "%s\n  %s\n", h.Source, h.Object.Spec.Reason)
	}
	for _, h := range v.Namespaces {
		fmt.Fprintln(&out, h.Source, h.Object.Labels)
	}
	fmt.Fprintf(&out, "%d aside\n", v.Aside)
	for _, note := range v.Notes {
		fmt.Fprintln(&out, "note:", note)
	}
	return out.String()
}

const devs = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: devs, namespace: shop}
roleRef: {kind: Role, name: editor, apiGroup: rbac.authorization.k8s.io}
subjects: [{kind: User, name: jane}]
`

func read(t *testing.T, text string, opts FileOptions) (*View, error) {
	t.Helper()
	return FromFiles(context.Background(), []string{"-"}, strings.NewReader(text), opts)
}

func TestLimits(t *testing.T) {
	many := strings.Repeat("- a\n", 1000)
	deep := strings.Repeat("[", 20000)
	deepJSON := `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}"
	bomb := "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: bomb}\n" +
		"x: &a [get, get, get, get, get, get, get, get, get, get]\n"
	for _, c := range []struct {
		name, text string
		opts       FileOptions
		want       string
	}{
		{"large object", devs + "---\nkind: ConfigMap\ndata: " + strings.Repeat("x", 5000), FileOptions{MaxObjectBytes: 4096}, "<stdin>:8:1: the line that begins here is larger than 4096 bytes"},
		{"large item", "items:\n- a: b\n- c: " + strings.Repeat("x", 5000), FileOptions{MaxObjectBytes: 4096}, "<stdin>:3:1: the line that begins here is larger"},
		{"many lines", devs + "---\nkind: ConfigMap\ndata:\n" + strings.Repeat("  x: y\n", 1000), FileOptions{MaxObjectBytes: 4096}, "<stdin>:6:1: the object that begins here is larger than 4096 bytes"},
		{"large JSON item", `{"items":[{"a":"` + strings.Repeat("x", 5000), FileOptions{MaxObjectBytes: 4096}, "<stdin>:1:1: the object that begins here is larger"},
		{"large file", devs + many, FileOptions{MaxFileBytes: 1024}, "<stdin>: the file is larger than 1024 bytes"},
		{"exactly as large as it may be", devs, FileOptions{MaxFileBytes: int64(len(devs))}, ""},
		{"deep YAML", "a: " + deep, FileOptions{}, "exceeded max depth"},
		{"deep JSON", deepJSON, FileOptions{}, "nested too deeply"},
		{"bomb", bomb, FileOptions{}, `unknown field "x"`},
		{"aliases", `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: bomb}
rules:
- &a {apiGroups: [""], resources: &r [` + strings.Repeat("a, ", 200) + `a], verbs: *r}
` + strings.Repeat("- *a\n", 200), FileOptions{}, "stand for more than 10000 values"},
		{"an alias is read", `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: a}
rules:
- &a {apiGroups: [""], resources: [pods], verbs: [get]}
- *a
`, FileOptions{}, ""},
		{"an alias of itself", "apiVersion: v1\nkind: List\nitems: &a\n  - *a\n", FileOptions{}, "want a Kubernetes object, have"},
		{"not UTF-8", "apiVersion: v1\nkind: \xff", FileOptions{}, "<stdin>:2:7: the file is not UTF-8 text"},
		{"UTF-16", "\xff\xfek\x00", FileOptions{}, "<stdin>:1:1: the file is not UTF-8 text"},
		{"a byte order mark", "\ufeff" + devs, FileOptions{}, ""},
		{"control character", "a: \x00", FileOptions{}, "control characters are not allowed"},
		{"empty", "", FileOptions{}, "<stdin>: it is empty"},
		{"comments", "# nothing\n---\n", FileOptions{}, "<stdin>: it is empty"},
		{"no object", "a: b", FileOptions{}, "<stdin>:1:1: kind is missing"},
		{"a list for an object", "- a", FileOptions{}, "<stdin>:1:1: want a Kubernetes object, have a list"},
		{"carriage returns", strings.ReplaceAll(devs, "\n", "\r\n"), FileOptions{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, c.text, c.opts)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %.300v, want %q", err, c.want)
			}
		})
	}
}

// TestCutsAreSound tries lists whose cuts would change what they say.
func TestCutsAreSound(t *testing.T) {
	hidden := strings.ReplaceAll(strings.TrimSpace(devs), "\n", "\n  ")
	for _, text := range []string{
		"x: \"\nitems:\n- " + hidden + "\ny: \"\n",                          // items inside of a string
		"x: {\nitems:\n- " + hidden + "\n}\n",                               // and of a flow mapping
		"apiVersion: v1\nkind: List\nitems:\n- a: \"\n- " + hidden + "\"\n", // an item inside of a string of the one before
		"items:\n- " + hidden + "\nitems:\n- a: b\n",
		"apiVersion: v1\nkind: List\nitems:\n- a: b\n- {kind: x, apiVersion: y\n",
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"},]}`,
		`{"apiVersion":"v1","kind":"List","items":[,{"apiVersion":"v1","kind":"Secret"}]}`,
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"} {"apiVersion":"v1","kind":"Secret"}]}`,
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"}}`,
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret"]}]}`,
		`{"apiVersion":"v1","kind":"List","items":[],"items":[]}`,
		`{"apiVersion":"v1","kind":"List","items":[],"it\u0065ms":[]}`,
		`{"items" [{"apiVersion":"v1","kind":"Secret"}]}`,
		`{"apiVersion":"v1","kind":"List"} x`,
	} {
		if v, err := read(t, text, FileOptions{}); err == nil {
			t.Errorf("no error of\n%s\n%+v", text, v)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "rbac/devs.yaml", []byte(devs))
	write(t, "rbac/deep/er/readme.txt", []byte("{{"))
	for name, to := range map[string]string{"rbac/deep/loop": "../../rbac", "rbac/self.yaml": "self.yaml", "rbac/gone.yml": "nowhere", "rbac/twice.yaml": "devs.yaml"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := FromFiles(context.Background(), []string{"rbac", "missing"}, nil, FileOptions{})
	list := v1alpha1.FieldErrorList{}
	if !errors.As(err, &list) || len(list) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"missing: cannot be read: no such file or directory", "rbac/gone.yml: cannot be read: no such file", "rbac/self.yaml: cannot be read: too many"} {
		if !strings.HasPrefix(list[i].Error(), want) {
			t.Errorf("%d: got %s, want %s", i, list[i], want)
		}
	}
	if err := os.MkdirAll("empty/er", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FromFiles(context.Background(), []string{"empty"}, nil, FileOptions{}); err == nil || !strings.Contains(err.Error(), "empty: there is nothing to read in this folder") {
		t.Errorf("got %v", err)
	}
	os.Remove("rbac/self.yaml")
	os.Remove("rbac/gone.yml")
	v, err := FromFiles(context.Background(), []string{"rbac"}, nil, FileOptions{})
	if err != nil || len(v.RoleBindings) != 1 {
		t.Fatalf("got %+v, %v", v, err)
	}
	if _, err := FromFiles(context.Background(), []string{"-"}, iotestErr{}, FileOptions{}); err == nil || !strings.Contains(err.Error(), "<stdin>: cannot be read: the cable is out") {
		t.Errorf("got %v", err)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("the cable is out") }

func TestProblemsAreBounded(t *testing.T) {
	text := strings.Repeat("---\nkind: Role\n", 300)
	_, err := read(t, text, FileOptions{MaxProblems: 7})
	if list := (v1alpha1.FieldErrorList)(nil); !errors.As(err, &list) || len(list) != 8 || list[7].Message != "and 293 more" {
		t.Errorf("got %v", err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := FromFiles(ctx, []string{"-"}, strings.NewReader(devs), FileOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestWritingsAreEqual writes the same objects in every way there is.
func TestWritingsAreEqual(t *testing.T) {
	object := func(i int, typed bool) string {
		s := fmt.Sprintf(`"metadata":{"name":"r%d","namespace":"shop"},"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}`, i)
		if typed {
			return "{" + s
		}
		return `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role",` + s
	}
	const n = 50
	var documents, list, typed, inYAML []string
	for i := range n {
		documents = append(documents, object(i, false))
		list = append(list, object(i, false))
		typed = append(typed, object(i, true))
		inYAML = append(inYAML, fmt.Sprintf("metadata:\n    name: r%d\n    namespace: shop\n  rules:\n  # why\n  - apiGroups:\n    - \"\"\n\n    resources:\n    - pods\n    verbs:\n    - get\n", i))
	}
	for name, text := range map[string]string{
		"documents":               strings.Join(documents, "\n---\n"),
		"JSON after JSON":         strings.Join(documents, " "),
		"YAML in flow style":      "---\n# so\n--- " + strings.Join(documents, "\n---  # next\n--- "),
		"list":                    `{"apiVersion":"v1","kind":"List","metadata":{},"items":[` + strings.Join(list, ",") + `]}`,
		"kind at the end":         `{"items" : [ ` + strings.Join(list, "\n,\n") + ` ] ,"apiVersion":"v1","kind":"List"}`,
		"typed list":              `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleList","items":[` + strings.Join(typed, ",") + `]}`,
		"typed, kind at the end":  `{"items":[` + strings.Join(typed, ",") + `],"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleList"}`,
		"list in a list":          `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[` + strings.Join(list, ",") + `]}]}`,
		"list in flow style":      "apiVersion: v1\nkind: List\nitems: [" + strings.Join(list, ", ") + "]\n",
		"YAML list":               "apiVersion: v1\nitems:\n- " + strings.Join(list, "\n- ") + "\nkind: List\nmetadata:\n  resourceVersion: \"\"\n",
		"indented":                "apiVersion: v1\nkind: List\nitems:   # of them\n\n  # first\n  - " + strings.Join(list, "\n  - ") + "\n",
		"typed YAML list":         "apiVersion: rbac.authorization.k8s.io/v1\nitems:\n- " + strings.Join(inYAML, "- ") + "kind: RoleList\n",
		"typed YAML, kind before": "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleList\nitems:\n- " + strings.Join(inYAML, "- "),
	} {
		t.Run(name, func(t *testing.T) {
			v, err := read(t, text, FileOptions{MaxObjectBytes: 32 << 10})
			if err != nil {
				t.Fatalf("%v\n%s", err, text[:min(len(text), 500)])
			}
			if len(v.Roles) != n || v.Aside != 0 {
				t.Fatalf("%d roles, %d aside", len(v.Roles), v.Aside)
			}
			for _, h := range v.Roles {
				if len(h.Object.Rules) != 1 || h.Object.Rules[0].Resources[0] != "pods" || h.Object.Kind != "Role" {
					t.Errorf("%+v", h.Object)
				}
				line := 0
				for l := range strings.Lines(text) {
					if line++; line == h.Source.Line {
						next := l
						if !strings.Contains(next, "metadata") && !strings.Contains(next, `"name":"`+h.Object.Name+`"`) && !bytes.Contains([]byte(l), []byte("- metadata")) {
							t.Errorf("%s is at line %d, which is %s", h.Object.Name, line, l)
						}
					}
				}
			}
		})
	}
}

// uncut reads data as one piece of YAML, and so without the splitter.
func uncut(data []byte) (objects []metav1.Object, ok bool) {
	opts := FileOptions{}
	opts.setDefaults()
	r := &reader{opts: opts, problems: problems{most: 1}}
	r.named.Store("", true)
	r.take = func(o *object) {
		fresh, wrong, _ := o.fresh()
		if fresh == nil {
			ok = ok && wrong == ""
			return
		}
		if _, _, _, problems := o.read(fresh, opts.Namespace); len(problems) > 0 {
			ok = false
		}
		objects = append(objects, fresh)
	}
	ok = true
	r.piece(&piece{line: 1, col: 1, data: data})
	return objects, ok && r.problems.err() == nil
}

// FuzzCuts checks that cutting a file into pieces changes nothing in what it says.
func FuzzCuts(f *testing.F) {
	hidden := strings.ReplaceAll(strings.TrimSpace(devs), "\n", "\n  ")
	f.Add([]byte(devs + "---\n" + devs))
	f.Add([]byte("apiVersion: v1\nitems:\n- " + hidden + "\n- " + hidden + "\nkind: List\n"))
	f.Add([]byte("a: |\n  items:\nitems: # x\n  - " + strings.ReplaceAll(hidden, "\n", "\n  ") + "\n...\n"))
	f.Add([]byte("x: \"\nitems:\n- " + hidden + "\ny: \"\n"))
	f.Add([]byte("x: 'a\n---\nb'\n"))
	f.Add([]byte(`{"items":[{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"a"}}],"apiVersion":"v1","kind":"List"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := FromFiles(context.Background(), []string{"-"}, bytes.NewReader(data), FileOptions{})
		if err != nil {
			return
		}
		whole, ok := uncut(data)
		if !ok {
			return // JSON that YAML does not read
		}
		have := map[string]metav1.Object{}
		for _, h := range v.Roles {
			have["Role/"+h.Object.Namespace+"/"+h.Object.Name] = h.Object
		}
		for _, h := range v.RoleBindings {
			have["RoleBinding/"+h.Object.Namespace+"/"+h.Object.Name] = h.Object
		}
		for _, o := range whole {
			kind := ""
			switch o.(type) {
			case *rbacv1.Role:
				kind = "Role"
			case *rbacv1.RoleBinding:
				kind = "RoleBinding"
			default:
				continue
			}
			key := kind + "/" + o.GetNamespace() + "/" + o.GetName()
			if have[key] == nil || !sameMeaning(have[key], o) {
				t.Errorf("%s is %+v in pieces, and %+v as a whole", key, have[key], o)
			}
		}
	})
}

func FuzzFromFiles(f *testing.F) {
	archives, _ := filepath.Glob("testdata/files/*.txtar")
	for _, path := range archives {
		if archive, err := txtar.ParseFile(path); err == nil {
			for _, file := range archive.Files {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte(devs))
	f.Add([]byte(`{"kind":"List","apiVersion":"v1","items":[{"kind":"Role","apiVersion":"rbac.authorization.k8s.io/v1"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := FromFiles(context.Background(), []string{"-"}, bytes.NewReader(data), FileOptions{MaxObjectBytes: 64 << 10})
		if (v == nil) == (err == nil) {
			t.Errorf("view %v and error %v", v, err)
		}
		if v == nil {
			return
		}
		for _, h := range v.RoleBindings {
			if h.Object.Name == "" || h.Object.Namespace == "" || h.Object.RoleRef.Name == "" || h.Source.Line < 1 {
				t.Errorf("%+v", h)
			}
		}
	})
}
