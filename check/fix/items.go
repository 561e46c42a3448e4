package fix

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// pair is an item of a list before and after; -1 where there is none.
type pair struct{ before, after int }

// names tell items of lists apart, in the order they are tried.
var names = []string{"name", "key", "mountPath", "containerPort", "port", "ip", "host", "uid", "topologyKey", "devicePath"}

// alike reports whether two items are the same one, perhaps changed.
func alike(a, b any) bool {
	x, isMap := a.(map[string]any)
	y, both := b.(map[string]any)
	if isMap && both {
		for _, name := range names {
			if v, ok := x[name]; ok {
				return reflect.DeepEqual(v, y[name])
			}
		}
	}
	return reflect.DeepEqual(a, b)
}

// aligned pairs the items of two lists in order: those that are alike, and between
// them what stands at the same place.
func aligned(before, after []any) (pairs []pair) {
	b := 0
	var waiting []int // items of after that are like none yet
	flush := func(to int) {
		for len(waiting) > 0 && b < to {
			pairs = append(pairs, pair{b, waiting[0]})
			waiting, b = waiting[1:], b+1
		}
		for ; b < to; b++ {
			pairs = append(pairs, pair{b, -1})
		}
		for _, a := range waiting {
			pairs = append(pairs, pair{-1, a})
		}
		waiting = nil
	}
	for a := range after {
		found := -1
		for i := b; i < len(before); i++ {
			if alike(before[i], after[a]) {
				found = i
				break
			}
		}
		if found < 0 {
			waiting = append(waiting, a)
			continue
		}
		flush(found)
		pairs = append(pairs, pair{found, a})
		b = found + 1
	}
	flush(len(before))
	return pairs
}

// changeItems edits a list.
func (e *editor) changeItems(s slot, before, after []any) error {
	n := s.node
	at, err := e.offset(n)
	if err != nil {
		return err
	}
	if len(n.Content) != len(before) {
		return s.refuse("is a list that is not followed")
	}
	if len(after) == 0 {
		return e.replace(s, after)
	}
	if at >= len(e.data) || e.data[at] != '[' && e.data[at] != '-' {
		return s.refuse("has a tag")
	}
	inner := slot{flow: e.data[at] == '[', path: s.path}
	inner.indent = at - e.lines[e.line(at)]
	pairs := aligned(before, after)
	var gone, fresh []int
	for _, p := range pairs {
		switch {
		case p.after < 0:
			gone = append(gone, p.before)
		case p.before < 0:
			fresh = append(fresh, p.after)
		default:
			item := inner
			item.node, item.path = n.Content[p.before], s.path+"["+strconv.Itoa(p.before)+"]"
			if err := e.change(item, before[p.before], after[p.after]); err != nil {
				return err
			}
		}
	}
	switch {
	case len(gone) == 0 && len(fresh) == 0:
		return nil
	case !inner.flow:
		return e.blockItems(s, inner.indent, pairs, after)
	}
	// In brackets items can only be put behind the others.
	if len(fresh) > 0 && slices.ContainsFunc(pairs, func(p pair) bool { return p.before >= 0 && p.after > fresh[0] }) {
		return e.replace(s, after)
	}
	var texts []string
	for _, a := range fresh {
		texts = append(texts, e.style.inline(after[a], true))
	}
	return e.flowEntries(s, at, gone, texts)
}

// blockItems takes items out of a list of dashes, and puts others between them.
func (e *editor) blockItems(s slot, indent int, pairs []pair, after []any) error {
	n := s.node
	first := make([]int, len(n.Content))
	for i, item := range n.Content {
		// An item that begins on the line behind its dash is not followed.
		line, _, err := e.columnOf(item)
		if err != nil {
			return err
		}
		if text := e.text(line); len(text) <= indent || text[indent] != '-' {
			return s.refuse("has dashes that are not followed")
		}
		first[i] = line
	}
	behind := -1 // the item that new ones follow
	for _, p := range pairs {
		switch {
		case p.before < 0 && behind < 0:
			line := first[0]
			if strings.Trim(e.text(line)[:indent], " ") != "" {
				return s.refuse("begins on a line with something else")
			}
			// What is said above the first item is said of that one.
			for line > 0 && s.key != nil && strings.HasPrefix(strings.TrimLeft(e.text(line-1), " "), "#") {
				line--
			}
			e.put(e.lines[line], e.lines[line], e.style.item(after[p.after], indent))
		case p.before < 0:
			e.insert(e.blockEnd(first[behind], indent, false), e.style.item(after[p.after], indent))
		default:
			behind = p.before
			if p.after >= 0 {
				continue
			}
			if strings.Trim(e.text(first[behind])[:indent], " ") != "" {
				return s.refuse("begins on a line with something else")
			}
			e.put(e.lines[first[behind]], e.lineEnd(e.blockEnd(first[behind], indent, false)), "")
		}
	}
	return nil
}
