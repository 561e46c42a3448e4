package fix

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// editor finds the edits that make one object another.
type editor struct {
	tree  *cluster.Tree
	data  []byte
	lines []int
	style style
	edits []edit
}

// slot is where a value stands.
type slot struct {
	key  *yaml.Node // the name of the field; nil for items of lists and for the object
	node *yaml.Node
	// flow says that it is within braces or brackets.
	flow bool
	// indent is the column, from 0, of the mapping's names or the list's dashes that it
	// is among; -1 for the object.
	indent int
	path   string
}

func newEditor(t *cluster.Tree, data []byte, lines []int) *editor {
	e := &editor{tree: t, data: data, lines: lines}
	e.style = styleOf(t, bytes.Contains(data, []byte("\r\n")))
	return e
}

func (s slot) refuse(format string, args ...any) error {
	what := s.path
	if what == "" {
		what = "the object"
	}
	return fmt.Errorf("%s %s", what, fmt.Sprintf(format, args...))
}

// change edits what stands in a slot from one value to another.
func (e *editor) change(s slot, before, after any) error {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	switch {
	case s.node.Kind == yaml.AliasNode:
		return s.refuse("is an alias: what it stands for is written elsewhere")
	case s.node.Anchor != "":
		return s.refuse("has an anchor: other fields may be the same text")
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok && s.node.Kind == yaml.MappingNode && len(s.node.Content) > 0 {
			return e.changeFields(s, b, a)
		}
	case []any:
		if a, ok := after.([]any); ok && s.node.Kind == yaml.SequenceNode && len(s.node.Content) > 0 {
			return e.changeItems(s, b, a)
		}
	}
	return e.replace(s, after)
}

// offset is where a node begins in the file; an error where its place is not one.
func (e *editor) offset(n *yaml.Node) (int, error) {
	line, col := e.tree.Place(n)
	if line < 1 || line > len(e.lines) {
		return 0, errPlace
	}
	at := e.lines[line-1]
	if line == 1 && bytes.HasPrefix(e.data, []byte("\ufeff")) {
		at += 3
	}
	for range col - 1 {
		if at >= len(e.data) || e.data[at] == '\n' {
			return 0, errPlace
		}
		_, size := utf8.DecodeRune(e.data[at:])
		at += size
	}
	return at, nil
}

var errPlace = errors.New("the place of a field in the file is not known")

// line is the number, from 0, of the line that an offset is on.
func (e *editor) line(offset int) int {
	low, high := 0, len(e.lines)
	for high-low > 1 {
		if mid := (low + high) / 2; e.lines[mid] <= offset {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// lineEnd is the offset behind a line, its break included.
func (e *editor) lineEnd(line int) int {
	if line+1 < len(e.lines) {
		return e.lines[line+1]
	}
	return len(e.data)
}

func (e *editor) text(line int) string {
	return strings.TrimRight(string(e.data[e.lines[line]:e.lineEnd(line)]), "\r\n")
}

// blockEnd is the last line of what begins on a line and belongs to names or dashes at
// a column: all that is indented further. dashes says that it is a list whose dashes
// stand below its name.
func (e *editor) blockEnd(line, indent int, dashes bool) int {
	last := line
	for i := line + 1; i < len(e.lines); i++ {
		text := e.text(i)
		trimmed := strings.TrimLeft(text, " ")
		if trimmed == "" {
			continue
		}
		if depth := len(text) - len(trimmed); depth <= indent {
			if trimmed[0] == '#' {
				continue
			}
			if !(dashes && depth == indent && (trimmed == "-" || strings.HasPrefix(trimmed, "- "))) {
				break
			}
		}
		last = i
	}
	return last
}

// colon is the offset behind the colon of a name.
func (e *editor) colon(key *yaml.Node) (int, error) {
	at, err := e.offset(key)
	if err != nil {
		return 0, err
	}
	end, err := e.scalarEnd(at, key, true)
	if err != nil {
		return 0, err
	}
	for end < len(e.data) && (e.data[end] == ' ' || e.data[end] == '\t') {
		end++
	}
	if end >= len(e.data) || e.data[end] != ':' {
		return 0, errors.New("a field's name is written in a way that is not followed")
	}
	return end + 1, nil
}

// scalarEnd is where a scalar on one line ends.
func (e *editor) scalarEnd(at int, n *yaml.Node, flow bool) (int, error) {
	multi := fmt.Errorf("%q is written in a way that is not followed", clip(n.Value))
	if e.tree.Kind == "Secret" {
		multi = errors.New("a value is written in a way that is not followed")
	}
	if at >= len(e.data) {
		return 0, multi
	}
	switch e.data[at] {
	case '"', '\'':
		end, ok := quoteEnd(e.data, at)
		if !ok {
			return 0, multi
		}
		return end, nil
	case '!', '&', '*', '|', '>', '{', '[':
		return 0, multi
	}
	if !bytes.HasPrefix(e.data[at:], []byte(n.Value)) || n.Value == "" {
		return 0, multi
	}
	end := at + len(n.Value)
	rest := e.data[end:]
	switch trimmed := bytes.TrimLeft(rest, " \t"); {
	case len(trimmed) == 0, trimmed[0] == '\n', trimmed[0] == '\r':
		return end, nil
	case trimmed[0] == '#' && len(trimmed) < len(rest), trimmed[0] == ':':
		return end, nil
	case flow && strings.IndexByte(",]}", trimmed[0]) >= 0:
		return end, nil
	}
	return 0, multi
}

func clip(text string) string {
	if len(text) > 40 {
		return strings.ToValidUTF8(text[:40], "") + "…"
	}
	return text
}

func (e *editor) put(from, to int, text string) { e.edits = append(e.edits, edit{from, to, text}) }

// replace puts another value into a slot.
func (e *editor) replace(s slot, after any) error {
	n := s.node
	if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 {
		if n.ShortTag() != "!!null" || s.key == nil || s.flow {
			return s.refuse("is empty in a way that is not followed")
		}
		at, err := e.colon(s.key)
		if err != nil {
			return err
		}
		e.put(at, at, e.style.behindName(after, s.indent))
		return nil
	}
	at, err := e.offset(n)
	if err != nil {
		return err
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if e.data[at] != '|' && e.data[at] != '>' {
			return s.refuse("has a tag")
		}
		end := e.lineEnd(e.blockEnd(e.line(at), s.indent, false))
		e.put(at, end, e.style.inline(after, false)+e.style.eol)
		return nil
	case n.Kind == yaml.ScalarNode:
		end, err := e.scalarEnd(at, n, s.flow)
		if err != nil {
			return err
		}
		text := e.style.inline(after, s.flow)
		if to, ok := after.(string); ok {
			text = e.style.like(e.data[at], to, s.flow)
		}
		e.put(at, end, text)
		return nil
	case e.data[at] == '{' || e.data[at] == '[':
		end, ok := flowEnd(e.data, at)
		if !ok {
			return s.refuse("has braces that are not followed")
		}
		e.put(at, end, e.style.inline(after, s.flow))
		return nil
	case s.key == nil || s.flow:
		return s.refuse("becomes something else altogether")
	}
	from, err := e.colon(s.key)
	if err != nil {
		return err
	}
	first := e.line(from)
	if e.line(at) == first {
		return s.refuse("stands on the line of its name")
	}
	last := e.blockEnd(first, s.indent, n.Kind == yaml.SequenceNode)
	e.put(from, from, " "+e.style.inline(after, false))
	e.put(e.lineEnd(first), e.lineEnd(last), "")
	return nil
}
