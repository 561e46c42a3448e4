package sigma

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-io/gatehouse/detect"
)

func quoted(text string) string { return detect.Quoted(text) }

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// modifiers of a field.
type modifiers struct {
	by    string // "", contains, startswith, endswith, re, cidr, exists, lt, lte, gt, gte
	all   bool
	cased bool
}

func parseModifiers(list []string) (m modifiers, err error) {
	for _, one := range list {
		switch one {
		case "all":
			m.all = true
		case "cased":
			m.cased = true
		case "contains", "startswith", "endswith", "re", "cidr", "exists", "lt", "lte", "gt", "gte":
			if m.by != "" {
				return m, fmt.Errorf("the modifiers %s and %s do not go together", m.by, one)
			}
			m.by = one
		default:
			return m, fmt.Errorf("the modifier %s is not translated", one)
		}
	}
	return m, nil
}

// compare writes the comparison of one value with what goes into the hole.
func (m modifiers) compare(value string, number bool) (string, error) {
	if number {
		return m.compareNumber(value)
	}
	field, fold := hole+".lowerAscii()", strings.ToLower
	if m.cased {
		field, fold = hole, func(s string) string { return s }
	}
	switch m.by {
	case "exists":
		if value == "false" {
			return "!(" + there + ")", nil
		}
		return there, nil
	case "re":
		if _, err := regexp.Compile(value); err != nil {
			return "", fmt.Errorf("the pattern %q is none that is known here", value)
		}
		return hole + ".matches(" + quoted(value) + ")", nil
	case "cidr":
		if _, err := netip.ParsePrefix(value); err != nil {
			return "", fmt.Errorf("%q is no network", value)
		}
		return "(isIP(" + hole + ") && cidr(" + quoted(value) + ").containsIP(" + hole + "))", nil
	case "lt", "lte", "gt", "gte":
		return "", fmt.Errorf("%s compares a text with a number", m.by)
	}
	texts, wild := wildcards(fold(value))
	switch {
	case m.by == "contains":
		texts = append([]string{""}, append(texts, "")...)
	case m.by == "startswith":
		texts = append(texts, "")
	case m.by == "endswith":
		texts = append([]string{""}, texts...)
	}
	texts = merged(texts)
	n := len(texts)
	switch {
	case wild:
		return hole + ".matches(" + quoted(pattern(value, m)) + ")", nil
	case n == 1:
		return field + " == " + quoted(texts[0]), nil
	case n == 2 && texts[0] == "" && texts[1] == "":
		return there, nil
	case n == 2 && texts[1] == "":
		return field + ".startsWith(" + quoted(texts[0]) + ")", nil
	case n == 2 && texts[0] == "":
		return field + ".endsWith(" + quoted(texts[1]) + ")", nil
	case n == 3 && texts[0] == "" && texts[2] == "":
		return field + ".contains(" + quoted(texts[1]) + ")", nil
	}
	return hole + ".matches(" + quoted(pattern(value, m)) + ")", nil
}

// merged is a list of texts between stars in which there are no empty ones inside.
func merged(texts []string) []string {
	if len(texts) < 3 {
		return texts
	}
	out := []string{texts[0]}
	for _, t := range texts[1 : len(texts)-1] {
		if t != "" {
			out = append(out, t)
		}
	}
	return append(out, texts[len(texts)-1])
}

func (m modifiers) compareNumber(value string) (string, error) {
	by := map[string]string{"": "==", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}[m.by]
	if by == "" && (m.by == "startswith" || m.by == "contains" || m.by == "endswith") {
		function := map[string]string{"startswith": "startsWith", "contains": "contains", "endswith": "endsWith"}[m.by]
		return "string(" + hole + ")." + function + "(" + quoted(value) + ")", nil
	}
	if m.by == "exists" {
		return map[bool]string{true: hole + " == 0", false: hole + " != 0"}[value == "false"], nil
	}
	if by == "" {
		return "", fmt.Errorf("the modifier %s does not go with a number", m.by)
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return "", fmt.Errorf("it can never fire: responseStatus.code is a number, and never %q", value)
	}
	return hole + " " + by + " " + strconv.FormatInt(n, 10), nil
}

// wildcards cuts a value at its stars; wild says that it has question marks too. A
// backslash takes the meaning of what is behind it.
func wildcards(value string) (texts []string, wild bool) {
	var out strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value) && strings.IndexByte(`*?\`, value[i+1]) >= 0:
			i++
			out.WriteByte(value[i])
		case c == '*':
			texts = append(texts, out.String())
			out.Reset()
		case c == '?':
			wild = true
		default:
			out.WriteByte(c)
		}
	}
	return append(texts, out.String()), wild
}

// pattern is a value with wildcards as a regular expression.
func pattern(value string, m modifiers) string {
	var out strings.Builder
	out.WriteString("(?s")
	if !m.cased {
		out.WriteString("i")
	}
	out.WriteString(")")
	if m.by != "contains" && m.by != "endswith" {
		out.WriteString("^")
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value) && strings.IndexByte(`*?\`, value[i+1]) >= 0:
			i++
			out.WriteString(regexp.QuoteMeta(value[i : i+1]))
		case c == '*':
			out.WriteString(".*")
		case c == '?':
			out.WriteString(".")
		default:
			end := i + 1
			for end < len(value) && strings.IndexByte(`\*?`, value[end]) < 0 {
				end++
			}
			out.WriteString(regexp.QuoteMeta(value[i:end]))
			i = end - 1
		}
	}
	if m.by != "contains" && m.by != "startswith" {
		out.WriteString("$")
	}
	return out.String()
}
