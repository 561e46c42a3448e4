package cluster

import (
	"sync"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// piece is a stretch of a file that is parsed by itself: a document, an item of a
// list, or what is left of a list without its items.
type piece struct {
	file string
	// line and col are the place of the first byte, from 1.
	line, col int
	data      []byte
	json      bool // written in JSON; else in YAML

	// list is the one that the piece is an item or the envelope of; nil for a document.
	list *list
	// envelope says that the piece is a list without its items.
	envelope bool
	// gapAfter is the line of an envelope's data, from 1, after which gap lines of
	// the file were cut out; 0 where none were.
	gapAfter, gap int
}

// at is the place in the file of a line and column of the piece, from 1.
func (p *piece) at(line, col int) (int, int) {
	if line == 1 {
		return p.line, p.col + col - 1
	}
	if p.gapAfter > 0 && line > p.gapAfter {
		line += p.gap
	}
	return p.line + line - 1, col
}

func (p *piece) problem(line, col int, message, hint string) *v1alpha1.FieldError {
	line, col = p.at(line, col)
	return &v1alpha1.FieldError{File: p.file, Line: line, Col: col, Message: message, Hint: hint}
}

// list is a list that was cut into its items. In a typed list an item need not say
// its kind; the envelope does, and may come after the items.
type list struct {
	mu      sync.Mutex
	known   bool     // the envelope has been read, or could not be
	items   typeMeta // what items are that do not say it; empty where that is not known
	aside   bool     // items that do not say it are none of ours
	waiting []*piece // items that wait for the envelope
}

// kindOfItems says what an item is that does not say it itself, or that it is left
// aside. Where that is not known yet it keeps the item, for settle to hand out.
func (l *list) kindOfItems(p *piece) (items typeMeta, aside bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known {
		l.waiting = append(l.waiting, p)
		return typeMeta{}, true
	}
	return l.items, l.aside
}

// settle says what the items are, and returns those that waited for it.
func (l *list) settle(items typeMeta, aside bool) []*piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := l.waiting
	l.known, l.items, l.aside, l.waiting = true, items, aside, nil
	return waiting
}

// typeMeta is what an object says it is.
type typeMeta struct{ apiVersion, kind string }
