package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// kustomization is a folder that is to be built.
type kustomization struct {
	dir   string
	named bool // by the caller; it is built even if another one builds upon it
}

func (r *reader) addKustomization(dir string, named bool) {
	for _, k := range r.kustomizations {
		if k.dir == dir {
			k.named = k.named || named
			return
		}
	}
	r.kustomizations = append(r.kustomizations, &kustomization{dir: dir, named: named})
}

// kustomize builds the kustomizations, one after the other: the library keeps
// schemas in state of its process.
func (r *reader) kustomize(ctx context.Context) error {
	below := map[string]bool{} // the folders that others build upon
	components := map[string]bool{}
	for _, k := range r.kustomizations {
		said := r.said(k.dir)
		components[k.dir] = said.Kind == types.ComponentKind
		for _, path := range slices.Concat(said.Resources, said.Bases, said.Components) {
			below[filepath.Join(k.dir, path)] = true
		}
	}
	used := map[string]bool{} // files, by their real paths
	for _, k := range r.kustomizations {
		if !k.named && (below[filepath.Clean(k.dir)] || components[k.dir]) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r.build(ctx, k, used)
	}
	for _, k := range r.kustomizations {
		r.unused(k.dir, used)
	}
	return nil
}

// said is what a kustomization says of the ones below it. Building it tells what is
// wrong with it.
func (r *reader) said(dir string) (said struct {
	Kind                         string
	Resources, Bases, Components []string
}) {
	if data, err := readFile(kustomizationIn(dir), int64(r.opts.MaxObjectBytes)); err == nil {
		_ = yaml.Unmarshal(data, &said)
	}
	return said
}

// build hands on what a kustomization makes.
func (r *reader) build(ctx context.Context, k *kustomization, used map[string]bool) {
	files, err := newShut(k.dir, r.opts.files())
	if err != nil {
		r.problem(&v1alpha1.FieldError{File: k.dir, Message: "cannot be read: " + reason(err)})
		return
	}
	made, err := files.build(r.opts.Kustomize)
	for path := range files.read {
		used[path] = true
	}
	switch found := files.wrong(ctx, err != nil); {
	case len(found) > 0:
		for _, problem := range found {
			r.problem(problem)
		}
		return
	case err != nil:
		file := cmp.Or(kustomizationIn(k.dir), k.dir)
		r.problem(&v1alpha1.FieldError{File: file, Message: "the kustomization cannot be built: " + files.shown(oneLine(literal.ReplaceAllString(err.Error(), "$1 (not shown)"))), Hint: buildHint(err)})
		return
	}
	sources := &sources{files: files, trees: map[string][]*cluster.Tree{}}
	for _, res := range made.Resources() {
		object, err := files.object(ctx, sources, res)
		if err != nil {
			r.problem(&v1alpha1.FieldError{File: k.dir, Message: "what the kustomization makes cannot be read: " + oneLine(err.Error())})
			continue
		}
		r.hand(ctx, object)
	}
}

// literal finds what the library says of a literal, which may be secret.
var literal = regexp.MustCompile(`(literal sources?):? [^\n]*`)

func buildHint(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "is not in or below"):
		return "move the file below the kustomization, or make its folder a base"
	case strings.Contains(text, "must specify --enable-helm"), strings.Contains(text, "enable-helm"):
		return "helmCharts runs a program; render the chart itself: give its folder as a path"
	case strings.Contains(text, "external plugins disabled"), strings.Contains(text, "plugin"):
		return "plugins and functions are programs, and none is run; check what your own build prints, with the path -"
	}
	return ""
}

// build runs the library: no plugins, no functions, no helm.
func (f *shut) build(opts KustomizeOptions) (made resmap.ResMap, err error) {
	defer func() {
		if p := recover(); p != nil {
			made, err = nil, fmt.Errorf("the library panicked: %v", p)
		}
	}()
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionNone
	if opts.AnyFile {
		options.LoadRestrictions = types.LoadRestrictionsNone
	}
	return krusty.MakeKustomizer(options).Run(f, f.root)
}

// wrong are the places of what is wrong with the files that were read: what was
// refused, and where the build failed, what cannot be parsed.
func (f *shut) wrong(ctx context.Context, failed bool) []*v1alpha1.FieldError {
	found := f.refused
	if !failed || len(found) > 0 {
		return found
	}
	for path, data := range f.read {
		if !isYAML(path) {
			continue
		}
		list := v1alpha1.FieldErrorList{}
		if errors.As(cluster.TreesOf(ctx, f.name(path), data, f.opts, func(*cluster.Tree) {}), &list) {
			for _, e := range list {
				if strings.HasPrefix(e.Message, "parse ") || strings.Contains(e.Message, "not UTF-8") {
					found = append(found, e)
				}
			}
		}
	}
	return found
}

const originAnnotation = "config.kubernetes.io/origin"

// object is what the library made, with the places of where it comes from.
func (f *shut) object(ctx context.Context, s *sources, res *resource.Resource) (*Object, error) {
	text, err := res.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	o := &Object{Made: f.dir, Way: Kustomized}
	o.Object = value
	var from resource.Origin
	annotations := o.GetAnnotations()
	_ = yaml.Unmarshal([]byte(annotations[originAnnotation]), &from)
	if !f.asked {
		delete(annotations, originAnnotation)
		if len(annotations) == 0 {
			annotations = nil
		}
		o.SetAnnotations(annotations)
	}
	o.places = s.trace(ctx, o, from)
	at := o.Position("")
	o.Source.Kind, o.Source.Namespace, o.Source.Name = o.GetKind(), o.GetNamespace(), o.GetName()
	o.Source.File, o.Source.Line, o.Column = at.File, at.Line, at.Column
	return o, nil
}

// unused notes the manifests of a folder that no kustomization used.
func (r *reader) unused(dir string, used map[string]bool) {
	const most = 100
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case entry.IsDir() && path != dir && (isFile(filepath.Join(path, chartFile)) || kustomizationIn(path) != ""):
			return filepath.SkipDir
		case entry.IsDir() || !isYAML(path) || isKustomization(entry.Name()):
			return nil
		}
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			real, err = filepath.Abs(real)
		}
		if err == nil && !used[real] && len(r.summary.Unused) < most && !slices.Contains(r.summary.Unused, path) {
			r.summary.Unused = append(r.summary.Unused, path)
		}
		return nil
	})
}

func isYAML(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))) || isKustomization(filepath.Base(path))
}
