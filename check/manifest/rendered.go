package manifest

import (
	"fmt"
	"strings"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// fromTemplate are the places of an object that a template made.
type fromTemplate struct {
	output *output
	tree   *cluster.Tree // of what was rendered
}

func (f *fromTemplate) position(_ map[string]any, steps []step, what part) Position {
	s := descend(f.tree.Root, steps, nil)
	line, column := f.tree.Place(nodeOf(s, what))
	at := f.output.source(line, column)
	at.Exact = at.Exact && s.found == len(steps)
	return at
}

func (f *fromTemplate) text(file string, line int) (string, bool) {
	if f.output.template.file == file {
		return lineOf(f.output.template.text, line)
	}
	if t := f.output.files[file]; t != nil {
		return lineOf(t.text, line)
	}
	return "", false
}

func (f *fromTemplate) written() *cluster.Tree { return nil }

// source is where a line of the output comes from.
func (o *output) source(line, column int) Position {
	if o.text == o.template.text { // nothing was rendered
		return Position{File: o.template.file, Line: line, Column: column, Exact: true}
	}
	if line-1 < len(o.lines) {
		if m := o.lines[line-1]; m.template != nil {
			return m.position()
		}
	}
	return o.alike(line)
}

func (m mark) position() Position {
	text, _ := lineOf(m.template.text, m.line)
	return Position{File: m.template.file, Line: m.line, Column: 1 + len(text) - len(strings.TrimLeft(text, " \t")), Exact: m.exact}
}

// alike finds the one line of the template that says the same, or that has the same
// field; a place without a line where there are several, or none.
func (o *output) alike(line int) Position {
	text, _ := lineOf(o.text, line)
	text = strings.TrimSpace(text)
	key, _, isField := strings.Cut(text, ":")
	at, count := 0, 0
	for i, candidate := range strings.Split(o.template.text, "\n") {
		candidate = strings.TrimSpace(candidate)
		if candidate == text || isField && strings.HasPrefix(candidate, key+":") && strings.Contains(candidate, "{{") {
			at = i + 1
			count++
		}
	}
	if text == "" || count != 1 {
		return Position{File: o.template.file}
	}
	return mark{o.template, at, true}.position()
}

// place is a problem of the output, at the line of the template.
func (o *output) place(e *v1alpha1.FieldError) *v1alpha1.FieldError {
	if o.text == o.template.text {
		return e
	}
	moved := *e
	moved.Message += fmt.Sprintf(" (line %d of what the template renders)", e.Line)
	at := o.source(e.Line, e.Col)
	moved.File, moved.Line, moved.Col = at.File, at.Line, at.Column
	return &moved
}
