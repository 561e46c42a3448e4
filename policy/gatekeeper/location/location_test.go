package location

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Location{
		"":                          nil,
		"spec":                      {{Name: "spec"}},
		" spec . a-b_C9 ":           {{Name: "spec"}, {Name: "a-b_C9"}},
		`spec."a.b".'c"d'`:          {{Name: "spec"}, {Name: "a.b"}, {Name: `c"d`}},
		`"a\"b\\c"`:                 {{Name: `a"b\c`}},
		"a[name: web].b":            {{Name: "a"}, {List: true, Name: "name", Value: "web"}, {Name: "b"}},
		"a[name: *]":                {{Name: "a"}, {List: true, Name: "name", All: true}},
		`a["k 1": "*"].b`:           {{Name: "a"}, {List: true, Name: "k 1", Value: "*"}, {Name: "b"}},
		"a[port: 80]":               {{Name: "a"}, {List: true, Name: "port", Value: int64(80)}},
		`a[port: "80"]`:             {{Name: "a"}, {List: true, Name: "port", Value: "80"}},
		`a[k: ""]`:                  {{Name: "a"}, {List: true, Name: "k", Value: ""}},
		"\"\xff\"":                  {{Name: "\uFFFD"}},
		"a[p: 00000000007]":         {{Name: "a"}, {List: true, Name: "p", Value: int64(7)}},
		"a[p: 9223372036854775807]": {{Name: "a"}, {List: true, Name: "p", Value: int64(9223372036854775807)}},
	} {
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v %v, want %#v", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"a.":                            ErrTrailingDot,
		".":                             ErrUnexpected,
		"a..b":                          ErrUnexpected,
		"a b":                           ErrUnexpected,
		"1":                             ErrUnexpected,
		"[name: x]":                     ErrUnexpected,
		"a[name: x][name: y]":           ErrUnexpected,
		"a[name]":                       ErrUnexpected,
		"a[name: x":                     ErrUnexpected,
		"a[: x]":                        ErrUnexpected,
		"a[*: x]":                       ErrUnexpected,
		"a[name: 1x]":                   ErrUnexpected,
		"ä":                             ErrCharacter,
		"a\x00":                         ErrCharacter,
		`"a`:                            ErrUnterminated,
		`"a\`:                           ErrUnterminated,
		"a[p: 9223372036854775808]":     ErrInteger,
		strings.Repeat("a.", MaxLength): ErrTooLong,
	} {
		if got, err := Parse(text); !errors.Is(err, want) || got != nil {
			t.Errorf("%.40q: %v %v, want %v", text, got, err, want)
		}
	}
}

// FuzzParse: it never panics, and what it reads can be written and read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"spec.containers[name: *].image", `a."b.c"['k': "v\\"].d`, "a[p: 80]", "a[", `"\`, "\xff", "a[k: *].b[c: 1]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(l.String())
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Errorf("%q: %#v is written %q and read as %#v, %v", text, l, l, again, err)
		}
	})
}

func parse(t testing.TB, text string) Location {
	t.Helper()
	l, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConditions(t *testing.T) {
	at := parse(t, "spec.containers[name: *].image")
	test := func(sub string, c Condition) Test { return Test{parse(t, sub), c} }
	for _, c := range []struct {
		tests []Test
		want  error
	}{
		{nil, nil},
		{[]Test{test("spec", MustExist), test("spec.containers[name: *].image", MustNotExist)}, nil},
		{[]Test{test("spec.other", MustExist)}, ErrNoPrefix},
		{[]Test{test("spec.containers[name: web]", MustExist)}, ErrNoPrefix},
		{[]Test{test("spec.containers[name: *].image.x", MustExist)}, ErrNoPrefix},
		{[]Test{test("spec", MustExist), test("spec", MustNotExist)}, ErrConflict},
		{[]Test{test("spec", MustNotExist), test("spec.containers", MustExist)}, ErrConflict},
	} {
		if _, err := NewTests(at, c.tests); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.tests, err, c.want)
		}
	}
}

// sets writes one value.
type sets struct{ value any }

func (s sets) Set(fields map[string]any, name string) error { fields[name] = s.value; return nil }
func (s sets) Item() (map[string]any, error) {
	item, ok := s.value.(map[string]any)
	if !ok {
		return nil, errors.New("no item")
	}
	return item, nil
}
func (sets) Replace(items []any, i int, item map[string]any) []any {
	if i == len(items) {
		return append(items, item)
	}
	items[i] = item
	return items
}

func TestApply(t *testing.T) {
	web := func(more ...any) map[string]any {
		m := map[string]any{"name": "web"}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	for _, c := range []struct {
		before map[string]any
		at     string
		value  any
		tests  []Test
		want   string
	}{
		{map[string]any{}, "a.b.c", 1, nil, "map[a:map[b:map[c:1]]]"},
		{map[string]any{}, "a[name: web].c", 1, nil, "map[a:[map[c:1 name:web]]]"},
		{map[string]any{}, "a[name: *].c", 1, nil, "map[]"},
		{map[string]any{"a": []any{web(), web("name", "side")}}, "a[name: *].c", 1, nil, "map[a:[map[c:1 name:web] map[c:1 name:side]]]"},
		{map[string]any{"a": []any{web(), "odd"}}, "a[name: web].c", 1, nil, "map[a:[map[c:1 name:web] odd]]"},
		{map[string]any{"a": []any{web(), "odd"}}, "a[name: *].c", 1, nil, "error"},
		{map[string]any{"a": []any{web()}}, "a[name: web]", web("x", 1), nil, "map[a:[map[name:web x:1]]]"},
		{map[string]any{"a": []any{web()}}, "a[name: side]", web("name", "side"), nil, "map[a:[map[name:web] map[name:side]]]"},
		{map[string]any{"a": []any{web()}}, "a[name: web]", web("name", "other"), nil, "error"},
		{map[string]any{"a": []any{web()}}, "a[name: web]", 7, nil, "error"},
		{map[string]any{"a": "text"}, "a.b", 1, nil, "error"},
		{map[string]any{"a": map[string]any{}}, "a[name: x].b", 1, nil, "error"},
		{map[string]any{"a": nil}, "a.b", 1, nil, "error"},
		{map[string]any{}, "a.b", 1, []Test{{Location{{Name: "a"}}, MustExist}}, "map[]"},
		{map[string]any{"a": map[string]any{}}, "a.b", 1, []Test{{Location{{Name: "a"}}, MustNotExist}}, "map[a:map[]]"},
		{map[string]any{"a": map[string]any{"b": 0}}, "a.b", 1, []Test{{Location{{Name: "a"}, {Name: "b"}}, MustNotExist}}, "map[a:map[b:0]]"},
	} {
		at := parse(t, c.at)
		tests, err := NewTests(at, c.tests)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, err := Apply(c.before, at, tests, sets{c.value}); err != nil {
			got = "error"
		} else {
			got = fmt.Sprint(c.before)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.at, got, c.want)
		}
	}
	if _, err := Apply(map[string]any{}, nil, Tests{}, sets{1}); err == nil {
		t.Error("nothing is set without a location")
	}
}

func TestConflicts(t *testing.T) {
	type mutator struct {
		at   string
		last Type
		ends bool
	}
	for _, c := range []struct {
		all  []mutator
		want string
	}{
		{[]mutator{{"spec.a[name: x].b", TypeUnknown, false}, {"spec.a[name: y].c", TypeUnknown, false}}, "[]"},
		{[]mutator{{"spec.a[name: x].b", TypeUnknown, false}, {"spec.a.b", TypeUnknown, false}}, "[0 1]"},
		{[]mutator{{"spec.a[name: x].b", TypeUnknown, false}, {"spec.a[key: x].b", TypeUnknown, false}, {"spec.z", TypeUnknown, false}}, "[0 1]"},
		{[]mutator{{"spec.a", TypeUnknown, true}, {"spec.a.b", TypeUnknown, false}}, "[0 1]"},
		{[]mutator{{"spec.a", TypeUnknown, false}, {"spec.a.b", TypeUnknown, false}}, "[]"},
		{[]mutator{{"spec.a", TypeSet, false}, {"spec.a[name: x].b", TypeUnknown, false}}, "[0 1]"},
		{[]mutator{{"spec.a", TypeString, true}, {"spec.a", TypeUnknown, true}}, "[]"},
	} {
		for _, reversed := range []bool{false, true} {
			var s Schema[int]
			for i := range c.all {
				if reversed {
					i = len(c.all) - 1 - i
				}
				s.Add(i, parse(t, c.all[i].at), c.all[i].last, c.all[i].ends)
			}
			if got := fmt.Sprint(s.Conflicts(parse(t, c.all[0].at), c.all[0].last)); got != c.want {
				t.Errorf("%v: %s, want %s", c.all, got, c.want)
			}
		}
	}
}
