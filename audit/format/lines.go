package format

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"

	"github.com/gatehouse-io/gatehouse/audit/internal/jsondoc"
)

// lineReader reads lines and counts them.
type lineReader struct {
	in   *bufio.Reader
	max  int
	line int   // of the line that was read last, from 1
	next int64 // offset of the next line
	held []byte
	// again are lines that are read once more, the next of them last.
	again []line
}

// line is one line of a file, without its end.
type line struct {
	text []byte
	at   place
	long bool // it is longer than may be, and text is its beginning
	own  bool // text is valid for good
}

// read reads a line. Its text is valid until the next.
func (l *lineReader) read() (line, error) {
	if n := len(l.again); n > 0 {
		next := l.again[n-1]
		l.again = l.again[:n-1]
		return next, nil
	}
	l.held = l.held[:0]
	at := place{line: l.line + 1, offset: l.next}
	long := false
	for {
		part, err := l.in.ReadSlice('\n')
		l.next += int64(len(part))
		if err == nil && len(l.held) == 0 && len(part) <= l.max {
			l.line++
			return line{text: bytes.TrimRight(part, "\r\n"), at: at}, nil
		}
		if room := l.max - len(l.held); len(part) > room {
			long = long || len(bytes.TrimRight(part, "\r\n")) > room
			part = part[:max(room, 0)]
		}
		l.held = append(l.held, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(l.held) == 0) {
			// What came before an error is a line that was cut.
			if len(l.held) > 0 {
				l.line++
				return line{text: l.held, at: at, long: long}, err
			}
			return line{at: at}, err
		}
		l.line++
		return line{text: bytes.TrimRight(l.held, "\r\n"), at: at, long: long}, nil
	}
}

// run reads all lines.
func (r *reader) run() {
	for !r.done {
		l, err := r.lines.read()
		if len(l.text) > 0 {
			r.line(l)
		}
		if err != nil {
			r.leftovers()
			if !errors.Is(err, io.EOF) {
				r.problem(place{r.lines.line + 1, r.lines.next}, nil, Damaged, damage(err))
			}
			return
		}
	}
}

// bom stands before what some programs of Windows export.
var bom = []byte("\xef\xbb\xbf")

// line reads what begins on a line.
func (r *reader) line(l line) {
	text := bytes.TrimSpace(bytes.TrimPrefix(l.text, bom))
	if len(text) == 0 {
		return
	}
	if l.long {
		r.problem(l.at, text, TooLong, "it is longer than may be read")
		return
	}
	switch text[0] {
	case '{', '[':
		if !r.plain(l.at, text) {
			r.documents(l, text)
		}
	case '"':
		if r.wrapped {
			r.problem(l.at, text, Foreign, "it is what a command says of its answer")
			return
		}
		r.text(l.at, text)
	case ']', '}', ',':
		// What closes or goes on with a list around the lines.
		if rest := bytes.TrimLeft(text, "]}, \t"); len(rest) > 0 {
			r.line(line{text: rest, at: l.at, own: l.own})
		}
	default:
		r.text(l.at, text)
	}
}

// plain reads a line that is one Event and nothing else, as most are.
func (r *reader) plain(at place, text []byte) bool {
	if !bytes.HasPrefix(text, []byte(`{"kind":"Event","apiVersion":"audit.k8s.io/`)) || r.o.Format != Auto {
		return false
	}
	r.decoder.Source = Raw
	e, err := &r.reused, error(nil)
	if r.o.Reuse {
		err = r.decoder.Into(e, text)
	} else {
		e, err = r.decoder.Event(text)
	}
	if err != nil {
		return false // documents says what is wrong
	}
	r.rawEvent(e)
	return true
}

// documents reads one document or several that begin on a line; the last may go on below.
func (r *reader) documents(l line, text []byte) {
	doc := r.document()
	for len(text) > 0 && !r.done {
		end, err := doc.ParsePrefix(text)
		if err == nil {
			r.value(doc, doc.Root(), l.at, text[:end])
			text = bytes.TrimLeft(text[end:], ", \t]")
			continue
		}
		r.release()
		if syntax, ok := errors.AsType[*jsondoc.SyntaxError](err); ok && syntax.Short {
			// What was read is overwritten by the lines below.
			indent := len(l.text) - len(bytes.TrimLeft(l.text, " \t"))
			if text = bytes.Clone(text); r.goesOn(l.at, text, indent) {
				return
			}
		}
		r.fault(l.at, text, err)
		return
	}
	r.release()
}

// header is a line on which a list of entries begins, within an object printed over
// several lines: the entries are read one by one.
var header = regexp.MustCompile(`^\s*"(?:events|logEvents|records|items|value)"\s*:\s*\[\s*$`)

// goesOn reads a document that goes on below its first line. It reports false where the
// lines below show that it does not, and has left them to be read again.
func (r *reader) goesOn(at place, text []byte, indent int) bool {
	if string(text) == "[" {
		return true // the entries of a list, each on lines of its own
	}
	var s shape
	if !s.feed(text) || s.inString {
		return false
	}
	document := append(text[:len(text):len(text)], '\n')
	var below []line // the lines below, in the file's order
	refuse := func() bool {
		// The first that can begin a document is read again, and all below it.
		for i := range below {
			if begins(below[i].text, indent) {
				for k := len(below) - 1; k >= i; k-- {
					r.lines.again = append(r.lines.again, below[k])
				}
				break
			}
		}
		return false
	}
	for {
		next, err := r.lines.read()
		if len(next.text) == 0 && err != nil {
			return refuse()
		}
		if !next.own {
			next.text, next.own = bytes.Clone(next.text), true
		}
		below = append(below, next)
		if s.depth == 1 && header.Match(next.text) {
			r.wrapped = true
			return true
		}
		// What can begin a document, where no value may stand, begins one.
		if next.long || !s.feed(next.text) || s.inString || len(document)+len(next.text) >= r.o.MaxLine {
			return refuse()
		}
		document = append(append(document, next.text...), '\n')
		if s.depth > 0 {
			continue
		}
		doc := r.document()
		end, fault := doc.ParsePrefix(document)
		if fault != nil {
			r.release()
			return refuse()
		}
		r.value(doc, doc.Root(), at, document[:end])
		rest := bytes.Clone(document[end:])
		r.release()
		if rest = bytes.TrimLeft(rest, ", \t\n"); len(rest) > 0 {
			r.line(line{text: rest, at: next.at, own: true})
		}
		return true
	}
}

// begins reports whether a line can be the first of a document that is indented like
// another.
func begins(text []byte, indent int) bool {
	if len(text) > 0 && text[0] == '{' {
		return true
	}
	trimmed := bytes.TrimLeft(text, " \t")
	return len(trimmed) > 0 && trimmed[0] == '{' && len(text)-len(trimmed) == indent
}

// shape follows brackets and strings over lines.
type shape struct {
	open     []byte
	depth    int
	inString bool
	last     byte // the last character that is no space, outside strings
}

// feed follows a line. It reports false where the line cannot go on with what was before.
func (s *shape) feed(text []byte) bool {
	escaped := false
	for _, c := range text {
		if s.inString {
			switch {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				s.inString = false
				s.last = '"'
			}
			continue
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			s.inString = true
			continue
		case '{', '[':
			inObject := s.depth > 0 && s.open[s.depth-1] == '{'
			if s.depth > 0 && (s.last != ':' && inObject || s.last != ',' && s.last != '[' && !inObject) {
				return false
			}
			s.open = append(s.open[:s.depth], c)
			s.depth++
		case '}', ']':
			if s.depth == 0 || s.open[s.depth-1] != c-2 {
				return false
			}
			s.depth--
		}
		s.last = c
	}
	return true
}
