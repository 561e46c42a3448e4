package manifest

import (
	"bytes"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// To learn which line of which template made a rendered line, a chart is rendered a
// second time with marks in the text of its templates: runes of private use around
// a number. Without its marks the marked output must be the same as the other,
// line by line; where it is not, for example because a template cuts or compares
// text that has marks in it, fewer marks are tried, and then none.
const (
	markOpen  = '\ue000'
	markClose = '\ue001'
)

// marking says where marks are put.
type marking int

const (
	everywhere marking = iota
	bodies             // not in what is defined, which others may cut and compare
	nowhere
)

// mark is where a line comes from.
type mark struct {
	template *template // nil where it is not known
	line     int
	exact    bool // a mark stands in the line itself; else it is the last one before
}

// marker puts marks into the templates of a chart.
type marker struct {
	how       marking
	templates []*template
}

func (m *marker) mark(made *chart.Chart) {
	texts := map[string]int{}
	for i, t := range m.templates {
		texts[t.key] = i
	}
	var each func(ch *chart.Chart)
	each = func(ch *chart.Chart) {
		// A chart that is there under two names has its files twice, but in one place.
		copies := make([]*common.File, len(ch.Templates))
		for at, t := range ch.Templates {
			kept := *t
			if i, ok := texts[path.Join(ch.ChartFullPath(), t.Name)]; ok {
				kept.Data = []byte(m.text(i, string(t.Data)))
			}
			copies[at] = &kept
		}
		ch.Templates = copies
		for _, sub := range ch.Dependencies() {
			each(sub)
		}
	}
	each(made)
}

// text is a template with marks, and with a watch in every loop and definition.
func (m *marker) text(index int, text string) string {
	if strings.ContainsRune(text, markOpen) || strings.ContainsRune(text, markClose) {
		return text
	}
	main := parse.New("main")
	main.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := main.Parse(text, "", "", trees); err != nil {
		return text // the engine will say what is wrong
	}
	var out strings.Builder
	names := make([]string, 0, len(trees))
	for name := range trees {
		names = append(names, name)
	}
	slices.Sort(names)
	w := marked{m.how, index, text}
	for _, name := range names {
		tree := trees[name]
		if tree == main || tree.Root == nil {
			continue
		}
		w.list(tree.Root, true)
		out.WriteString("{{define " + strconv.Quote(name) + "}}" + watch + tree.Root.String() + "{{end}}")
	}
	if main.Root != nil {
		w.list(main.Root, false)
		out.WriteString(main.Root.String())
	}
	return out.String()
}

// watch calls the function that ends a template which does too much.
const (
	watchName = "gatehouse__watch"
	watch     = "{{" + watchName + "}}"
)

// marked is a template that gets marks.
type marked struct {
	how   marking
	index int
	text  string
}

func (w *marked) list(list *parse.ListNode, defined bool) {
	if list == nil {
		return
	}
	nodes := make([]parse.Node, 0, 2*len(list.Nodes))
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			n.Text = w.lines(n, defined)
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 && w.marks(defined) && (!defined || beginsLine(nodes)) {
				nodes = append(nodes, w.at(n.Position()))
			}
		case *parse.TemplateNode:
			if w.marks(defined) {
				nodes = append(nodes, w.at(n.Position()))
			}
		case *parse.IfNode:
			w.list(n.List, defined)
			w.list(n.ElseList, defined)
		case *parse.WithNode:
			w.list(n.List, defined)
			w.list(n.ElseList, defined)
		case *parse.RangeNode:
			w.list(n.List, defined)
			w.list(n.ElseList, defined)
			n.List.Nodes = append([]parse.Node{&parse.TextNode{NodeType: parse.NodeText, Text: []byte(watch)}}, n.List.Nodes...)
		}
		nodes = append(nodes, n)
	}
	list.Nodes = nodes
}

func (w *marked) marks(defined bool) bool {
	return w.how == everywhere || w.how == bodies && !defined
}

// beginsLine reports whether what follows some nodes stands at the beginning of a line.
func beginsLine(before []parse.Node) bool {
	if len(before) == 0 {
		return false
	}
	text, ok := before[len(before)-1].(*parse.TextNode)
	if !ok {
		return false
	}
	i := bytes.LastIndexByte(text.Text, '\n')
	return i >= 0 && len(bytes.TrimSpace(text.Text[i:])) == 0
}

func (w *marked) at(pos parse.Pos) *parse.TextNode {
	line := 1 + strings.Count(w.text[:min(int(pos), len(w.text))], "\n")
	return &parse.TextNode{NodeType: parse.NodeText, Pos: pos, Text: w.code(line)}
}

func (w *marked) code(line int) []byte {
	return []byte(string(markOpen) + strconv.Itoa(w.index) + "." + strconv.Itoa(line) + string(markClose))
}

// lines puts a mark before the first thing that each line of a text says: space
// before and after it may be trimmed by what stands beside it.
func (w *marked) lines(n *parse.TextNode, defined bool) []byte {
	if !w.marks(defined) {
		return n.Text
	}
	line := 1 + strings.Count(w.text[:min(int(n.Pos), len(w.text))], "\n")
	var out []byte
	for i, part := range bytes.SplitAfter(n.Text, []byte("\n")) {
		trimmed := bytes.TrimLeft(part, " \t\r\n")
		if len(trimmed) > 0 && (!defined || i > 0) {
			out = append(out, part[:len(part)-len(trimmed)]...)
			out = append(out, w.code(line+i)...)
			out = append(out, trimmed...)
		} else {
			out = append(out, part...)
		}
	}
	return out
}

// unmark is where each line of plain comes from, as the marks in text say; nil where
// they cannot be believed.
func unmark(text, plain string, templates []*template) []mark {
	lines := strings.Split(plain, "\n")
	marks := make([]mark, 0, len(lines))
	var last mark
	differ := 0
	for i, line := range strings.Split(text, "\n") {
		if i >= len(lines) {
			return nil
		}
		var clean strings.Builder
		own := mark{}
		for {
			before, rest, ok := strings.Cut(line, string(markOpen))
			clean.WriteString(before)
			if !ok {
				break
			}
			code, after, ok := strings.Cut(rest, string(markClose))
			file, number, _ := strings.Cut(code, ".")
			index, err := strconv.Atoi(file)
			at, err2 := strconv.Atoi(number)
			if !ok || err != nil || err2 != nil || index >= len(templates) {
				return nil
			}
			last = mark{template: templates[index], line: at}
			if own.template == nil {
				own = last
				own.exact = true
			}
			line = after
		}
		if own.template == nil {
			own = last
		}
		if clean.String() != lines[i] {
			// What is drawn by lot, and checksums, differ from one time to the next.
			if differ++; shape(clean.String()) != shape(lines[i]) {
				return nil
			}
		}
		marks = append(marks, own)
	}
	if len(marks) != len(lines) || differ > 0 && differ > len(lines)/4+4 {
		return nil
	}
	return marks
}

// shape is what stands before the value of a line.
func shape(line string) string {
	key, _, ok := strings.Cut(line, ":")
	if !ok {
		return line[:len(line)-len(strings.TrimLeft(line, " "))]
	}
	return key
}
