package fix

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/cluster"
)

// Want is an object of a file and what it should become.
type Want struct {
	// Line and Column are where the object begins, as its cluster.Tree says.
	Line, Column int
	// Before is the object as it is written, and After as it should be. Neither is changed.
	Before, After map[string]any
}

// Plan is what becomes of one file. It does not change.
type Plan struct {
	// Name is the file's, for messages and for Write.
	Name string
	// Refused has, for each Want, why its fix is not made; nil where it is.
	Refused []error

	before, after []byte
	lines         []int
	edits         [][]edit // of each Want
	// secret are the objects that a diff must not show, as ranges of lines.
	secret []stretch
}

// stretch are lines of a file, the first and the one behind the last, from 1.
type stretch struct{ from, to int }

// New plans how a file becomes what is wanted.
func New(ctx context.Context, name string, data []byte, wants []Want) *Plan {
	p := &Plan{Name: name, before: data, after: data, lines: lineStarts(data), Refused: make([]error, len(wants)), edits: make([][]edit, len(wants))}
	there, err := objectsOf(ctx, name, data)
	if err == nil {
		err = editable(data)
	}
	if err != nil {
		return p.refuse(err)
	}
	p.secret = there.secrets(len(p.lines) + 1)
	for i, w := range wants {
		p.edits[i], p.Refused[i] = there.edits(data, p.lines, w)
	}
	if p.prove(ctx, there, wants, p.made()) == nil {
		return p
	}
	// One of them is wrong: each must stand by itself, and then all together.
	for i := range wants {
		if p.Refused[i] == nil {
			p.Refused[i] = p.prove(ctx, there, wants, []int{i})
		}
	}
	if err := p.prove(ctx, there, wants, p.made()); err != nil {
		return p.refuse(err)
	}
	return p
}

func (p *Plan) refuse(err error) *Plan {
	for i := range p.Refused {
		if p.Refused[i] == nil {
			p.Refused[i] = err
		}
	}
	p.after = p.before
	return p
}

// made are the wants that are not refused.
func (p *Plan) made() (all []int) {
	for i, err := range p.Refused {
		if err == nil {
			all = append(all, i)
		}
	}
	return all
}

// prove applies the edits of some wants, and reads again what came of it.
func (p *Plan) prove(ctx context.Context, there *objects, wants []Want, of []int) error {
	var all []edit
	expected := slices.Clone(there.values)
	for _, i := range of {
		all = append(all, p.edits[i]...)
		expected[there.at(wants[i])] = wants[i].After
	}
	text, err := apply(p.before, all)
	if err != nil {
		return err
	}
	now, err := objectsOf(ctx, p.Name, text)
	if err != nil {
		return err
	}
	if len(now.values) != len(expected) || now.problems != there.problems {
		return errUnproved
	}
	for i := range expected {
		if !same(now.values[i], expected[i]) {
			return errUnproved
		}
	}
	p.after = text
	return nil
}

var errUnproved = errors.New("its text is written in a way that cannot be changed without changing more than the policy states")

// Changed reports whether anything would be written.
func (p *Plan) Changed() bool { return !bytes.Equal(p.before, p.after) }

// Text is the file as it would be.
func (p *Plan) Text() []byte { return p.after }

// objects are those of a file, in their order.
type objects struct {
	trees    []*cluster.Tree
	values   []map[string]any
	problems int // documents that are no objects, or cannot be read
}

func objectsOf(ctx context.Context, name string, data []byte) (*objects, error) {
	o := &objects{}
	err := cluster.TreesOf(ctx, name, data, cluster.FileOptions{Workers: 1}, func(t *cluster.Tree) { o.trees = append(o.trees, t) })
	list := v1alpha1.FieldErrorList{}
	switch {
	case errors.As(err, &list):
		o.problems = len(list)
	case err != nil:
		return nil, err
	}
	slices.SortStableFunc(o.trees, func(a, b *cluster.Tree) int {
		return cmp.Or(cmp.Compare(a.Source.Line, b.Source.Line), cmp.Compare(column(a), column(b)))
	})
	for _, t := range o.trees {
		value, problems := t.Value()
		if len(problems) > 0 {
			o.problems += len(problems)
		}
		o.values = append(o.values, value)
	}
	return o, nil
}

func column(t *cluster.Tree) int {
	_, col := t.Place(t.Root)
	return col
}

// at is the index of the object that a Want speaks of; -1 where it is not there.
func (o *objects) at(w Want) int {
	return slices.IndexFunc(o.trees, func(t *cluster.Tree) bool {
		line, col := t.Place(t.Root)
		return line == w.Line && (w.Column == 0 || col == w.Column)
	})
}

// secrets are the lines of objects that may hold secrets: from the object's first line
// to that of the next object.
func (o *objects) secrets(end int) (all []stretch) {
	for i, t := range o.trees {
		if t.Kind != "Secret" {
			continue
		}
		from, _ := t.Place(t.Root)
		to := end + 1
		if i+1 < len(o.trees) {
			to, _ = o.trees[i+1].Place(o.trees[i+1].Root)
			to = max(to, from+1)
		}
		all = append(all, stretch{from, to})
	}
	return all
}

func (o *objects) edits(data []byte, lines []int, w Want) ([]edit, error) {
	at := o.at(w)
	if at < 0 || !same(o.values[at], w.Before) {
		return nil, errors.New("the file has changed since it was checked")
	}
	e := newEditor(o.trees[at], data, lines)
	if err := e.change(slot{node: o.trees[at].Root, indent: -1}, w.Before, w.After); err != nil {
		return nil, err
	}
	return e.edits, nil
}

// same reports whether two values are the same to the API server, which knows 1 and 1.0
// of one field as one number.
func same(a, b map[string]any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// editable refuses texts whose lines cannot be counted the way editors do.
func editable(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("the file is not UTF-8")
	}
	for _, odd := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(data, []byte(odd)) {
			return errors.New("the file has line breaks that editors do not know")
		}
	}
	if bytes.Count(data, []byte("\r")) != bytes.Count(data, []byte("\r\n")) {
		return errors.New("the file has line breaks that editors do not know")
	}
	return nil
}

// lineStarts are the offsets at which lines begin.
func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' && i+1 < len(data) {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// edit puts a text in place of some bytes.
type edit struct {
	from, to int
	text     string
}

// apply makes edits. Those that overlap are an error.
func apply(data []byte, edits []edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	var out []byte
	at := 0
	for _, e := range edits {
		if e.from < at || e.to < e.from || e.to > len(data) {
			return nil, fmt.Errorf("two changes meet at the same place")
		}
		out = append(append(out, data[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, data[at:]...), nil
}
