package fix_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatehouse-io/gatehouse/check/fix"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// FuzzPlan makes changes by chance of the objects of any text. A plan panics of
// nothing; what it makes reads as exactly the objects that were wanted; and the lines
// that are no part of its changes are, byte for byte, those of the text.
func FuzzPlan(f *testing.F) {
	for seed, text := range []string{
		head + "spec:\n  containers:\n  - name: x\n    image: y # why\n    ports: [{containerPort: 80}, {containerPort: 81}]\n  # end\n",
		head + "spec: {a: [1, 2.5, yes, ~, \"q\", 'r'], b: {}}\n---\n" + head + "data:\n  a: |\n    b\n    # c\n\n  d: >-\n    e\n",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n- &a\n  apiVersion: v1\n  kind: C\n  x: &y {b: c}\n  z: *y\n  w: {<<: *y, d: e}\n",
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "x": [1, 2.0, "\u0041"]}, {"apiVersion": "v1", "kind": "Q"}]}`,
		"apiVersion: v1\r\nkind: Pod\r\ndata:\r\n  a: |\r\n    b\r\n  c:\r\n", "\ufeffapiVersion: v1\nkind: Pod\nx: >-\n  a\n  b\ny: \"a\\nb\"\n",
		"apiVersion: v1\nkind: Pod\n? a\n: - - b\n  -\n    c: d\n", "apiVersion: v1\nkind: Pod\nx: !!str 1\ny: !t [a]\n\"z\" : {a: b,\n# c\n d: e}\n",
	} {
		f.Add(text, uint64(seed))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if len(text) > 4<<10 {
			return
		}
		var trees []*cluster.Tree
		ctx := context.Background()
		_ = cluster.TreesOf(ctx, "a.yaml", []byte(text), cluster.FileOptions{Workers: 1}, func(o *cluster.Tree) { trees = append(trees, o) })
		chance := rand.New(rand.NewPCG(seed, 1))
		var wants []fix.Want
		for _, tree := range trees {
			before, problems := tree.Value()
			if len(problems) > 0 || tree.Kind == "" {
				continue
			}
			after := changed(chance, runtime.DeepCopyJSON(before), 0).(map[string]any)
			for _, name := range []string{"apiVersion", "kind", "metadata"} {
				if delete(after, name); before[name] != nil {
					after[name] = before[name]
				}
			}
			line, column := tree.Place(tree.Root)
			wants = append(wants, fix.Want{Line: line, Column: column, Before: before, After: after})
		}
		p := fix.New(ctx, "a.yaml", []byte(text), wants)
		now := map[string]map[string]any{}
		_ = cluster.TreesOf(ctx, "a.yaml", p.Text(), cluster.FileOptions{Workers: 1}, func(o *cluster.Tree) {
			value, _ := o.Value()
			now[fmt.Sprint(len(now))] = value
		})
		if len(now) != len(trees) {
			t.Fatalf("%d objects became %d:\n%s\n%s", len(trees), len(now), text, p.Text())
		}
		for i, w := range wants {
			expected := w.After
			if p.Refused[i] != nil {
				expected = w.Before
			}
			if !slices.ContainsFunc(slices.Collect(maps.Values(now)), func(v map[string]any) bool { return equal(v, expected) }) {
				t.Errorf("%v: nothing is %v in\n%s\nof\n%s", p.Refused[i], expected, p.Text(), text)
			}
		}
		if got := rebuilt(text, p.Changes(nil)); got != string(p.Text()) {
			t.Errorf("the changes make\n%q\nand the plan\n%q\nof\n%q", got, p.Text(), text)
		}
		p.Diff(fix.DiffOptions{Hidden: []int{1, 3}})
	})
}

// rebuilt puts changes into a text, line by line.
func rebuilt(text string, changes []fix.Change) string {
	lines := strings.SplitAfter(text, "\n")
	var b strings.Builder
	at := 1
	for _, c := range changes {
		for ; at < c.Line; at++ {
			b.WriteString(lines[at-1])
		}
		for i, old := range c.Old {
			if lines[at-1+i] != old {
				return fmt.Sprintf("line %d is %q and not %q", at+i, lines[at-1+i], old)
			}
		}
		b.WriteString(strings.Join(c.New, ""))
		at += len(c.Old)
	}
	return b.String() + strings.Join(lines[at-1:], "")
}

func equal(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && (string(x) == string(y) || reflect.DeepEqual(a, b))
}

// changed is a value with a few changes by chance.
func changed(chance *rand.Rand, v any, depth int) any {
	fresh := func() any {
		return []any{"text", "yes", "a: b #c", "line\nline", int64(7), true, nil, map[string]any{}, []any{}, map[string]any{"b": "x", "name": []any{"y", map[string]any{"z": int64(1)}}}, "é\u0001"}[chance.IntN(11)]
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			switch chance.IntN(4) {
			case 0:
				v[name] = changed(chance, v[name], depth+1)
			case 1:
				if depth > 0 {
					delete(v, name)
				}
			}
		}
		if chance.IntN(3) == 0 {
			v[[]string{"new", "a/b", "1", "~"}[chance.IntN(4)]] = fresh()
		}
		return v
	case []any:
		var out []any
		for _, item := range v {
			switch chance.IntN(5) {
			case 0:
				out = append(out, changed(chance, item, depth+1))
			case 1:
			case 2:
				out = append(out, fresh(), item)
			default:
				out = append(out, item)
			}
		}
		return out
	}
	return fresh()
}
