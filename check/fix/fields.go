package fix

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// changeFields edits a mapping. Fields that are new come behind the others.
func (e *editor) changeFields(s slot, before, after map[string]any) error {
	n := s.node
	at, err := e.offset(n)
	if err != nil {
		return err
	}
	if at >= len(e.data) || e.data[at] == '!' {
		return s.refuse("has a tag")
	}
	inner := slot{flow: e.data[at] == '{', path: s.path}
	if _, inner.indent, err = e.columnOf(n.Content[0]); err != nil {
		return err
	}
	var gone []int
	there := map[string]bool{}
	merged := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.ShortTag() == "!!merge" {
			merged = true
			continue
		}
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || there[key.Value] {
			return s.refuse("has names that are not followed")
		}
		there[key.Value] = true
		to, stays := after[key.Value]
		if !stays {
			gone = append(gone, i/2)
			continue
		}
		field := inner
		field.key, field.node, field.path = key, n.Content[i+1], strings.TrimPrefix(s.path+"."+key.Value, ".")
		if err := e.change(field, before[key.Value], to); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if there[name] {
			continue
		}
		if to, stays := after[name]; !merged || !stays || !reflect.DeepEqual(before[name], to) {
			return s.refuse("has the field %s by a merge key: it is written elsewhere", name)
		}
	}
	fresh := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, was := before[name]; !was {
			fresh[name] = after[name]
		}
	}
	switch {
	case len(gone) == 0 && len(fresh) == 0:
		return nil
	case len(gone) == len(n.Content)/2 && s.key != nil:
		return e.replace(s, after)
	case inner.flow:
		return e.flowEntries(s, at, gone, e.style.entries(fresh))
	}
	return e.blockFields(s, inner, gone, fresh)
}

func (e *editor) columnOf(n *yaml.Node) (line, column int, err error) {
	at, err := e.offset(n)
	if err != nil {
		return 0, 0, err
	}
	line = e.line(at)
	return line, at - e.lines[line], nil
}

// blockFields takes fields out of a mapping that is written on lines of its own, and
// puts others behind it.
func (e *editor) blockFields(s, inner slot, gone []int, fresh map[string]any) error {
	n := s.node
	last := 0
	for i := 0; i+1 < len(n.Content); i += 2 {
		line, column, err := e.columnOf(n.Content[i])
		if err != nil {
			return err
		}
		if column != inner.indent {
			return s.refuse("has names that are not below each other")
		}
		last = e.blockEnd(line, column, dashed(n.Content[i+1]))
		if !slices.Contains(gone, i/2) {
			continue
		}
		from, to := e.lines[line], e.lineEnd(last)
		if strings.TrimLeft(e.text(line)[:column], " ") != "" {
			// It shares the line with the dash of a list: what follows moves up to it.
			if i+2 >= len(n.Content) || slices.Contains(gone, i/2+1) {
				return s.refuse("has a field on the line of a dash that cannot be taken out")
			}
			next, err := e.offset(n.Content[i+2])
			if err != nil {
				return err
			}
			if bytes.Contains(e.data[to:next], []byte("#")) {
				return s.refuse("has a comment that would be lost")
			}
			from, to = e.lines[line]+column, next
		}
		e.put(from, to, "")
	}
	if len(fresh) > 0 {
		like := e.style
		if in := inner.indent - s.indent; s.key != nil && in > 0 && in <= 8 {
			like.step = in
		}
		e.insert(last, like.fields(fresh, inner.indent))
	}
	return nil
}

// insert puts lines behind a line.
func (e *editor) insert(line int, text string) {
	end := e.lineEnd(line)
	if end == len(e.data) && (end == 0 || e.data[end-1] != '\n') {
		e.put(end, end, e.style.eol+strings.TrimSuffix(text, e.style.eol))
		return
	}
	e.put(end, end, text)
}

// dashed reports whether a node is a list of dashes.
func dashed(n *yaml.Node) bool {
	return n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle == 0
}

// flowEntries takes entries out of what stands in braces or brackets that open at an
// offset, and puts others behind the last.
func (e *editor) flowEntries(s slot, open int, gone []int, fresh []string) error {
	end, ok := flowEnd(e.data, open)
	if !ok {
		return s.refuse("has braces that are not followed")
	}
	all := flowItems(e.data, open+1, end-1)
	want := len(s.node.Content)
	if s.node.Kind == yaml.MappingNode {
		want /= 2
	}
	if len(all) != want {
		return s.refuse("has braces that are not followed")
	}
	kept := -1
	for i := range all {
		if !slices.Contains(gone, i) {
			kept = i
		}
	}
	for _, i := range gone {
		if i < kept {
			e.put(all[i].from, all[i+1].from, "")
		}
	}
	switch {
	case kept < 0:
		e.put(open+1, end-1, strings.Join(fresh, ", "))
		return nil
	case kept < len(all)-1:
		e.put(all[kept].to, all[len(all)-1].to, "")
	}
	if len(fresh) > 0 {
		between := ", "
		line := e.line(all[kept].from)
		if lead := string(e.data[e.lines[line]:all[kept].from]); line > e.line(open) && strings.Trim(lead, " \t") == "" {
			between = "," + e.style.eol + lead
		}
		e.put(all[kept].to, all[kept].to, between+strings.Join(fresh, between))
	}
	return nil
}
