package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// FuzzRead reads any text. It ends, with objects or with problems that have places;
// a single document that the API server's own reader takes too has the same value;
// and a place that is exact has the value written at it.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a.b/c: d}}\nspec:\n  containers:\n  - name: x\n    image: y\n",
		"---\n\n# a\n\napiVersion: v1\nkind: Pod\nspec: [a, 1, 1.5, yes, no, ~, null, 0x10, 0o7, 07, 1e3, 2024-01-01, \"q\", 'r']\n---\n\napiVersion: v1\nkind: B\n",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n- &a\n  apiVersion: v1\n  kind: C\n  x: &y {b: c}\n  z: *y\n  w: {<<: *y, d: e}\n",
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "x": [1, 2.0, 1e2, "\u0041"]}, {"apiVersion": "v1", "kind": "Q"}]}`,
		"apiVersion: v1\r\nkind: Pod\r\ndata:\r\n  a: |\r\n    b\r\n",
		"\ufeffapiVersion: v1\nkind: Pod\nx: >-\n  a\n  b\ny: \"a\\nb\"\n",
		"apiVersion: v1\nkind: Pod\nx: &x [*x]\n", "a: b\n", "- a\n", "{", "\x00", "apiVersion: v1\nkind: Pod\n? {a: b}\n: c\n",
		"apiVersion: v1\nkind: Pod\n1: a\ntrue: b\nyes: c\nx: !!binary aGk=\ny: !!str 1\nz: 12345678901234567890\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// YAML has more line breaks than most editors.
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text), "\n")
		var all []*Object
		_, err := Read(context.Background(), []string{"-"}, Options{Stdin: strings.NewReader(text), Workers: 1, MaxObjectBytes: 64 << 10}, func(o *Object) error {
			all = append(all, o)
			return nil
		})
		list := v1alpha1.FieldErrorList{}
		if err != nil && !errors.As(err, &list) {
			t.Fatalf("no list of problems: %v", err)
		}
		for _, e := range list {
			if e.File != "<stdin>" && !strings.HasPrefix(e.Message, "and ") || e.Line > len(lines)+1 || e.Message == "" {
				t.Errorf("a problem without a place: %+v", e)
			}
			if i := strings.IndexFunc(e.Error(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); i >= 0 {
				t.Errorf("a control character in %q", e.Error())
			}
		}
		for _, o := range all {
			scalars(o.Object, "", func(path, _ string, value any) { written(t, o, path, value, lines) })
			if at := o.Position("no.such[7].field"); at.Line < 1 || at.Line > len(lines) {
				t.Errorf("no place: %+v", at)
			}
		}
		if err == nil && len(all) == 1 && !strings.Contains(text, "---") && !strings.Contains(text, "items") && !strings.Contains(text, "...") {
			alike(t, text, all[0])
		}
	})
}

// written checks that a plain value stands where it is said to be.
func written(t *testing.T, o *Object, path string, value any, lines []string) {
	at := o.Position(path)
	if at.Line < 1 || at.Line > len(lines) {
		t.Fatalf("%s is said to be at %s of %d lines", path, at, len(lines))
	}
	s, ok := value.(string)
	if !ok || !at.Exact || s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) || r > unicode.MaxASCII }) {
		return
	}
	// A scalar may begin with an anchor, a tag or a quote, on a line before its text,
	// or be an alias.
	line := lines[at.Line-1]
	if !strings.Contains(strings.Join(lines[at.Line-1:], "\n"), s) && !strings.ContainsAny(line, `*\`) && !strings.Contains(o.GetKind(), s) && !strings.Contains(o.GetAPIVersion(), s) {
		t.Errorf("%s = %q is said to be at %s: %q", path, s, at, line)
	}
}

// alike compares an object with what the API server's own reader makes of the text.
func alike(t *testing.T, text string, o *Object) {
	if strings.Contains(text, "!\n") || strings.Contains(text, "! ") {
		return // a tag without a name, which makes a string of nothing, is lost in the tree
	}
	data, err := yaml.YAMLToJSON([]byte(strings.TrimPrefix(text, "\ufeff")))
	if err != nil {
		return
	}
	var want unstructured.Unstructured
	if want.UnmarshalJSON(data) != nil {
		return
	}
	a, errA := json.Marshal(want.Object)
	b, errB := json.Marshal(o.Object)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("of %q\ngot  %s, %v\nwant %s, %v", text, b, errB, a, errA)
	}
}

// FuzzPath descends into an object by any path.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"", "spec.containers[0].image", "/spec/containers/0", "a[b", "[", "]", ".", "..a", `x["y"]`, "x['a.b']", "$.a", "/~1~0", "a[99999999999999999999]", "labels[a.b/c][d]"} {
		f.Add(seed)
	}
	object := map[string]any{"a": map[string]any{"b.c": []any{int64(1), map[string]any{"d]": nil}}, "": "x"}, "x": map[string]any{"a.b": "c"}}
	f.Fuzz(func(t *testing.T, path string) {
		if len(path) > 1<<10 {
			return
		}
		steps := parsePath(object, path)
		at := any(object)
		for _, s := range steps {
			at = into(at, s)
		}
		if len(steps) > len(path)+1 {
			t.Errorf("%s has %d steps", strconv.Quote(path), len(steps))
		}
	})
}
