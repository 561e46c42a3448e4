package cluster

import (
	"bytes"
	"io"
)

// jsonCut is where json is in a value.
type jsonCut struct {
	whole *piece // the value, or the envelope of a list
	lines int    // of whole.data

	depth             int
	inString, escaped bool
	keyFrom           int    // where in whole.data the string of depth 1 begins that is read
	key               []byte // the string that was read last at depth 1

	items bool   // inside of the array of items
	item  *piece // the item that is being read; nil between items
	comma bool   // the last thing between items was a comma
	begun int    // the line of the file on which the items began
}

// json reads one JSON value, which begins at the next byte with a brace, and cuts
// a list into its items. It knows of JSON as much as brackets and strings; what is
// malformed makes a piece that is malformed.
func (s *splitter) json() error {
	c := jsonCut{whole: &piece{file: s.file, line: s.line, col: s.col, json: true}, lines: 1}
	for {
		b, err := s.in.ReadByte()
		if err == io.EOF { // it is not closed, as the parser will say
			break
		}
		if err != nil {
			return err
		}
		line, col := s.line, s.col
		if s.col++; b == '\n' {
			s.line, s.col = s.line+1, 1
		}
		if c.items && c.depth == 2 && !c.inString {
			if between, err := s.betweenItems(&c, b, line, col); err != nil {
				return err
			} else if between {
				continue
			}
		}
		to := c.whole
		if c.items {
			if c.item == nil {
				c.item, c.comma = &piece{file: s.file, line: line, col: col, json: true, list: c.whole.list}, false
			}
			to = c.item
		} else if b == '\n' {
			c.lines++
		}
		if to.data = append(to.data, b); len(to.data) > s.most {
			return s.tooLarge(to.line, "object")
		}
		if c.step(b, line); c.depth == 0 {
			break
		}
	}
	if err := s.endItem(&c, false); err != nil {
		return err
	}
	return s.emit(c.whole)
}

// betweenItems reports whether a byte at the level of the items is none of theirs.
func (s *splitter) betweenItems(c *jsonCut, b byte, line, col int) (bool, error) {
	switch b {
	case ',':
		err := s.endItem(c, true)
		c.comma = true
		return true, err
	case ']':
		if err := s.endItem(c, c.comma); err != nil {
			return false, err
		}
		// The envelope goes on on a line of its own, so that places in it are known.
		c.items, c.whole.gapAfter, c.whole.gap = false, c.lines, line-c.begun-1
		c.whole.data = append(append(c.whole.data, '\n'), bytes.Repeat([]byte(" "), min(col-1, 1000))...)
		c.lines++
	case ' ', '\t', '\r', '\n':
		return c.item == nil, nil
	}
	return false, nil
}

// endItem emits the item that is being read. Where there is none, missing says
// that there should be, and an empty one is emitted, which is malformed.
func (s *splitter) endItem(c *jsonCut, missing bool) error {
	if c.item == nil && missing {
		c.item = &piece{file: s.file, line: s.line, col: max(s.col-1, 1), json: true, list: c.whole.list}
	}
	if c.item == nil {
		return nil
	}
	item := c.item
	c.item = nil
	return s.emit(item)
}

// step follows strings and brackets. b has been added to the data already.
func (c *jsonCut) step(b byte, line int) {
	switch {
	case c.escaped:
		c.escaped = false
	case c.inString && b == '\\':
		c.escaped = true
	case b == '"':
		c.inString = !c.inString
		switch {
		case c.depth != 1:
		case c.inString:
			c.keyFrom = len(c.whole.data)
		default:
			c.key = c.whole.data[c.keyFrom : len(c.whole.data)-1]
		}
	case c.inString:
	case b == '[' && c.depth == 1 && c.whole.list == nil && string(c.key) == "items" && c.afterColon():
		c.depth, c.items, c.begun = 2, true, line
		c.whole.list, c.whole.envelope = &list{}, true
	case b == '{' || b == '[':
		c.depth++
	case c.items && c.depth == 2: // a brace that closes nothing is the item's fault
	case b == '}' || b == ']':
		c.depth--
	}
}

// afterColon reports whether the bracket at the end of the data is a value.
func (c *jsonCut) afterColon() bool {
	data := bytes.TrimRight(c.whole.data[:len(c.whole.data)-1], " \t\r\n")
	return len(data) > 0 && data[len(data)-1] == ':'
}
