package falco

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-io/gatehouse/detect"
)

// emit writes a condition as CEL.
func emit(n *node) (string, error) {
	switch n.op {
	case "true", "false":
		return n.op, nil
	case "not":
		below, err := emit(n.parts[0])
		return "!(" + below + ")", err
	case "and", "or":
		var parts []string
		for _, p := range n.parts {
			text, err := emit(p)
			if err != nil {
				return "", err
			}
			if p.op == "and" || p.op == "or" {
				text = "(" + text + ")"
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, map[string]string{"and": " && ", "or": " || "}[n.op]), nil
	}
	return emitCheck(n)
}

// emitCheck writes a comparison. What an event does not have compares as false.
func emitCheck(n *node) (string, error) {
	f, err := fieldOf(n.field)
	if err != nil {
		return "", err
	}
	if !f.list {
		return emitText(f.cel, n)
	}
	switch n.by {
	case "exists":
		return f.cel + ".size() > 0", nil
	case "intersects":
		return f.cel + ".exists(v, v in " + detect.QuotedList(n.values) + ")", nil
	case "in":
		// All that the event has must be in the list.
		return "(" + f.cel + ".size() > 0 && " + f.cel + ".all(v, v in " + detect.QuotedList(n.values) + "))", nil
	}
	one, err := emitText("v", n)
	if err != nil {
		return "", err
	}
	return f.cel + ".exists(v, " + one + ")", nil
}

// emitText writes a comparison of one text.
func emitText(cel string, n *node) (string, error) {
	value := ""
	if len(n.values) > 0 {
		value = n.values[0]
	}
	there := cel + ` != ""`
	switch n.by {
	case "exists":
		return there, nil
	case "=":
		if value == "" {
			return "false", nil
		}
		return cel + " == " + detect.Quoted(value), nil
	case "!=":
		return "(" + there + " && " + cel + " != " + detect.Quoted(value) + ")", nil
	case "in", "intersects":
		if len(n.values) == 1 {
			return cel + " == " + detect.Quoted(n.values[0]), nil
		}
		values := slices.DeleteFunc(slices.Clone(n.values), func(v string) bool { return v == "" })
		if len(values) == 0 {
			return "false", nil
		}
		return cel + " in " + detect.QuotedList(values), nil
	case "contains":
		return cel + ".contains(" + detect.Quoted(value) + ")", nil
	case "icontains":
		return cel + ".lowerAscii().contains(" + detect.Quoted(strings.ToLower(value)) + ")", nil
	case "startswith":
		return cel + ".startsWith(" + detect.Quoted(value) + ")", nil
	case "endswith":
		return cel + ".endsWith(" + detect.Quoted(value) + ")", nil
	case "pmatch":
		var any []string
		for _, v := range n.values {
			v = strings.TrimSuffix(v, "/")
			any = append(any, cel+" == "+detect.Quoted(v), cel+".startsWith("+detect.Quoted(v+"/")+")")
		}
		if any == nil {
			return "false", nil
		}
		return "(" + strings.Join(any, " || ") + ")", nil
	case "glob", "iglob", "regex":
		return emitPattern(cel, n.by, value)
	case "<", "<=", ">", ">=":
		if _, err := strconv.ParseInt(value, 10, 64); err != nil {
			return "", fmt.Errorf("%s is compared with %q, which is no number", n.field, value)
		}
		return "(" + cel + `.matches("^-?[0-9]{1,18}$") && int(` + cel + ") " + n.by + " " + value + ")", nil
	}
	return "", fmt.Errorf("the comparison %s is not translated", n.by)
}

func emitPattern(cel, by, value string) (string, error) {
	pattern := "^(?:" + value + ")$"
	if by != "regex" {
		var out strings.Builder
		for _, r := range value {
			switch r {
			case '*':
				out.WriteString(".*")
			case '?':
				out.WriteByte('.')
			default:
				out.WriteString(regexp.QuoteMeta(string(r)))
			}
		}
		pattern = "(?s)^" + out.String() + "$"
		if by == "iglob" {
			pattern = "(?i)" + pattern
		}
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return "", fmt.Errorf("the pattern %q is none that is known here", value)
	}
	return cel + ".matches(" + detect.Quoted(pattern) + ")", nil
}
