package rego_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gatehouse-io/gatehouse/policy/gatekeeper/rego"
)

// maker makes up templates: rules of all kinds that use each other, of expressions of all
// kinds about an object whose fields are a, b and c, at any depth.
type maker struct {
	chance
	vars  []string // in scope
	n     int
	below int // rules of that number and above can be used: OPA allows no circles
	kinds []string
}

func (m *maker) pick(from ...string) string { return from[m.IntN(len(from))] }

func (m *maker) fresh() string {
	m.n++
	return fmt.Sprint("v", m.n)
}

// known is a variable in scope, or seldom one that may be.
func (m *maker) known() string {
	if len(m.vars) == 0 || m.IntN(12) == 0 {
		return m.pick("x", "y")
	}
	return m.vars[m.IntN(len(m.vars))]
}

func (m *maker) base() string {
	switch m.IntN(8) {
	case 0, 1:
		return "input.review.object"
	case 2:
		if i := m.rule(); i >= 0 {
			switch m.kinds[i] {
			case "set", "object", "fields":
				return fmt.Sprintf("r%d[%s]", i, m.pick("_", m.known(), m.fresh(), `"a"`))
			case "value":
				return fmt.Sprint("r", i)
			}
		}
	}
	return m.known()
}

func (m *maker) rule() int {
	if m.below >= len(m.kinds) {
		return -1
	}
	return m.below + m.IntN(len(m.kinds)-m.below)
}

func (m *maker) ref() string {
	text := m.base()
	for range m.IntN(3) {
		text += m.pick(".a", ".b", `["c"]`, "[_]", "[0]", "[i]", "["+m.known()+"]", ".a", ".b")
	}
	return text
}

func (m *maker) term() string {
	switch m.IntN(10) {
	case 0:
		return m.pick(`"a"`, `"b"`, "1", "0", "true", "false", "null", "[]", `{"a"}`)
	case 1:
		return fmt.Sprintf("[%s, %s]", m.ref(), m.known())
	case 2:
		return fmt.Sprintf(`{"a": %s, "b": %s}`, m.ref(), m.known())
	case 3:
		return fmt.Sprintf(`object.get(%s, %s, %s)`, m.ref(), m.pick(`"a"`, `["a", "b"]`, m.known()), m.pick("1", m.known(), `"a"`))
	case 4:
		return fmt.Sprintf(`sprintf("%%v", [%s])`, m.ref())
	case 5:
		return fmt.Sprintf("count(%s)", m.ref())
	case 6:
		if i := m.rule(); i >= 0 && m.kinds[i] == "function" {
			return fmt.Sprintf("r%d(%s, %s)", i, m.ref(), m.pick(m.known(), `"a"`, `"b"`))
		}
	case 7:
		if i := m.rule(); i >= 0 && m.kinds[i] == "set" && m.IntN(2) == 0 {
			w := m.fresh()
			return fmt.Sprintf(m.pick("[%s | %s := r%d[_]]", "{%s | %s := r%d[_]}"), w, w, i)
		}
		before := m.vars
		defer func() { m.vars = before }()
		body := m.body(1 + m.IntN(2))
		return m.pick(fmt.Sprintf("{%s | %s}", m.known(), body), fmt.Sprintf("[%s | %s]", m.known(), body), fmt.Sprintf("{%s: %s | %s}", m.known(), m.known(), body))
	}
	return m.ref()
}

func (m *maker) expression() string {
	switch m.IntN(14) {
	case 0, 1, 2:
		text := m.term()
		v := m.fresh()
		m.vars = append(m.vars, v)
		return v + m.pick(" := ", " := ", " = ") + text
	case 3:
		return m.term() + m.pick(" == ", " != ", " < ", " = ") + m.term()
	case 4:
		return "not " + m.ref()
	case 5:
		return m.ref()
	case 6:
		return m.pick("", "not ") + fmt.Sprintf("%s(%s)", m.pick("is_string", "is_object", "is_array", "is_boolean"), m.ref())
	case 7:
		return m.pick("", "not ") + fmt.Sprintf(`startswith(%s, "a")`, m.ref())
	case 8:
		if i := m.rule(); i >= 0 {
			switch m.kinds[i] {
			case "function":
				return m.pick("", "not ") + fmt.Sprintf("r%d(%s, %s)", i, m.ref(), m.pick(m.known(), `"a"`, `"b"`))
			case "fields":
				v := m.fresh()
				m.vars = append(m.vars, v)
				return fmt.Sprintf(`r%d[{"a": %s, "b": %s}]`, i, v, m.pick(m.known(), `"a"`, `"b"`, m.fresh()))
			case "set":
				if m.IntN(2) == 0 {
					v := m.fresh()
					m.vars = append(m.vars, v)
					return fmt.Sprintf(`%s := [w%s | w%s := r%d[_]]; %s[0]%s == %s`, v, v, v, i, v, m.pick("", ".a", ".b"), m.pick(`"a"`, "true", m.ref()))
				}
				return m.pick("", "not ") + fmt.Sprintf("r%d[%s]", i, m.pick(m.ref(), m.ref(), m.term()))
			}
		}
		return m.ref()
	case 9:
		text := m.ref()
		v, k := m.fresh(), m.fresh()
		m.vars = append(m.vars, v)
		return m.pick("some "+v+" in "+text, "some "+k+", "+v+" in "+text)
	case 10:
		text, v, before := m.ref(), m.fresh(), m.vars
		defer func() { m.vars = before }()
		m.vars = append(m.vars[:len(m.vars):len(m.vars)], v)
		return fmt.Sprintf("every %s in %s { %s }", v, text, m.body(1))
	case 11:
		return m.ref() + " in " + m.ref()
	case 12:
		return fmt.Sprintf("count(%s) > %d", m.term(), m.IntN(3))
	}
	v := m.known()
	return v + m.pick("", ".a", ".b")
}

func (m *maker) body(n int) string {
	var all []string
	for range n {
		all = append(all, m.expression())
	}
	return strings.Join(all, "; ")
}

// scoped is a body of a rule, whose variables are its own.
func (m *maker) scoped(parameters ...string) string {
	m.vars = append([]string{}, parameters...)
	v := m.fresh()
	text := v + " := " + m.pick("input.review.object.a[_]", "input.review.object.b[_]", "input.review.object.a", "input.review.object.b", "input.review.object", "input.review.object.c[_].a", "input.review.object[_]")
	m.vars = append(m.vars, v)
	for range m.IntN(3) {
		text += "; " + m.expression()
	}
	return text
}

func (m *maker) template() string {
	m.vars, m.n, m.kinds = nil, 0, nil
	for range m.IntN(4) {
		m.kinds = append(m.kinds, m.pick("set", "set", "object", "value", "function", "function", "fields"))
	}
	lines := []string{"import future.keywords"}
	for i, kind := range m.kinds {
		m.below = i + 1
		for range 1 + m.IntN(2) {
			switch kind {
			case "set":
				body := m.scoped()
				lines = append(lines, fmt.Sprintf("r%d[%s] { %s }", i, m.pick(m.known(), m.known(), m.term()), body))
			case "fields":
				body := m.scoped()
				lines = append(lines, fmt.Sprintf(`r%d[{"a": %s, "b": %s}] { %s }`, i, m.known(), m.pick(m.known(), `"a"`, `"b"`), body))
			case "object":
				body := m.scoped()
				lines = append(lines, fmt.Sprintf("r%d[%s] = %s { %s }", i, m.known(), m.term(), body))
			case "value":
				body := m.scoped()
				lines = append(lines, fmt.Sprintf("r%d = %s { %s }", i, m.pick("true", m.term(), m.known(), m.known()), body))
			case "function":
				body := m.scoped("p", "q")
				if m.IntN(2) == 0 {
					m.vars = []string{"p", "q"}
					body = m.body(1 + m.IntN(3))
				}
				line := fmt.Sprintf("r%d(p, %s) = %s { %s }", i, m.pick("q", "q", `"a"`), m.pick("true", "1", m.term(), m.known()), body)
				if m.IntN(4) == 0 {
					line += fmt.Sprintf(" else = %s { %s }", m.pick("false", m.known()), m.body(1))
				}
				lines = append(lines, line)
			}
		}
	}
	m.below = 0
	for range 1 + m.IntN(2) {
		body := m.scoped()
		lines = append(lines, fmt.Sprintf(`violation[{"msg": %s}] { %s }`, m.pick(`"x"`, m.term(), fmt.Sprintf(`sprintf("%%v", [%s])`, m.ref())), body))
	}
	return strings.Join(lines, "\n")
}

// helpers are rules that idioms use.
const helpers = `
all[v] { v := input.review.object.a[_] }
texts[v.a] { v := input.review.object.a[_] }
found[{"k": v.a, "v": v.b, "m": sprintf("%v", [v])}] { v := input.review.object.a[_] }
one = v.a { v := input.review.object.a[_] }
either(x) = x.a { x.b }
either(x) = x.b { x.a }
good(x) { y := all[_]; either(y) == x }
same(x, x) = true
has(x) { found[{"k": x, "v": _, "m": _}] }
under[k] = v { v := input.review.object.b[k] }
deep(x) = [x, [x.a]]
pick(x, f) = x[f]
`

// idioms are what is hardest to follow: where it counts which elements are equal, in which
// order they are, and whether rules contradict each other.
var idioms = []string{
	"all[O.b]", "texts[O.b.a]", "texts[O.b]", `not texts["a"]`, `texts["a"]`, "all[O.c[_]]", `all[{"a": "a"}]`,
	"count(all) > 1", "count(texts) == 1", "count({x | x := all[_]; x.a}) == 1", "count([x | x := all[_]; x.a]) == 2", "count(O.a) == 2", "count(O.b) == 1", "count(one) == 1",
	`l := [x | x := all[_]]; l[0].a == "a"`, `l := [x.a | x := all[_]]; l[0] == "a"`, `l := [x | some x in all]; l[1].b`, `l := [x | x := {y | y := O.a[_]}[_]]; l[0].a == "a"`, "max(texts) == O.b",
	`one == "a"`, "one", "not one", `either(O.b) == "a"`, "either(all[_])", "not either(O.a[_])", `good("a")`, `not good("a")`, "good(true)", "same(O.b, O.a[_])", "same(O.b.a, one)", "not same(O.b.a, O.a[0].a)",
	"v := either(O.b)", "v := one", "v := [either(x) | x := O.a[_]]", "v := good(O.b)",
	`has("a")`, "has(O.b)", "has(O.b.a)", `found[{"k": k, "v": "a", "m": _}]`, `found[{"k": "a", "v": _, "m": n}]; n != ""`, `found[{"k": _, "v": _, "m": n}]; contains(n, "ab")`, `not has(O.b)`,
	"O.b in all", "O.b.a in texts", "some x in all; x.a == O.b", "every x in all { x.a }", `every x in O.a { x.a == "a" }`, "every x in texts { is_string(x) }", `some k, x in O.b; k == "a"; x`,
	"O.b[k]; O.a[_][k]", "O.a[i].a; O.c[i]", "O.b[k] == O.a[_][k]", `{"a": x, "b": x} = O.a[_]`, `[x, x] = O.c`, "x = O.a[_].a; x = O.b.a", "x = O.b; all[x]", `under.a`, `under[k] == "a"`, "under == {}", "not under.b",
	`count({x | O.b[x] == "a"}) + count({x | x = "b"}) > 1`, `deep(O.b)[1][0] == "a"`, "deep(O.b)[0].b", `pick(O.b, "a")`, `pick(O.b, "a") == "b"`, "pick(O.b, O.a[_].a)", `pick(O.a[_], "b")`, "not pick(all, O.b)",
	`m := {x.a: x.b | x := O.a[_]}; m.a`, `m := {k: 1 | O.b[k]}; m.a`, `object.get(O.b, "a", true)`, `object.get(O.b, ["c", 0], "a") == "a"`, `object.get(O, "b", "a") == "a"`, `is_object(O.b)`, `not is_string(O.a[_].a)`,
	`v := sprintf("%v", [O.b]); v == "a"`, `v := sprintf("%v", [all]); contains(v, "ab")`, `count(sprintf("%v", [O.b])) > 2`, "all == {O.b}", "texts - {O.b} == set()", `O.a[0].a < O.a[1].a`, "O.b", "not O.b", "O.b.a", "not O.a[_].b",
	`walk(O.b, [p, "a"]); count(p) == 1`, `startswith(O.a[_].a, "a")`, `input.review.object[f] == "a"; f != "a"`, `f := ["b", "c"][_]; O[f].a`, `O["b"]["a"] == O["a"][_]["a"]`,
}

// idiomatic is a template of a few idioms.
func (m *maker) idiomatic() string {
	lines := []string{"import future.keywords", helpers}
	for range 1 + m.IntN(2) {
		var all []string
		for range 1 + m.IntN(2) {
			all = append(all, idioms[m.IntN(len(idioms))])
		}
		body := strings.ReplaceAll(strings.Join(all, "; "), "O", "input.review.object")
		lines = append(lines, fmt.Sprintf(`violation[{"msg": "x"}] { %s }`, body))
	}
	return strings.Join(lines, "\n")
}

// tree is an object as the templates are about.
func (m *maker) tree(depth int) any {
	switch m.IntN(5) {
	case 0, 1:
		if depth > 0 {
			out := map[string]any{}
			for _, key := range []string{"a", "b", "c"} {
				if m.IntN(4) > 0 {
					out[key] = m.tree(depth - 1)
				}
			}
			return out
		}
	case 2, 3:
		if depth > 0 {
			out := []any{}
			for range m.IntN(4) {
				out = append(out, m.tree(depth-1))
			}
			return out
		}
	}
	return []any{"a", "b", "ab", true, false, int64(0), int64(1), nil, "c"}[m.IntN(9)]
}

// object is one of which the expressions are likely to find something: lists of what has
// fields, of few values, and now and then anything.
func (m *maker) object() map[string]any {
	plain := func() any { return []any{"a", "b", "ab", "a", true, false, int64(1)}[m.IntN(7)] }
	part := func() any {
		switch m.IntN(6) {
		case 0:
			return plain()
		case 1:
			return m.tree(2)
		}
		out := map[string]any{"a": plain()}
		if m.IntN(2) == 0 {
			out["b"] = plain()
		}
		if m.IntN(3) == 0 {
			out["c"] = []any{plain(), plain()}
		}
		return out
	}
	out := map[string]any{"a": []any{part(), part()}, "b": part(), "c": []any{plain(), part()}}
	if m.IntN(3) == 0 {
		out[m.pick("a", "b", "c")] = m.tree(3)
	}
	return out
}

// madeUp asks some templates that are made up about objects that are.
func madeUp(t testing.TB, r *rand.Rand, templates int, counts map[string]int) {
	c, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		t.Fatal(err)
	}
	m := &maker{chance: chance{r}}
	for range templates {
		text := m.template()
		if m.IntN(3) == 0 {
			text = m.idiomatic()
		}
		p, err := c.Compile(&template("Made", text).Spec.Targets[0])
		if err != nil {
			counts["templates that do not compile"]++
			continue
		}
		reads, ok := p.Reads()
		if !ok {
			counts["templates that are not known"]++
			continue
		}
		counts["templates"]++
		prune := &pruning{chance: m.chance, texts: []string{"a", "b", "ab", "c"}, counts: counts}
		for range 8 {
			prune.others = append(prune.others, m.object())
		}
		for range 8 {
			prune.hold(t, p, text, reads, map[string]any{"object": m.object(), "oldObject": nil, "namespaceObject": map[string]any{}, "operation": "CREATE"}, nil)
		}
	}
}

// TestMadeUpTemplates is TestUnreadPartsDoNotCount for templates that nobody would write.
func TestMadeUpTemplates(t *testing.T) {
	counts := map[string]int{}
	madeUp(t, rand.New(rand.NewPCG(7, 8)), 2000, counts)
	t.Logf("%v", counts)
	if counts["templates"] < 300 || counts["said true"] < 300 || counts["said false"] < 300 {
		t.Errorf("there is too little to compare: %v", counts)
	}
}

// FuzzMadeUpTemplates is TestMadeUpTemplates with what the fuzzer thinks of.
func FuzzMadeUpTemplates(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, one, two uint64) {
		madeUp(t, rand.New(rand.NewPCG(one, two)), 5, map[string]int{})
	})
}
