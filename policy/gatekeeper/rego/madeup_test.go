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
				return m.pick("", "not ") + fmt.Sprintf("r%d[%s]", i, m.term())
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

// madeUp asks some templates that are made up about objects that are.
func madeUp(t testing.TB, r *rand.Rand, templates int, counts map[string]int) {
	c, err := rego.NewCompiler(rego.Options{Without: forbidden})
	if err != nil {
		t.Fatal(err)
	}
	m := &maker{chance: chance{r}}
	object := func() map[string]any {
		return map[string]any{"a": m.tree(3), "b": m.tree(3), "c": m.tree(3)}
	}
	for range templates {
		text := m.template()
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
			prune.others = append(prune.others, object())
		}
		for range 8 {
			prune.hold(t, p, text, reads, map[string]any{"object": object(), "oldObject": nil, "namespaceObject": map[string]any{}, "operation": "CREATE"}, nil)
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
