package falco

import (
	"fmt"
	"strings"
)

// node is a part of a condition.
type node struct {
	op    string // and, or, not, check, name, true, false
	parts []*node
	// Of a check: its field, what it compares by, and with.
	field, by string
	values    []string
	name      string // of a macro
}

// token is a word, a quoted text, or a parenthesis or comma.
type token struct {
	text   string
	quoted bool
	at     int
}

// maxCondition bounds a condition, and maxDepth how deep it nests.
const (
	maxCondition = 64 << 10
	maxDepth     = 100
)

func tokens(text string) ([]token, error) {
	var all []token
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '(' || c == ')' || c == ',':
			all = append(all, token{string(c), false, i})
			i++
		case c == '"' || c == '\'':
			begin := i
			var out strings.Builder
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && i+1 < len(text) && (text[i+1] == c || text[i+1] == '\\') {
					i++
				}
				out.WriteByte(text[i])
			}
			if i == len(text) {
				return nil, fmt.Errorf("the quote at byte %d is not closed", begin)
			}
			i++
			all = append(all, token{out.String(), true, begin})
		case strings.IndexByte("=!<>", c) >= 0:
			end := i + 1
			if end < len(text) && text[end] == '=' {
				end++
			}
			all = append(all, token{text[i:end], false, i})
			i = end
		default:
			begin, brackets := i, 0
			for i < len(text) && (brackets > 0 || strings.IndexByte(" \n\t\r(),=!<>\"'", text[i]) < 0) {
				if text[i] == '[' {
					brackets++
				} else if text[i] == ']' {
					brackets--
				}
				i++
			}
			all = append(all, token{text[begin:i], false, begin})
		}
	}
	return all, nil
}

// parser reads a condition.
type parser struct {
	tokens []token
	at     int
	depth  int
	err    error
}

func parse(text string) (*node, error) {
	if len(text) > maxCondition {
		return nil, fmt.Errorf("the condition is %d bytes long, more than %d", len(text), maxCondition)
	}
	all, err := tokens(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: all}
	n := p.or()
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("%q at byte %d is not expected", p.tokens[p.at].text, p.tokens[p.at].at)
	}
	return n, p.err
}

func (p *parser) fail(format string, args ...any) *node {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	return &node{op: "false"}
}

// word is the next token where it is one of some words, without quotes.
func (p *parser) word(words ...string) (string, bool) {
	if p.at < len(p.tokens) && !p.tokens[p.at].quoted {
		for _, w := range words {
			if strings.EqualFold(p.tokens[p.at].text, w) {
				p.at++
				return w, true
			}
		}
	}
	return "", false
}

func (p *parser) or() *node  { return p.list("or", p.and) }
func (p *parser) and() *node { return p.list("and", p.not) }

func (p *parser) list(op string, below func() *node) *node {
	n := &node{op: op, parts: []*node{below()}}
	for p.err == nil {
		if _, ok := p.word(op); !ok {
			break
		}
		n.parts = append(n.parts, below())
	}
	if len(n.parts) == 1 {
		return n.parts[0]
	}
	return n
}

func (p *parser) not() *node {
	if p.depth++; p.depth > maxDepth {
		return p.fail("it nests deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	if _, ok := p.word("not"); ok {
		return &node{op: "not", parts: []*node{p.not()}}
	}
	if _, ok := p.word("("); ok {
		n := p.or()
		if _, ok := p.word(")"); !ok {
			return p.fail("a parenthesis is not closed")
		}
		return n
	}
	return p.check()
}

func (p *parser) check() *node {
	if p.at >= len(p.tokens) {
		return p.fail("it ends where a field or a macro should be")
	}
	t := p.tokens[p.at]
	if t.quoted || strings.ContainsAny(t.text, "(),=!<>") {
		return p.fail("%q at byte %d is no field and no macro", t.text, t.at)
	}
	p.at++
	by, ok := p.word("=", "==", "!=", "<", "<=", ">", ">=", "contains", "icontains", "bcontains", "startswith", "bstartswith", "endswith", "glob", "iglob", "regex", "in", "intersects", "pmatch", "exists")
	switch {
	case !ok:
		return &node{op: "name", name: t.text}
	case by == "==":
		by = "="
	}
	n := &node{op: "check", field: t.text, by: by}
	switch by {
	case "exists":
	case "in", "intersects", "pmatch":
		if _, ok := p.word("("); !ok {
			return p.fail("%s is followed by a list in parentheses", by)
		}
		for p.err == nil {
			if _, ok := p.word(")"); ok {
				break
			}
			n.values = append(n.values, p.value())
			if _, ok := p.word(","); !ok {
				if _, ok := p.word(")"); ok {
					break
				}
				return p.fail("a list is not closed")
			}
		}
	default:
		n.values = []string{p.value()}
	}
	return n
}

func (p *parser) value() string {
	if p.at >= len(p.tokens) {
		p.fail("it ends where a value should be")
		return ""
	}
	t := p.tokens[p.at]
	if !t.quoted && (t.text == "(" || t.text == ")" || t.text == ",") {
		p.fail("%q at byte %d is no value", t.text, t.at)
		return ""
	}
	p.at++
	return t.text
}

// folded is a condition without what is always true or false.
func folded(n *node) *node {
	switch n.op {
	case "not":
		below := folded(n.parts[0])
		switch below.op {
		case "true":
			return &node{op: "false"}
		case "false":
			return &node{op: "true"}
		}
		return &node{op: "not", parts: []*node{below}}
	case "and", "or":
		ends, goes := "false", "true"
		if n.op == "or" {
			ends, goes = goes, ends
		}
		out := &node{op: n.op}
		for _, part := range n.parts {
			switch part = folded(part); part.op {
			case ends:
				return part
			case goes:
			default:
				out.parts = append(out.parts, part)
			}
		}
		switch len(out.parts) {
		case 0:
			return &node{op: goes}
		case 1:
			return out.parts[0]
		}
		return out
	}
	return n
}
