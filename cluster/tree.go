package cluster

import (
	"bytes"
	"context"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// Tree is an object of a file, of whatever kind, as it was written: with the place
// of every field. The tree of a list's item holds that item alone.
type Tree struct {
	Identity
	// Root is the mapping of the object. Its lines and columns are those of the
	// stretch of the file that it was parsed from: Place makes them the file's.
	Root *yaml.Node

	piece *piece
}

// Place is where a node stands in the file, from 1.
func (t *Tree) Place(n *yaml.Node) (line, col int) {
	return t.piece.at(max(n.Line, 1), max(n.Column, 1))
}

// JSON reports whether the object is written in JSON.
func (t *Tree) JSON() bool { return t.piece.json }

// Line is the text of a line of the file, without its line break, as far as it
// belongs to the stretch that the object was parsed from.
func (t *Tree) Line(line int) (string, bool) {
	within := line - t.piece.line + 1
	if t.piece.gapAfter > 0 && within > t.piece.gapAfter {
		within -= t.piece.gap
	}
	if within < 1 || len(t.piece.data) == 0 {
		return "", false
	}
	rest := lineOf(t.piece.data, within)
	if len(rest) == 0 {
		return "", false
	}
	text := string(bytes.TrimRight(firstLine(rest), "\r"))
	if within == 1 && t.piece.col > 1 {
		// What stands before it on the line belongs to somebody else.
		text = string(bytes.Repeat([]byte(" "), min(t.piece.col-1, 1000))) + text
	}
	return text, true
}

// Problem is something wrong with a place of the object.
func (t *Tree) Problem(n *yaml.Node, field, message, hint string) *v1alpha1.FieldError {
	e := t.piece.problem(max(n.Line, 1), max(n.Column, 1), message, hint)
	e.Field = field
	return e
}

// Trees hands every object of some files to take, of whatever kind, one after the
// other as they are read: none is kept. Paths are those of FromFiles. With
// FileOptions.Workers 1, objects come in the order of the files; else take is
// called by several goroutines.
//
// aside is how many documents of folders are no objects. What cannot be read is a
// v1alpha1.FieldErrorList, after everything else has been handed on.
func Trees(ctx context.Context, paths []string, stdin io.Reader, opts FileOptions, take func(*Tree)) (aside int, err error) {
	opts.setDefaults()
	r := &reader{opts: opts, stdin: stdin, problems: problems{most: opts.MaxProblems}}
	r.take = func(o *object) { take(o.tree()) }
	if err := r.read(ctx, paths); err != nil {
		return 0, err
	}
	return r.others, r.problems.err()
}

// TreesOf is Trees for text that was read, or made, already; name is what messages
// call it. A document that is no object is an error.
func TreesOf(ctx context.Context, name string, text []byte, opts FileOptions, take func(*Tree)) error {
	opts.setDefaults()
	r := &reader{opts: opts, problems: problems{most: opts.MaxProblems}}
	r.take = func(o *object) { take(o.tree()) }
	r.named.Store(name, true)
	cut := func(p *piece) error { r.piece(p); return ctx.Err() }
	if err := r.cut(name, bytes.NewReader(text), cut); err != nil {
		return err
	}
	return r.problems.err()
}

func (o *object) tree() *Tree {
	t := &Tree{Identity: o.identity(""), Root: o.node, piece: o.piece}
	t.Source.Namespace = t.Namespace
	return t
}
