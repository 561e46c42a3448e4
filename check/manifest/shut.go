package manifest

import (
	"bytes"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// shut is the file system that a kustomization is built from: the disk, read only.
// It keeps what was read. A kustomization that names anything remote cannot be read
// from it at all, so that the library, which would run git or ask a server, never
// learns of it.
type shut struct {
	filesys.FileSystem
	dir  string // as the caller wrote it
	root string // dir without links, absolute
	opts cluster.FileOptions

	read    map[string][]byte // by real path
	refused []*v1alpha1.FieldError
	asked   bool // the kustomization wants the annotation of where objects come from
}

func newShut(dir string, opts cluster.FileOptions) (*shut, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = filepath.Abs(root)
	}
	if err != nil {
		return nil, err
	}
	return &shut{FileSystem: filesys.MakeFsOnDisk(), dir: dir, root: root, opts: opts, read: map[string][]byte{}}, nil
}

var errShut = errors.New("nothing is written while files are checked")

func (f *shut) Create(string) (filesys.File, error)  { return nil, errShut }
func (f *shut) Open(string) (filesys.File, error)    { return nil, errShut }
func (f *shut) Mkdir(string) error                   { return errShut }
func (f *shut) MkdirAll(string) error                { return errShut }
func (f *shut) RemoveAll(string) error               { return errShut }
func (f *shut) WriteFile(string, []byte) error       { return errShut }
func (f *shut) Walk(string, filepath.WalkFunc) error { return errShut }

// name is a file as the caller would write it.
func (f *shut) name(path string) string {
	if rel, err := filepath.Rel(f.root, path); err == nil {
		return filepath.Join(f.dir, rel)
	}
	return path
}

// shown is a message of the library with paths as the caller would write them.
func (f *shut) shown(message string) string {
	message = strings.ReplaceAll(message, f.root+string(filepath.Separator), filepath.Clean(f.dir)+string(filepath.Separator))
	message = strings.ReplaceAll(message, f.root, filepath.Clean(f.dir))
	if above := filepath.Dir(f.root); above != "/" {
		message = strings.ReplaceAll(message, above+string(filepath.Separator), filepath.Join(f.dir, "..")+string(filepath.Separator))
	}
	return message
}

// ReadFile reads a file, and refuses what would hurt.
func (f *shut) ReadFile(path string) ([]byte, error) {
	data, err := readFile(path, f.opts.MaxFileBytes)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			f.refuse(path, nil, "cannot be read: "+reason(err), "")
		}
		return nil, err
	}
	if len(data) > f.opts.MaxObjectBytes*8 {
		return nil, f.refuse(path, nil, "it is too large for a file of a kustomization", "")
	}
	f.read[path] = data
	kustomization := isKustomization(filepath.Base(path))
	if !kustomization && !bytes.ContainsRune(data, '*') && !bytes.Contains(data, []byte("builtin")) {
		return data, nil
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var document yaml.Node
		if err := decode(decoder, &document); err != nil {
			return data, nil // what cannot be parsed is the library's to report
		}
		if len(document.Content) != 1 {
			continue
		}
		root := document.Content[0]
		if left := mostAliased; !f.bounded(root, &left, 0) {
			return nil, f.refuse(path, root, "its aliases stand for too many values, or it is nested too deeply", "write the values out")
		}
		builtin := root.Kind == yaml.MappingNode && valueOf(root, "apiVersion") == "builtin"
		if kustomization || builtin {
			if n := remoteIn(root, 0); n != nil {
				return nil, f.refuse(path, n, "it is loaded from elsewhere: "+gate.Plain(n.Value), "nothing is fetched; keep a copy beside the kustomization, and name that")
			}
		}
		if kustomization && filepath.Dir(path) == f.root {
			return f.withOrigins(root, data), nil
		}
	}
}

// decode is decoder.Decode, which reports some input by a panic.
func decode(decoder *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("cannot be parsed")
		}
	}()
	return decoder.Decode(n)
}

func (f *shut) refuse(path string, n *yaml.Node, message, hint string) error {
	e := &v1alpha1.FieldError{File: f.name(path), Message: message, Hint: hint}
	if n != nil {
		e.Line, e.Col = n.Line, n.Column
	}
	// The library asks for a file more than once.
	if !slices.ContainsFunc(f.refused, func(have *v1alpha1.FieldError) bool { return *have == *e }) {
		f.refused = append(f.refused, e)
	}
	return &os.PathError{Op: "read", Path: path, Err: errors.New(message)}
}

// mostAliased is how many values the aliases of a file may stand for, and mostDeep
// how deep they may be nested: the library writes aliases out.
const (
	mostAliased = 100_000
	mostDeep    = 200
)

func (f *shut) bounded(n *yaml.Node, left *int, depth int) bool {
	if *left--; *left < 0 && depth > 0 || depth > mostDeep {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return f.bounded(n.Alias, left, depth+1)
	}
	for _, child := range n.Content {
		if !f.bounded(child, left, depth+1) {
			return false
		}
	}
	return true
}

// isData are the fields of kustomizations that hold values, and no paths.
var isData = map[string]bool{
	"patch": true, "literals": true, "commonLabels": true, "commonAnnotations": true, "labels": true, "annotations": true,
	"images": true, "options": true, "generatorOptions": true, "metadata": true, "vars": true, "target": true, "targets": true,
}

// remoteIn finds what the library would load from elsewhere; nil where nothing is.
func remoteIn(n *yaml.Node, depth int) *yaml.Node {
	switch n.Kind {
	case yaml.ScalarNode:
		if isRemote(n.Value) {
			return n
		}
		if depth < 4 && strings.ContainsAny(n.Value, "\n{") { // a generator or transformer may be written in place
			var inner yaml.Node
			if decode(yaml.NewDecoder(strings.NewReader(n.Value)), &inner) == nil && remoteIn(&inner, depth+1) != nil {
				return n
			}
		}
	case yaml.AliasNode:
		return remoteIn(n.Alias, depth)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if isData[n.Content[i].Value] {
				continue
			}
			if found := remoteIn(n.Content[i+1], depth); found != nil {
				return found
			}
		}
	default:
		for _, child := range n.Content {
			if found := remoteIn(child, depth); found != nil {
				return found
			}
		}
	}
	return nil
}

// isRemote reports whether the library takes a path for a URL, or for a repository
// of git, as its own reading of it says.
func isRemote(path string) (remote bool) {
	defer func() {
		if recover() != nil {
			remote = true
		}
	}()
	if strings.HasPrefix(strings.ToLower(path), "git::") {
		return true
	}
	if u, err := url.Parse(path); err == nil && u.Scheme != "" && (u.Host != "" || strings.HasPrefix(u.Scheme, "http")) {
		return true
	}
	if strings.ContainsAny(path, "\n") {
		return false
	}
	return new(resource.Origin).Append(path).Repo != ""
}

func valueOf(n *yaml.Node, name string) string {
	if _, value := fieldOf(n, name, mostMerged); value != nil {
		return dereferenced(value).Value
	}
	return ""
}

// withOrigins is a kustomization that has where objects come from written on them.
func (f *shut) withOrigins(root *yaml.Node, data []byte) []byte {
	const field, option = "buildMetadata", "originAnnotations"
	if root.Kind != yaml.MappingNode {
		return data
	}
	_, list := fieldOf(root, field, 0)
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: field}, list)
	}
	if list.Kind != yaml.SequenceNode {
		return data
	}
	for _, item := range list.Content {
		if item.Value == option {
			f.asked = true
			return data
		}
	}
	list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: option})
	out, err := yaml.Marshal(root)
	if err != nil {
		return data
	}
	return out
}
