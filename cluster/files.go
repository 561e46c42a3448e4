package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"go.yaml.in/yaml/v3"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/gate"
)

// FileOptions shape how files are read. The zero value is ready.
type FileOptions struct {
	// Namespace is that of Roles and RoleBindings which name none. Default:
	// "default", where kubectl apply puts them.
	Namespace string
	// MaxObjectBytes is the size of the largest object. An API server stores 3 MiB
	// at most. Default: 8 MiB.
	MaxObjectBytes int
	// MaxFileBytes is the size of the largest file. Default: 1 GiB.
	MaxFileBytes int64
	// MaxProblems is how many problems are reported. Default: 100.
	MaxProblems int
	// Workers is how many goroutines parse. Default: as many as there are processors.
	Workers int
	// Folder is asked for each folder before what is in it is read, and may take it:
	// then nothing in it or below is read. An error ends the reading. Default: none
	// is taken.
	Folder func(dir string) (taken bool, err error)
}

func (o *FileOptions) setDefaults() {
	if o.Namespace == "" {
		o.Namespace = metav1.NamespaceDefault
	}
	if o.MaxObjectBytes <= 0 {
		o.MaxObjectBytes = 8 << 20
	}
	if o.MaxFileBytes <= 0 {
		o.MaxFileBytes = 1 << 30
	}
	if o.MaxProblems <= 0 {
		o.MaxProblems = 100
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
}

// FromFiles fills a View from files. A path is a file, a folder (every *.yaml,
// *.yml and *.json in it and below), or "-", which is stdin. Symbolic links are
// followed.
//
// What cannot be read, parsed or understood is a v1alpha1.FieldErrorList, and then
// there is no View. In a folder, documents that are no Kubernetes objects at all,
// such as the values of a chart, are left aside; in a file that is named they are
// an error.
func FromFiles(ctx context.Context, paths []string, stdin io.Reader, opts FileOptions) (*View, error) {
	opts.setDefaults()
	v := &View{}
	r := &reader{opts: opts, stdin: stdin, problems: problems{most: opts.MaxProblems}}
	var mu sync.Mutex // guards v and assumed
	assumed := 0
	r.take = func(o *object) {
		fresh, wrong, hint := o.fresh()
		if wrong != "" {
			d := &decoder{piece: o.piece, what: shown(o.identity(opts.Namespace).Source)}
			d.fail(o.node, "apiVersion", hint, "%s", wrong)
			r.problems.add(d.problems[0])
			return
		}
		var source gate.Source
		var rules []int
		var found []*v1alpha1.FieldError
		var noNamespace bool
		if fresh != nil {
			source, rules, noNamespace, found = o.read(fresh, opts.Namespace)
		}
		for _, e := range found {
			r.problems.add(e)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case fresh == nil:
			v.Aside++
		case len(found) == 0:
			v.add(fresh, source, rules)
			if noNamespace {
				assumed++
			}
		}
	}
	if err := r.read(ctx, paths); err != nil {
		return nil, err
	}
	for _, pair := range v.sort() {
		first, second := pair[0], pair[1]
		r.problems.add(&v1alpha1.FieldError{File: second.File, Line: second.Line, Col: 1,
			Message: fmt.Sprintf("%s is there already, with another content, at %s", shown(second), first.Place()), Hint: "keep one of the two"})
	}
	if err := r.problems.err(); err != nil {
		return nil, err
	}
	if assumed > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%s taken to be in %q", count(assumed, "object names no namespace and is", "objects name no namespace and are"), opts.Namespace))
	}
	if r.others > 0 {
		v.Notes = append(v.Notes, count(r.others, "document of the folders is no Kubernetes object", "documents of the folders are no Kubernetes objects"))
	}
	v.aggregate()
	return v, nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// reader reads files, several pieces at once.
type reader struct {
	opts     FileOptions
	stdin    io.Reader
	take     func(*object) // is called by several goroutines
	problems problems

	named sync.Map // the files that were named themselves, by name

	mu     sync.Mutex
	others int // documents of folders that are no objects
}

// read reads all files that the paths stand for, and returns when take has been
// called for each object in them. An error means that it was interrupted; what is
// wrong with files is in problems.
func (r *reader) read(ctx context.Context, paths []string) error {
	pieces := make(chan *piece, r.opts.Workers)
	var workers sync.WaitGroup
	for range r.opts.Workers {
		workers.Go(func() {
			for p := range pieces {
				if ctx.Err() == nil {
					r.piece(p)
				}
			}
		})
	}
	emit := func(p *piece) error {
		select {
		case pieces <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w := walk{problems: &r.problems, seen: map[string]bool{}, take: r.opts.Folder, visit: func(path string, named bool) error {
		return r.file(path, named, emit)
	}}
	var err error
	for _, path := range paths {
		if err = w.path(path); err != nil {
			break
		}
	}
	close(pieces)
	workers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// file cuts one file. What is wrong with it goes into problems.
func (r *reader) file(path string, named bool, emit func(*piece) error) error {
	name, in := path, r.stdin
	if path == standardInput {
		name = standardInputName
	} else {
		f, err := os.Open(path)
		if err != nil {
			r.problems.add(unreadable(path, err))
			return nil
		}
		defer f.Close()
		in = f
	}
	if named {
		r.named.Store(name, true)
	}
	pieces := 0
	if err := r.cut(name, in, func(p *piece) error { pieces++; return emit(p) }); err != nil {
		return err
	}
	if named && pieces == 0 && !r.problems.in(name) {
		r.problems.add(&v1alpha1.FieldError{File: name, Message: "it is empty", Hint: "is this the right file?"})
	}
	return nil
}

// cut cuts text into pieces. What is wrong with it goes into problems; an error
// means that it was interrupted.
func (r *reader) cut(name string, in io.Reader, emit func(*piece) error) error {
	s := splitter{file: name, in: bufio.NewReaderSize(&bounded{in, r.opts.MaxFileBytes}, 64<<10), most: r.opts.MaxObjectBytes, emit: emit}
	err := s.run()
	limit := limitError{}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &limit):
		r.problems.add(limit.FieldError)
	case errors.Is(err, errTooLong):
		r.problems.add(&v1alpha1.FieldError{File: name, Message: "the file is larger than " + size(r.opts.MaxFileBytes), Hint: "split it, and name the parts"})
	case err != nil:
		r.problems.add(unreadable(name, err))
	}
	return nil
}

// piece parses a piece and hands on its objects.
func (r *reader) piece(p *piece) {
	roots, problem := parse(p)
	if problem != nil {
		r.problems.add(problem)
	}
	switch {
	case p.envelope:
		r.envelope(p, roots, problem == nil)
	case problem != nil:
	case p.list != nil:
		r.item(p, roots)
	default:
		for _, root := range roots {
			if !isNull(root) {
				r.objects(p, root, typeMeta{}, 0)
			}
		}
	}
}

// item hands on the object of an item that was cut out of a list.
func (r *reader) item(p *piece, roots []*yaml.Node) {
	if len(roots) != 1 {
		r.problems.add(p.problem(1, 1, "the list cannot be cut into items here", "write each item of it indented, below a dash"))
		return
	}
	root := roots[0]
	if !p.json { // the item stands in a list of one
		if root.Kind != yaml.SequenceNode || len(root.Content) != 1 {
			r.problems.add(p.problem(1, 1, "the list cannot be cut into items here", "write each item of it indented, below a dash"))
			return
		}
		root = root.Content[0]
	}
	var inherited typeMeta
	if !saysKind(root) {
		var aside bool
		if inherited, aside = p.list.kindOfItems(p); aside {
			return
		}
	}
	r.objects(p, root, inherited, 1)
}

func saysKind(n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == "kind" || n.Content[i].Value == "apiVersion" {
			return true
		}
	}
	return false
}

// envelope reads what a list says of itself, and the items that waited for it.
func (r *reader) envelope(p *piece, roots []*yaml.Node, parsed bool) {
	var said, inner typeMeta
	if parsed {
		cut := 0
		d := decoder{piece: p}
		if len(roots) == 1 && roots[0].Kind == yaml.MappingNode {
			for key, value := range d.entries(roots[0], "", join) {
				switch key.Value {
				case "apiVersion":
					d.scalarInto(&said.apiVersion, value, "apiVersion")
				case "kind":
					d.scalarInto(&said.kind, value, "kind")
				case "items":
					if key.Line <= p.gapAfter && (isNull(value) || value.Kind == yaml.SequenceNode && len(value.Content) == 0) {
						cut++
					}
				}
			}
		}
		switch {
		case len(d.problems) > 0:
			for _, e := range d.problems {
				r.problems.add(e)
			}
		case cut != 1:
			r.problems.add(p.problem(p.gapAfter, 1, "the list cannot be cut into its items", "write --- between documents, and the items as a list below items:"))
		}
		inner = itemsOf(said)
	}
	// A file of a folder may happen to have items, such as the values of a chart.
	aside := parsed && inner == (typeMeta{}) && r.leaveAside(p, said)
	for _, waiting := range p.list.settle(inner, aside) {
		if roots, problem := parse(waiting); problem == nil {
			r.item(waiting, roots)
		}
	}
}

// leaveAside reports, and counts, a document of a folder that does not say that it
// is an object.
func (r *reader) leaveAside(p *piece, said typeMeta) bool {
	if _, named := r.named.Load(p.file); named || said != (typeMeta{}) {
		return false
	}
	r.mu.Lock()
	r.others++
	r.mu.Unlock()
	return true
}

// notAnObject reports a document that is no mapping.
func (r *reader) notAnObject(p *piece, n *yaml.Node) {
	if p.list == nil && n.Kind == yaml.SequenceNode && r.leaveAside(p, typeMeta{}) {
		return
	}
	r.problems.add(p.problem(max(n.Line, 1), max(n.Column, 1), "want a Kubernetes object, have "+have(n), "an object begins with the fields apiVersion and kind"))
}

// incomplete reports an object that does not say what it is.
func (r *reader) incomplete(o object) {
	if o.piece.list == nil && !looksLikeObject(o.node) && r.leaveAside(o.piece, o.typeMeta) {
		return
	}
	missing := "kind"
	if o.kind != "" {
		missing = "apiVersion"
	}
	hint := "an object begins with the fields apiVersion and kind"
	if slices.Contains(rbacKinds, o.kind) {
		hint = "write apiVersion: " + rbacv1.SchemeGroupVersion.String()
	}
	r.problems.add(o.piece.problem(max(o.node.Line, 1), max(o.node.Column, 1), missing+" is missing", hint))
}

// looksLikeObject reports whether a mapping has fields that nothing but an RBAC
// object has, and so should have said what it is.
func looksLikeObject(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "roleRef", "aggregationRule":
			return true
		}
	}
	return false
}
