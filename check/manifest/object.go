package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gatehouse-io/gatehouse/cluster"
	"github.com/gatehouse-io/gatehouse/gate"
)

// Object is an object of some manifest, and where it was written.
type Object struct {
	unstructured.Unstructured
	// Source is the object with the file and line it begins on.
	Source gate.Source
	// Column is where it begins on that line, from 1.
	Column int
	// Made says what made the object of that file: the folder of a kustomization, or
	// a chart. Empty where the object stands in the file as it is.
	Made string
	// Way is how it came about.
	Way Way
	// Home is the namespace that it goes to where it names none itself and is of a
	// kind that has one: that of a chart's release. Empty where nothing says.
	Home string

	places places
}

// Way is how an object came about.
type Way string

const (
	Plain      Way = "file"      // it stands in a file
	Rendered   Way = "chart"     // a template of a chart was rendered
	Kustomized Way = "kustomize" // a kustomization was built
)

// Position is a place in a file.
type Position struct {
	File         string
	Line, Column int // from 1; 0 where it is not known
	// Exact says that the field itself stands there; else it is the nearest thing
	// around it that is known.
	Exact bool
}

// String is "file:line:col", or as much of it as is known.
func (p Position) String() string {
	text := p.File
	if p.Line > 0 {
		text += ":" + strconv.Itoa(p.Line)
		if p.Column > 0 {
			text += ":" + strconv.Itoa(p.Column)
		}
	}
	return text
}

// places knows where fields were written. what says which of a field's two places
// is wanted.
type places interface {
	position(object map[string]any, steps []step, what part) Position
	// text is a line of the file that positions lead into.
	text(file string, line int) (string, bool)
	// written is the tree of the file itself; nil where there is none, or another
	// text stands between it and the object.
	written() *cluster.Tree
}

type part int

const (
	value part = iota // a scalar, else the name of the field
	name              // the name of the field, where it has one
)

// Position is where a field was written. The path is of the form
// "spec.containers[0].image", or a JSON pointer; the empty one is the object.
func (o *Object) Position(path string) Position {
	return o.places.position(o.Object, parsePath(o.Object, path), value)
}

// NamePosition is where the name of a field was written, for problems that the
// name itself is.
func (o *Object) NamePosition(path string) Position {
	return o.places.position(o.Object, parsePath(o.Object, path), name)
}

// Tree is the object as its file has it, for those who change the file; nil where
// a chart or a kustomization stands between.
func (o *Object) Tree() *cluster.Tree { return o.places.written() }

// Line is the text of a line that Position led to. Of Secrets what may be secret
// is replaced.
func (o *Object) Line(p Position) (string, bool) {
	text, ok := o.places.text(p.File, p.Line)
	if ok && o.GetKind() == "Secret" {
		text = Covered(text)
	}
	return text, ok
}

// Covered is a line of a Secret without what could be secret: all but the names of
// fields, and the values of a few that never are.
func Covered(text string) string {
	key, rest, ok := strings.Cut(text, ":")
	if !ok {
		return covering
	}
	switch strings.TrimSpace(key) {
	case "apiVersion", "kind", "type", "name", "namespace", "immutable":
		if !strings.ContainsAny(rest, "{,") {
			return text
		}
	}
	if strings.ContainsAny(key, "{,\"'") || len(key) > 80 || strings.TrimSpace(key) == "" {
		return covering
	}
	if strings.TrimSpace(rest) == "" {
		return text
	}
	return key + ": " + covering
}

const covering = "(not shown: it may be secret)"

// plain are the places of an object that stands in a file.
type plain struct{ tree *cluster.Tree }

func (p plain) position(_ map[string]any, steps []step, what part) Position {
	s := descend(p.tree.Root, steps, nil)
	line, column := p.tree.Place(nodeOf(s, what))
	return Position{File: p.tree.Source.File, Line: line, Column: column, Exact: s.found == len(steps)}
}

func nodeOf(s spot, what part) *yaml.Node {
	if what == name && s.key != nil {
		return s.key
	}
	return s.place()
}

func (p plain) text(file string, line int) (string, bool) {
	if file != p.tree.Source.File {
		return "", false
	}
	return p.tree.Line(line)
}

func (p plain) written() *cluster.Tree { return p.tree }
