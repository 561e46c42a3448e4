package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// step is one step from an object to a field of it: a name, or an index of a list.
type step struct {
	name  string
	index int
	list  bool
}

// parsePath reads a path as policies and validation write it,
// "spec.containers[0].image", "metadata.labels[app.kubernetes.io/name]", or a JSON
// pointer, "/spec/containers/0/image". Names may hold dots and brackets, so the
// object decides: where a field of it fits, it is that one.
func parsePath(object any, path string) []step {
	var steps []step
	if strings.HasPrefix(path, "/") {
		for _, name := range strings.Split(path[1:], "/") {
			steps = append(steps, stepInto(object, strings.NewReplacer("~1", "/", "~0", "~").Replace(name)))
			object = into(object, steps[len(steps)-1])
		}
		return steps
	}
	for rest := strings.TrimPrefix(path, "$"); rest != ""; {
		rest = strings.TrimPrefix(rest, ".")
		if rest == "" {
			break
		}
		var name string
		if rest[0] == '[' {
			name, rest = cutBracket(object, rest)
		} else {
			name, rest = cutName(object, rest)
		}
		steps = append(steps, stepInto(object, name))
		object = into(object, steps[len(steps)-1])
	}
	return steps
}

// cutName cuts the first name off a path: the longest that the object has a field
// of, else up to the next dot or bracket.
func cutName(object any, path string) (name, rest string) {
	longest := -1
	if m, ok := object.(map[string]any); ok {
		for end := 0; end <= len(path); end++ {
			if end < len(path) && path[end] != '.' && path[end] != '[' {
				continue
			}
			if _, ok := m[path[:end]]; ok {
				longest = end
			}
		}
	}
	if longest < 0 {
		if longest = strings.IndexAny(path, ".["); longest <= 0 {
			longest = len(path)
		}
	}
	return path[:longest], path[longest:]
}

// cutBracket cuts "[0]", "[name]" or `["name"]` off a path.
func cutBracket(object any, path string) (name, rest string) {
	inner := path[1:]
	for _, quote := range []string{`"`, `'`} {
		if after, ok := strings.CutPrefix(inner, quote); ok {
			if name, rest, ok := strings.Cut(after, quote+"]"); ok {
				return name, rest
			}
		}
	}
	end := strings.IndexByte(inner, ']')
	if m, ok := object.(map[string]any); ok {
		for at := end; at >= 0; {
			if _, ok := m[inner[:at]]; ok {
				end = at
			}
			next := strings.IndexByte(inner[at+1:], ']')
			if next < 0 {
				break
			}
			at += next + 1
		}
	}
	if end < 0 {
		return inner, ""
	}
	return inner[:end], inner[end+1:]
}

func stepInto(object any, name string) step {
	if _, isMap := object.(map[string]any); !isMap {
		if index, err := strconv.Atoi(name); err == nil && index >= 0 {
			return step{index: index, list: true}
		}
	}
	return step{name: name}
}

// into is the field of an object that a step leads to; nil where there is none.
func into(object any, s step) any {
	switch o := object.(type) {
	case map[string]any:
		if !s.list {
			return o[s.name]
		}
	case []any:
		if s.list && s.index < len(o) {
			return o[s.index]
		}
	}
	return nil
}

// spot is a field in a tree.
type spot struct {
	key, value *yaml.Node // key is nil for items of lists, and for the object itself
	found      int        // how many of the steps lead to it
}

// place is the node that a person looks at: a scalar, else the name of the field.
func (s spot) place() *yaml.Node {
	if s.key != nil && (s.value.Kind != yaml.ScalarNode || s.value.Value == "" && s.value.Style == 0) {
		return s.key
	}
	return s.value
}

// descend follows steps as far as they lead. choose may lead to another item of a
// list than the index says; nil takes the index.
func descend(root *yaml.Node, steps []step, choose func(at int, list *yaml.Node, index int) int) spot {
	s := spot{value: root}
	for at, step := range steps {
		n := dereferenced(s.value)
		switch {
		case step.list && n.Kind == yaml.SequenceNode:
			index := step.index
			if choose != nil {
				index = choose(at, n, index)
			}
			if index < 0 || index >= len(n.Content) {
				return s
			}
			s = spot{value: n.Content[index], found: at + 1}
		case !step.list && n.Kind == yaml.MappingNode:
			key, value := fieldOf(n, step.name, mostMerged)
			if key == nil {
				return s
			}
			s = spot{key: key, value: value, found: at + 1}
		default:
			return s
		}
	}
	return s
}

// mostMerged is how many merge keys are followed for one field.
const mostMerged = 8

// fieldOf finds a field of a mapping, or of one that is merged into it.
func fieldOf(n *yaml.Node, name string, merges int) (key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := dereferenced(n.Content[i]); k.Kind == yaml.ScalarNode && k.Value == name {
			return k, n.Content[i+1]
		}
	}
	if merges == 0 {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() != "!!merge" {
			continue
		}
		merged := []*yaml.Node{dereferenced(n.Content[i+1])}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, m := range merged {
			if m = dereferenced(m); m.Kind != yaml.MappingNode {
				continue
			}
			if key, value := fieldOf(m, name, merges-1); key != nil {
				return key, value
			}
		}
	}
	return nil, nil
}

func dereferenced(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
