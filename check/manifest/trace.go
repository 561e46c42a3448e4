package manifest

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/resource"

	"github.com/gatehouse-io/gatehouse/cluster"
)

// sources are the files that a kustomization was built from.
type sources struct {
	files *shut
	trees map[string][]*cluster.Tree // by real path
	all   []*cluster.Tree            // every object in them: resources, and patches
	said  []settings
}

// of are the objects in a file that was read.
func (s *sources) of(ctx context.Context, path string) []*cluster.Tree {
	if trees, ok := s.trees[path]; ok {
		return trees
	}
	var trees []*cluster.Tree
	opts := s.files.opts
	opts.MaxProblems = 1
	if data, ok := s.files.read[path]; ok && isYAML(path) {
		// What is no object, such as a JSON patch, has no places.
		_ = cluster.TreesOf(ctx, s.files.name(path), data, opts, func(t *cluster.Tree) { trees = append(trees, t) })
	}
	s.trees[path] = trees
	return trees
}

// every is every object of the files, but for kustomizations.
func (s *sources) every(ctx context.Context) []*cluster.Tree {
	if s.all == nil {
		s.all = []*cluster.Tree{}
		var paths []string
		for path := range s.files.read {
			if !isKustomization(filepath.Base(path)) {
				paths = append(paths, path)
			}
		}
		slices.Sort(paths)
		for _, path := range paths {
			s.all = append(s.all, s.of(ctx, path)...)
		}
		s.all = append(s.all, s.inline(ctx)...)
	}
	return s.all
}

// trace finds where an object comes from: the object of the file that the library
// names, and those that are patches of it.
func (s *sources) trace(ctx context.Context, o *Object, from resource.Origin) places {
	t := &traced{nearest: Position{File: s.files.dir}, settings: s.kustomizations(), files: s.files}
	if kustomization := kustomizationIn(s.files.dir); kustomization != "" {
		t.nearest = Position{File: kustomization, Line: 1, Column: 1}
	}
	if from.ConfiguredIn != "" {
		path := filepath.Join(s.files.root, from.ConfiguredIn)
		t.nearest = s.generator(path, o, from.ConfiguredBy.Kind)
	}
	if from.Path != "" && from.Repo == "" {
		t.origin = best(s.of(ctx, filepath.Join(s.files.root, from.Path)), o)
	}
	for _, tree := range s.every(ctx) {
		if tree != t.origin && tree.Kind == o.GetKind() && (sameName(tree, o) || t.origin != nil && tree.Name == t.origin.Name) {
			t.patches = append(t.patches, tree)
		}
	}
	return t
}

func sameName(tree *cluster.Tree, o *Object) bool { return tree.Name != "" && tree.Name == o.GetName() }

// best is the object of a file that became o, whose name may have got a prefix and
// a suffix.
func best(trees []*cluster.Tree, o *Object) *cluster.Tree {
	var found *cluster.Tree
	for _, tree := range trees {
		if tree.Kind != o.GetKind() || !strings.Contains(o.GetName(), tree.Name) {
			continue
		}
		if found == nil || len(tree.Name) > len(found.Name) {
			found = tree
		}
	}
	if found == nil && len(trees) == 1 {
		found = trees[0] // a patch may have changed its name and kind
	}
	return found
}

// generator is the place of the entry that made an object.
func (s *sources) generator(path string, o *Object, kind string) Position {
	at := Position{File: s.files.name(path), Line: 1, Column: 1}
	var document yaml.Node
	if yaml.Unmarshal(s.files.read[path], &document) != nil || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return at
	}
	field := map[string]string{"ConfigMapGenerator": "configMapGenerator", "SecretGenerator": "secretGenerator"}[kind]
	key, list := fieldOf(document.Content[0], field, 0)
	if key == nil {
		return at
	}
	at.Line, at.Column = key.Line, key.Column
	longest := -1
	for _, entry := range list.Content {
		if entry.Kind != yaml.MappingNode {
			continue
		}
		if name := valueOf(entry, "name"); strings.Contains(o.GetName(), name) && len(name) > longest {
			longest, at.Line, at.Column = len(name), entry.Line, entry.Column
		}
	}
	return at
}

// traced are the places of an object that a kustomization made.
type traced struct {
	origin   *cluster.Tree // nil where it was generated
	patches  []*cluster.Tree
	settings []settings // of the kustomizations
	nearest  Position   // where nothing better is known
	files    *shut
}

func (t *traced) position(object map[string]any, steps []step, what part) Position {
	values := make([]any, len(steps)) // behind each step
	at := any(object)
	for i, s := range steps {
		at = into(at, s)
		values[i] = at
	}
	choose := func(at int, list *yaml.Node, index int) int { return itemLike(list, index, values[at]) }
	around := t.nearest
	trees := t.patches
	if t.origin != nil {
		trees = append([]*cluster.Tree{t.origin}, trees...)
	}
	best := -1
	for _, tree := range trees {
		s := descend(tree.Root, steps, choose)
		line, column := tree.Place(nodeOf(s, what))
		place := Position{File: tree.Source.File, Line: line, Column: column}
		if s.found == len(steps) && (len(steps) == 0 || says(s.value, at)) {
			place.Exact = true
			return place
		}
		if tree == t.origin && s.found > best {
			best, around = s.found, place
		}
	}
	for _, k := range t.settings {
		if place, ok := k.set(object, steps, at); ok && what == value {
			return place
		}
	}
	return around
}

// says reports whether a node still has the value of the object.
func says(n *yaml.Node, value any) bool {
	n = dereferenced(n)
	switch v := value.(type) {
	case map[string]any:
		return n.Kind == yaml.MappingNode
	case []any:
		return n.Kind == yaml.SequenceNode
	case nil:
		return n.ShortTag() == "!!null"
	case bool:
		return n.Kind == yaml.ScalarNode && slices.Contains(booleans(v), strings.ToLower(n.Value))
	default:
		return n.Kind == yaml.ScalarNode && n.Value == fmt.Sprint(v)
	}
}

func booleans(v bool) []string {
	if v {
		return []string{"true", "yes", "on", "y"}
	}
	return []string{"false", "no", "off", "n"}
}

// names are the fields by which items of lists are told apart, as in Kubernetes'
// own merge keys.
var names = []string{"name", "mountPath", "containerPort", "port", "key", "ip", "topologyKey", "devicePath", "uid", "host"}

// itemLike is the item of a list that is the same as one of the object; -1 where
// there is none.
func itemLike(list *yaml.Node, index int, item any) int {
	switch item := item.(type) {
	case map[string]any:
		for _, name := range names {
			value, ok := item[name]
			if !ok {
				continue
			}
			for i, n := range list.Content {
				if n = dereferenced(n); n.Kind == yaml.MappingNode && valueOf(n, name) == fmt.Sprint(value) {
					return i
				}
			}
			return -1
		}
	case string, int64, float64, bool:
		for i, n := range list.Content {
			if says(n, item) {
				return i
			}
		}
		return -1
	case nil:
		return -1
	}
	return index
}

func (t *traced) text(file string, line int) (string, bool) {
	for path, data := range t.files.read {
		if t.files.name(path) == file {
			return lineOf(string(data), line)
		}
	}
	return "", false
}

func (t *traced) written() *cluster.Tree { return nil }

// lineOf is a line of a text, from 1.
func lineOf(text string, line int) (string, bool) {
	for ; line > 1; line-- {
		_, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return "", false
		}
		text = rest
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(text, "\r"), line == 1 && text != ""
}
