package fix

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	yaml3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// style is how a file is written, so that what is added looks like what is there.
type style struct {
	json bool
	eol  string
	// step is how far a mapping is indented below its name, and dash how far the dashes
	// of a list are.
	step, dash int
}

// styleOf takes the style of the first mapping and the first list of an object.
func styleOf(t *cluster.Tree, windows bool) style {
	s := style{json: t.JSON(), eol: "\n", step: 2}
	if windows {
		s.eol = "\r\n"
	}
	maps, lists := false, false
	var look func(n *yaml3.Node, depth int)
	look = func(n *yaml3.Node, depth int) {
		if depth > 50 || n.Kind == yaml3.AliasNode || n.Style&yaml3.FlowStyle != 0 {
			return
		}
		for i, child := range n.Content {
			if n.Kind == yaml3.MappingNode && i%2 == 1 && child.Style&yaml3.FlowStyle == 0 && len(child.Content) > 0 {
				key := n.Content[i-1]
				switch in := child.Column - key.Column; {
				case child.Kind == yaml3.MappingNode && !maps && in > 0 && in <= 8:
					s.step, maps = in, true
				case child.Kind == yaml3.SequenceNode && !lists && in >= 0 && in <= 8:
					s.dash, lists = in, true
				}
			}
			look(child, depth+1)
		}
	}
	look(t.Root, 0)
	return s
}

// first are the fields that people write first.
var first = []string{"apiVersion", "kind", "metadata", "name", "namespace", "image"}

// inOrder are the names of fields as they are written.
func inOrder(fields map[string]any) []string {
	return slices.SortedFunc(maps.Keys(fields), func(a, b string) int {
		rank := func(name string) int {
			if i := slices.Index(first, name); i >= 0 {
				return i
			}
			return len(first)
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// behindName is a value behind the colon of its name, whose column is given.
func (s style) behindName(v any, column int) string {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 && !s.json {
			return s.eol + strings.TrimSuffix(s.fields(v, column+s.step), s.eol)
		}
	case []any:
		if len(v) > 0 && !s.json {
			var b strings.Builder
			for _, item := range v {
				b.WriteString(s.item(item, column+s.dash))
			}
			return s.eol + strings.TrimSuffix(b.String(), s.eol)
		}
	}
	return " " + s.inline(v, s.json)
}

// fields are lines of a mapping at a column.
func (s style) fields(fields map[string]any, column int) string {
	var b strings.Builder
	for _, name := range inOrder(fields) {
		b.WriteString(strings.Repeat(" ", column) + s.scalar(name, false) + ":" + s.behindName(fields[name], column) + s.eol)
	}
	return b.String()
}

// item are lines of an item of a list whose dashes are at a column.
func (s style) item(v any, column int) string {
	lead := strings.Repeat(" ", column) + "- "
	if fields, ok := v.(map[string]any); ok && len(fields) > 0 {
		return lead + strings.TrimLeft(s.fields(fields, column+2), " ")
	}
	return lead + s.inline(v, false) + s.eol
}

// entries are fields as they stand in braces.
func (s style) entries(fields map[string]any) (all []string) {
	for _, name := range inOrder(fields) {
		all = append(all, s.scalar(name, true)+": "+s.inline(fields[name], true))
	}
	return all
}

// inline is a value on one line.
func (s style) inline(v any, flow bool) string {
	switch v := v.(type) {
	case map[string]any:
		return "{" + strings.Join(s.entries(v), ", ") + "}"
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			texts[i] = s.inline(v[i], true)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	return s.scalar(v, flow)
}

// scalar is a text, number, boolean or null.
func (s style) scalar(v any, flow bool) string {
	text, ok := v.(string)
	if !ok {
		return number(v)
	}
	if !s.json && plain(text, flow) {
		return text
	}
	return quoted(text)
}

func number(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v) // it is read again, and refused there
	}
	return string(data)
}

// like is a text in the quotes that another one has.
func (s style) like(quote byte, text string, flow bool) string {
	switch {
	case s.json || quote == '"':
		return quoted(text)
	case quote == '\'' && !strings.ContainsFunc(text, unprintable):
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return s.scalar(text, flow)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// plain reports whether a text means itself without quotes, to readers of YAML 1.1 as
// to those of 1.2.
func plain(text string, flow bool) bool {
	if text == "" || strings.ContainsFunc(text, unprintable) || strings.TrimSpace(text) != text {
		return false
	}
	if strings.ContainsAny(text[:1], "!&*-?|>@`\"'%#{}[],:=~<") || strings.Contains(text, ": ") || strings.Contains(text, " #") || strings.HasSuffix(text, ":") {
		return false
	}
	if flow && strings.ContainsAny(text, ",[]{}:") {
		return false
	}
	var node yaml3.Node
	if yaml3.Unmarshal([]byte(text), &node) != nil || len(node.Content) != 1 || node.Content[0].Kind != yaml3.ScalarNode || node.Content[0].ShortTag() != "!!str" {
		return false
	}
	var value any
	err := yaml.Unmarshal([]byte(text), &value)
	same, ok := value.(string)
	return err == nil && ok && same == text && !slices.Contains([]string{"y", "n"}, strings.ToLower(text))
}

// quoted is a text in double quotes, as JSON and YAML both read it.
func quoted(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(text) != nil {
		return `""` // it is read again, and refused there
	}
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		if unprintable(r) && r != ' ' && r <= 0xFFFF {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
