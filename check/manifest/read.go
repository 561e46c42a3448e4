package manifest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// Summary is what was read.
type Summary struct {
	// Objects is how many objects were handed on.
	Objects int
	// Aside is how many documents of folders are no Kubernetes objects.
	Aside int
	// Unused are manifests that lie in the folder of a kustomization which does not
	// use them, at most a hundred.
	Unused []string
	// Notes are things a person may want to know, a sentence each.
	Notes []string
}

// Read hands every object that the paths stand for to take. It returns what could
// not be read as a v1alpha1.FieldErrorList, after all else was handed on; an error
// of take ends the reading and is returned as it is. take is called by several
// goroutines, unless Options.Workers is 1.
func Read(ctx context.Context, paths []string, opts Options, take func(*Object) error) (Summary, error) {
	opts.setDefaults()
	if opts.Stdin == nil {
		opts.Stdin = bytes.NewReader(nil)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &reader{opts: opts, take: take, cancel: cancel}
	err := r.read(ctx, paths)
	if cause := context.Cause(ctx); cause != nil {
		return r.summary, cause
	}
	if err != nil {
		return r.summary, err
	}
	return r.summary, r.problems.orNil(opts.MaxProblems)
}

// Objects are those of Read, one after the other. What could not be read comes
// last, with a nil object.
func Objects(ctx context.Context, paths []string, opts Options) iter.Seq2[*Object, error] {
	opts.Workers = 1
	return func(yield func(*Object, error) bool) {
		stop := errors.New("enough")
		_, err := Read(ctx, paths, opts, func(o *Object) error {
			if !yield(o, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(nil, err)
		}
	}
}

type reader struct {
	opts   Options
	take   func(*Object) error
	cancel context.CancelCauseFunc

	charts         []string
	kustomizations []*kustomization

	mu       sync.Mutex // guards what follows; take is called without it
	problems problems
	summary  Summary
}

func (r *reader) read(ctx context.Context, paths []string) error {
	var files []string
	for _, path := range paths {
		switch base := filepath.Base(path); {
		case path == "-":
			files = append(files, path)
		case isKustomization(base) && isFile(path):
			r.addKustomization(filepath.Dir(path), true)
		case base == chartFile && isFile(path):
			r.charts = append(r.charts, filepath.Dir(path))
		case isArchive(base) && isFile(path):
			r.charts = append(r.charts, path)
		default:
			files = append(files, path)
		}
	}
	if len(files) > 0 {
		opts := r.opts.files()
		opts.Folder = func(dir string) (bool, error) { return r.folder(dir, slices.Contains(files, dir)) }
		aside, err := cluster.Trees(ctx, files, r.opts.Stdin, opts, func(t *cluster.Tree) {
			if object := r.object(t); object != nil {
				object.places = plain{t}
				r.hand(ctx, object)
			}
		})
		r.summary.Aside = aside
		if err := r.failed(err); err != nil {
			return err
		}
	}
	for _, chart := range r.charts {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.chart(ctx, chart)
	}
	return r.kustomize(ctx)
}

// folder takes the folders of charts and kustomizations.
func (r *reader) folder(dir string, named bool) (bool, error) {
	if isFile(filepath.Join(dir, chartFile)) {
		r.charts = append(r.charts, dir)
		return true, nil
	}
	if kustomizationIn(dir) == "" {
		return false, nil
	}
	r.addKustomization(dir, named)
	return true, r.below(dir)
}

// below finds the charts and kustomizations in the folders below a kustomization;
// every other file there is for the kustomization to use.
func (r *reader) below(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			r.problem(&v1alpha1.FieldError{File: path, Message: "cannot be read: " + reason(err)})
			return nil
		}
		switch {
		case path == dir || !entry.IsDir():
		case isFile(filepath.Join(path, chartFile)):
			r.charts = append(r.charts, path)
			return filepath.SkipDir
		case kustomizationIn(path) != "":
			r.addKustomization(path, false)
		}
		return nil
	})
}

// object makes an object of a tree, without its places; nil, with a problem, where
// it has no value.
func (r *reader) object(t *cluster.Tree) *Object {
	value, found := t.Value()
	if len(found) > 0 {
		for _, problem := range found {
			r.problem(problem)
		}
		return nil
	}
	object := &Object{Source: t.Source, Way: Plain}
	object.Object = value
	object.SetGroupVersionKind(schemaKind(t.APIVersion, t.Kind))
	object.Source.Line, object.Column = t.Place(t.Root)
	return object
}

func (r *reader) hand(ctx context.Context, o *Object) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	r.summary.Objects++
	r.mu.Unlock()
	if err := r.take(o); err != nil {
		r.cancel(err)
	}
}

func (r *reader) problem(e *v1alpha1.FieldError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems.add(e, r.opts.MaxProblems)
}

func (r *reader) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Notes = append(r.summary.Notes, text)
}

// failed keeps the problems of an error, and returns any other error.
func (r *reader) failed(err error) error {
	list := v1alpha1.FieldErrorList{}
	if errors.As(err, &list) {
		for _, e := range list {
			r.problem(e)
		}
		return nil
	}
	return err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isArchive(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".tar.gz")
}

func reason(err error) string {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return err.Error()
}

// readFile reads a regular file of a bounded size.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("it is too large")}
	}
	return data, err
}
