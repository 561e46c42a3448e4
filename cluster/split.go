package cluster

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
)

// splitter cuts a file into pieces as it reads it.
//
// YAML is cut at lines that begin with "---", which end a document wherever they
// stand, and a document of the form
//
//	items:
//	- …
//	- …
//
// at its items. Where such a cut went through a value, the part before it could
// not be parsed, or the envelope would have no items: a cut never changes what a
// file says, it can only make it an error.
type splitter struct {
	file string
	in   *bufio.Reader
	most int // bytes of a piece
	emit func(*piece) error

	line, col int // of the next byte, from 1
}

// limitError ends the reading of a file: it is too large, or a part of it is.
type limitError struct{ *v1alpha1.FieldError }

func (s *splitter) tooLarge(line int, what string) error {
	return limitError{&v1alpha1.FieldError{File: s.file, Line: line, Col: 1,
		Message: "the " + what + " that begins here is larger than " + size(int64(s.most)),
		Hint:    "no API server stores an object of that size; is this the right file?"}}
}

func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// document is the YAML document that is being cut.
type document struct {
	piece
	lines   int  // of data
	content bool // it has more than directives and comments

	awaiting bool   // the line before this one that says anything was "items:"
	item     *piece // the item that is being read; nil outside of the items
	indent   int    // the column, from 0, of the dashes of the items
	cut      bool   // the items have begun
}

func (s *splitter) run() error {
	s.line, s.col = 1, 1
	if mark, _ := s.in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		s.in.Discard(3)
	}
	doc := &document{}
	for {
		var lead []byte
		if !doc.content {
			var isJSON bool
			var err error
			if lead, isJSON, err = s.toContent(doc); isJSON {
				if err := s.json(); err != nil {
					return err
				}
				doc = &document{}
				continue
			} else if err != nil {
				return s.end(doc, err)
			}
		}
		line, err := s.readLine(lead)
		if errors.Is(err, bufio.ErrBufferFull) {
			return s.tooLarge(s.line, "line")
		}
		if len(line) > 0 {
			if isSeparator(line) && doc.content {
				if err := s.finish(doc); err != nil {
					return err
				}
				doc = &document{}
			}
			if err := s.take(doc, line); err != nil {
				return err
			}
			s.line, s.col = s.line+1, 1
		}
		if err != nil {
			return s.end(doc, err)
		}
	}
}

// end finishes the last document. err is what the reader said.
func (s *splitter) end(doc *document, err error) error {
	if err != io.EOF {
		return err
	}
	return s.finish(doc)
}

// toContent reads up to the first byte that is no space, and reports whether it
// begins JSON. lead is what stands before it on its line. Empty lines of a document
// that has begun are its own, so that the lines behind them keep their places.
func (s *splitter) toContent(doc *document) (lead []byte, isJSON bool, err error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return nil, false, err
		}
		switch c {
		case '\n':
			if doc.data != nil {
				doc.data = append(append(doc.data, lead...), '\n')
				if doc.lines++; len(doc.data) > s.most {
					return nil, false, s.tooLarge(doc.line, "object")
				}
			}
			s.line, s.col, lead = s.line+1, 1, nil
			continue
		case ' ', '\t', '\r':
			if lead = append(lead, c); len(lead) > s.most {
				return nil, false, s.tooLarge(s.line, "line")
			}
			continue
		}
		s.in.UnreadByte()
		if c == '{' {
			s.col += len(lead)
		}
		return lead, c == '{', nil
	}
}

// readLine reads to the end of the line, which begins with lead. It returns
// bufio.ErrBufferFull for a line that is longer than a piece may be.
func (s *splitter) readLine(lead []byte) ([]byte, error) {
	line := lead
	for {
		part, err := s.in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > s.most {
			return nil, bufio.ErrBufferFull
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// take puts a line into the document, or into one of its items.
func (s *splitter) take(doc *document, line []byte) error {
	empty := isComment(line)
	if !doc.content {
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok {
			doc.content = !isComment(rest)
		} else {
			doc.content = !empty && line[0] != '%'
		}
	}
	if doc.data == nil {
		doc.piece = piece{file: s.file, line: s.line, col: s.col}
	}
	indent := len(line) - len(bytes.TrimLeft(line, " "))
	dash := !empty && isDash(line[indent:])
	switch {
	case doc.item != nil && dash && indent == doc.indent:
		if err := s.emit(doc.item); err != nil {
			return err
		}
		s.beginItem(doc)
	case doc.item != nil && (empty || indent > doc.indent):
	case doc.item != nil:
		if err := s.emit(doc.item); err != nil {
			return err
		}
		doc.item = nil
	case doc.awaiting && dash:
		doc.awaiting, doc.cut, doc.indent = false, true, indent
		doc.list, doc.envelope, doc.gapAfter = &list{}, true, doc.lines
		s.beginItem(doc)
	case doc.awaiting && empty:
	default:
		doc.awaiting = !doc.cut && isItemsKey(line)
	}

	to := &doc.piece
	if doc.item != nil {
		to = doc.item
		doc.gap++
	} else {
		doc.lines++
	}
	if to.data = append(to.data, line...); len(to.data) > s.most {
		return s.tooLarge(to.line, "object")
	}
	return nil
}

func (s *splitter) beginItem(doc *document) {
	doc.item = &piece{file: s.file, line: s.line, col: 1, list: doc.list}
}

func (s *splitter) finish(doc *document) error {
	if doc.item != nil {
		if err := s.emit(doc.item); err != nil {
			return err
		}
	}
	if !doc.content {
		return nil
	}
	return s.emit(&doc.piece)
}

// isSeparator reports whether a line ends the document before it.
func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// isComment reports whether a line says nothing.
func isComment(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// isDash reports whether a line begins with an item.
func isDash(line []byte) bool {
	return line[0] == '-' && (len(line) == 1 || bytes.IndexByte([]byte(" \t\r\n"), line[1]) >= 0)
}

// isItemsKey reports whether a line is the key "items" at the first column, with
// nothing behind it.
func isItemsKey(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("items:"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) && isComment(rest)
}
