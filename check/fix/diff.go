package fix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Change puts lines in place of others.
type Change struct {
	// Line is the first that is replaced, from 1; where Old is empty, the one that New
	// comes in front of.
	Line int
	// Old and New are lines with their breaks; the last line of a file may have none.
	Old, New []string
}

// DiffOptions say what of a diff is shown.
type DiffOptions struct {
	// Of is the Want whose change is shown. Default, nil: all of them.
	Of *int
	// Hidden are lines, from 1, whose values nobody shows; those of Secrets are hidden
	// without being named.
	Hidden []int
	// Cover makes of a hidden line what is shown of it. Default: nothing is.
	Cover func(text string) string
}

// around is how many lines around a change are shown.
const around = 3

// Changes are the lines that are replaced, in their order; of one Want, or of all.
func (p *Plan) Changes(of *int) []Change {
	var edits []edit
	for i := range p.edits {
		if p.Refused[i] == nil && (of == nil || *of == i) {
			edits = append(edits, p.edits[i]...)
		}
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var all []Change
	for at := 0; at < len(edits); {
		// What touches the same lines is one change.
		from, to := p.touched(edits[at])
		next := at + 1
		for next < len(edits) {
			f, t := p.touched(edits[next])
			if f > to {
				break
			}
			to, next = max(to, t), next+1
		}
		begin, end := p.start(from), p.start(to)
		group := make([]edit, 0, next-at)
		for _, e := range edits[at:next] {
			group = append(group, edit{e.from - begin, e.to - begin, e.text})
		}
		old := p.before[begin:end]
		if now, err := apply(old, group); err == nil {
			if c := trimmed(Change{from + 1, linesOf(string(old)), linesOf(string(now))}); len(c.Old)+len(c.New) > 0 {
				all = append(all, c)
			}
		}
		at = next
	}
	return all
}

// start is the offset of a line, from 0; the end of the file for the one behind the last.
func (p *Plan) start(line int) int {
	if line < len(p.lines) {
		return p.lines[line]
	}
	return len(p.before)
}

// touched are the lines, from 0, that an edit changes: the first, and the one behind
// the last.
func (p *Plan) touched(e edit) (from, to int) {
	lineOf := func(offset int) int {
		i, found := slices.BinarySearch(p.lines, offset)
		if !found {
			i--
		}
		return i
	}
	atEnd := len(p.before) > 0 && p.before[len(p.before)-1] == '\n'
	if e.from == len(p.before) && atEnd {
		return len(p.lines), len(p.lines)
	}
	from = lineOf(e.from)
	switch {
	case e.to == len(p.before):
		to = len(p.lines)
	default:
		if to = lineOf(e.to); p.lines[to] != e.to {
			to++
		}
	}
	if e.from == e.to && p.lines[from] == e.from && strings.HasSuffix(e.text, "\n") {
		return from, from
	}
	return from, max(to, from+1)
}

// linesOf cuts a text behind its line breaks.
func linesOf(text string) []string {
	all := strings.SplitAfter(text, "\n")
	if all[len(all)-1] == "" {
		return all[:len(all)-1]
	}
	return all
}

// trimmed leaves out lines that stay.
func trimmed(c Change) Change {
	for len(c.Old) > 0 && len(c.New) > 0 && c.Old[0] == c.New[0] {
		c.Line, c.Old, c.New = c.Line+1, c.Old[1:], c.New[1:]
	}
	for len(c.Old) > 0 && len(c.New) > 0 && c.Old[len(c.Old)-1] == c.New[len(c.New)-1] {
		c.Old, c.New = c.Old[:len(c.Old)-1], c.New[:len(c.New)-1]
	}
	return c
}

// Diff is a unified diff, as patch and git apply read it. Where lines are hidden it is
// for reading alone.
func (p *Plan) Diff(opts DiffOptions) string {
	changes := p.Changes(opts.Of)
	if len(changes) == 0 {
		return ""
	}
	lines := linesOf(string(p.before))
	hidden := p.hidden(lines, opts.Hidden)
	show := func(mark byte, text string, line int) string {
		body, end, broken := text, "", strings.HasSuffix(text, "\n")
		if broken {
			body, end = text[:len(text)-1], "\n"
		}
		if hidden[line] {
			if body = strings.TrimSuffix(body, "\r"); opts.Cover == nil {
				body = ""
			} else {
				body = opts.Cover(body)
			}
		}
		if !broken {
			end = "\n\\ No newline at end of file\n"
		}
		return string(mark) + body + end
	}
	var b strings.Builder
	fmt.Fprintf(&b, "--- a/%s\n+++ b/%s\n", p.Name, p.Name)
	moved := 0 // how many lines more there are, up to here
	for at := 0; at < len(changes); {
		last := at
		for last+1 < len(changes) && changes[last+1].Line-(changes[last].Line+len(changes[last].Old)) <= 2*around {
			last++
		}
		from := max(changes[at].Line-around, 1)
		to := min(changes[last].Line+len(changes[last].Old)+around, len(lines)+1)
		var hunk strings.Builder
		was, is := 0, 0
		line := from
		for _, c := range changes[at : last+1] {
			for ; line < c.Line; line++ {
				hunk.WriteString(show(' ', lines[line-1], line))
				was, is = was+1, is+1
			}
			for i, text := range c.Old {
				hunk.WriteString(show('-', text, line+i))
			}
			for _, text := range c.New {
				hunk.WriteString(show('+', text, min(max(line-1, 1), len(lines))))
			}
			line += len(c.Old)
			was, is = was+len(c.Old), is+len(c.New)
		}
		for ; line < to; line++ {
			hunk.WriteString(show(' ', lines[line-1], line))
			was, is = was+1, is+1
		}
		fmt.Fprintf(&b, "@@ -%s +%s @@\n%s", counted(from, was), counted(from+moved, is), hunk.String())
		moved += is - was
		at = last + 1
	}
	return b.String()
}

func counted(from, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", from-1)
	case 1:
		return fmt.Sprint(from)
	}
	return fmt.Sprintf("%d,%d", from, n)
}

// hidden are the lines that may hold secrets: those of Secrets, and those that were
// named, with what is indented below them.
func (p *Plan) hidden(lines []string, named []int) map[int]bool {
	all := map[int]bool{}
	for _, s := range p.secret {
		for line := s.from; line < s.to; line++ {
			all[line] = true
		}
	}
	depth := func(text string) int { return len(text) - len(strings.TrimLeft(text, " -")) }
	for _, line := range named {
		if line < 1 || line > len(lines) {
			continue
		}
		all[line] = true
		for next := line + 1; next <= len(lines); next++ {
			if strings.TrimSpace(lines[next-1]) != "" && depth(lines[next-1]) <= depth(lines[line-1]) {
				break
			}
			all[next] = true
		}
	}
	return all
}
