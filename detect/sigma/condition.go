package sigma

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxDepth is how deep a condition nests.
const maxDepth = 50

// parser reads a condition and writes it as CEL.
type parser struct {
	tokens []string
	// selections as CEL, by name.
	selections map[string]string
	depth      int
	err        error
}

func tokens(text string) (all []string) {
	text = strings.NewReplacer("(", " ( ", ")", " ) ", "|", " | ").Replace(text)
	return strings.Fields(text)
}

// condition writes a condition over selections as CEL.
func condition(text string, selections map[string]string) (string, error) {
	p := &parser{tokens: tokens(text), selections: selections}
	out := p.or()
	if p.err == nil && len(p.tokens) > 0 {
		if p.tokens[0] == "|" {
			return "", fmt.Errorf("its condition counts (| %s), which Sigma itself has given up: write a DetectionRule with count or distinct", strings.Join(p.tokens[1:], " "))
		}
		p.fail("%q is not expected in its condition", p.tokens[0])
	}
	return out, p.err
}

func (p *parser) fail(format string, args ...any) string {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.tokens = nil
	return "false"
}

func (p *parser) word(words ...string) bool {
	if len(p.tokens) > 0 && slices.Contains(words, strings.ToLower(p.tokens[0])) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) or() string {
	all := []string{p.and()}
	for p.word("or") {
		all = append(all, p.and())
	}
	return joined(all, " || ")
}

func (p *parser) and() string {
	all := []string{p.not()}
	for p.word("and") {
		all = append(all, p.not())
	}
	return joined(all, " && ")
}

func joined(all []string, by string) string {
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, by) + ")"
}

func (p *parser) not() string {
	if p.depth++; p.depth > maxDepth {
		return p.fail("its condition nests deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.word("not"):
		return "!(" + p.not() + ")"
	case p.word("("):
		inner := p.or()
		if !p.word(")") {
			return p.fail("a parenthesis of its condition is not closed")
		}
		return inner
	case len(p.tokens) == 0:
		return p.fail("its condition ends too early")
	}
	first := p.tokens[0]
	p.tokens = p.tokens[1:]
	lower := strings.ToLower(first)
	if (lower == "1" || lower == "any" || lower == "all") && p.word("of") {
		return p.of(lower)
	}
	if s, ok := p.selections[first]; ok {
		return s
	}
	return p.fail("its condition names %q, which it does not have", first)
}

// of is 1 of, any of and all of.
func (p *parser) of(quantity string) string {
	if len(p.tokens) == 0 {
		return p.fail("its condition ends too early")
	}
	pattern := p.tokens[0]
	p.tokens = p.tokens[1:]
	var all []string
	for _, name := range sorted(p.selections) {
		// What begins with _ is not meant by them.
		matches, err := path.Match(pattern, name)
		if err != nil {
			return p.fail("%q in its condition is no pattern", pattern)
		}
		if matches || pattern == "them" && !strings.HasPrefix(name, "_") {
			all = append(all, p.selections[name])
		}
	}
	if len(all) == 0 {
		return p.fail("its condition names %q, and nothing is called so", pattern)
	}
	if quantity == "all" {
		return joined(all, " && ")
	}
	return joined(all, " || ")
}
