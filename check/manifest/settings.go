package manifest

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// settings is a kustomization that was read: its fields set those of objects.
type settings struct {
	file string // as the caller would write it
	root *yaml.Node
}

// settings are the kustomizations that were read, the one that was built first.
func (s *sources) kustomizations() []settings {
	if s.said != nil {
		return s.said
	}
	s.said = []settings{}
	var paths []string
	for path := range s.files.read {
		if isKustomization(filepath.Base(path)) {
			paths = append(paths, path)
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		if own := filepath.Dir(a) == s.files.root; own != (filepath.Dir(b) == s.files.root) {
			if own {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	for _, path := range paths {
		var document yaml.Node
		if decode(yaml.NewDecoder(bytes.NewReader(s.files.read[path])), &document) != nil || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
			continue
		}
		s.said = append(s.said, settings{s.files.name(path), document.Content[0]})
	}
	return s.said
}

// inline are the patches that stand in kustomizations, as text of the same lines and
// columns as the kustomization itself has them.
func (s *sources) inline(ctx context.Context) []*cluster.Tree {
	var trees []*cluster.Tree
	for _, k := range s.kustomizations() {
		_, list := fieldOf(k.root, "patches", 0)
		if list == nil || list.Kind != yaml.SequenceNode {
			continue
		}
		for _, entry := range list.Content {
			if entry.Kind != yaml.MappingNode {
				continue
			}
			_, patch := fieldOf(entry, "patch", 0)
			if patch == nil || patch.Kind != yaml.ScalarNode || patch.Style != yaml.LiteralStyle {
				continue
			}
			// The lines behind the key, as deep as the kustomization has them.
			text := strings.Repeat("\n", patch.Line) + indented(patch.Value, s.indent(k.file, patch.Line))
			opts := s.files.opts
			opts.MaxProblems = 1
			_ = cluster.TreesOf(ctx, k.file, []byte(text), opts, func(t *cluster.Tree) { trees = append(trees, t) })
		}
	}
	return trees
}

// indent is that of the first line behind a line which says anything.
func (s *sources) indent(file string, line int) int {
	for path, data := range s.files.read {
		if s.files.name(path) != file {
			continue
		}
		for {
			line++
			text, ok := lineOf(string(data), line)
			if trimmed := strings.TrimLeft(text, " "); trimmed != "" {
				return len(text) - len(trimmed)
			}
			if !ok && line > bytes.Count(data, []byte("\n"))+1 {
				return 0
			}
		}
	}
	return 0
}

func indented(text string, spaces int) string {
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
}

// set finds the field of a kustomization that gave a field of an object its value.
func (k settings) set(o map[string]any, steps []step, value any) (Position, bool) {
	if len(steps) == 0 {
		return Position{}, false
	}
	text := fmt.Sprint(value)
	last := steps[len(steps)-1]
	above := ""
	if len(steps) > 1 {
		above = steps[len(steps)-2].name
	}
	switch {
	case last.name == "image":
		return k.first("images", func(entry *yaml.Node) *yaml.Node { return imageOf(entry, text) })
	case last.name == "replicas":
		return k.first("replicas", func(entry *yaml.Node) *yaml.Node {
			if _, count := fieldOf(entry, "count", 0); count != nil && count.Value == text && strings.Contains(nameOf(o), valueOf(entry, "name")) {
				return count
			}
			return nil
		})
	case last.name == "namespace":
		if _, n := fieldOf(k.root, "namespace", 0); n != nil && n.Value == text {
			return k.at(n), true
		}
	case above == "labels" || above == "matchLabels" || above == "selector":
		if at, ok := k.first("labels", func(entry *yaml.Node) *yaml.Node {
			_, pairs := fieldOf(entry, "pairs", 0)
			return pair(pairs, last.name, text)
		}); ok {
			return at, true
		}
		_, common := fieldOf(k.root, "commonLabels", 0)
		if n := pair(common, last.name, text); n != nil {
			return k.at(n), true
		}
	case above == "annotations":
		_, common := fieldOf(k.root, "commonAnnotations", 0)
		if n := pair(common, last.name, text); n != nil {
			return k.at(n), true
		}
	}
	return Position{}, false
}

func (k settings) at(n *yaml.Node) Position {
	return Position{File: k.file, Line: n.Line, Column: n.Column, Exact: true}
}

// first is the place of what find finds in the entries of a list.
func (k settings) first(list string, find func(entry *yaml.Node) *yaml.Node) (Position, bool) {
	_, n := fieldOf(k.root, list, 0)
	if n == nil || n.Kind != yaml.SequenceNode {
		return Position{}, false
	}
	for _, entry := range n.Content {
		if entry = dereferenced(entry); entry.Kind != yaml.MappingNode {
			continue
		}
		if found := find(entry); found != nil {
			return k.at(found), true
		}
	}
	return Position{}, false
}

// imageOf is the field of an entry of images that made an image what it is: its tag,
// its digest, or its name.
func imageOf(entry *yaml.Node, image string) *yaml.Node {
	name := valueOf(entry, "newName")
	if name == "" {
		name = valueOf(entry, "name")
	}
	rest, ok := strings.CutPrefix(image, name)
	if name == "" || !ok || rest != "" && rest[0] != ':' && rest[0] != '@' {
		return nil
	}
	for _, field := range []string{"digest", "newTag"} {
		if _, n := fieldOf(entry, field, 0); n != nil && n.Value != "" && strings.HasSuffix(rest, n.Value) {
			return n
		}
	}
	_, n := fieldOf(entry, "newName", 0)
	return n
}

func pair(n *yaml.Node, name, value string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	if _, v := fieldOf(n, name, 0); v != nil && v.Value == value {
		return v
	}
	return nil
}

func nameOf(o map[string]any) string {
	metadata, _ := o["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}
