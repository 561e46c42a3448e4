package location

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// MaxLength is how long a location may be, in bytes.
const MaxLength = 16 << 10

// Errors that a text is no location; they say where, counted from 0 in bytes.
var (
	ErrTooLong      = fmt.Errorf("a location has at most %d bytes", MaxLength)
	ErrUnterminated = errors.New("a quoted name does not end")
	ErrCharacter    = errors.New("a character that does not belong there")
	ErrUnexpected   = errors.New("unexpected")
	ErrTrailingDot  = errors.New("a dot at the end")
	ErrInteger      = errors.New("an integer is too large")
)

// Parse reads a location. An empty text is an empty Location.
func Parse(text string) (Location, error) {
	if len(text) > MaxLength {
		return nil, ErrTooLong
	}
	p := &parser{scanner: scanner{text: text}}
	if err := p.next(); err != nil {
		return nil, err
	}
	var l Location
	for p.now.kind != end {
		if p.now.kind != name {
			return nil, p.unexpected("the name of a field")
		}
		l = append(l, Node{Name: p.now.text})
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.now.kind == '[' {
			n, err := p.list()
			if err != nil {
				return nil, err
			}
			l = append(l, n)
		}
		switch p.now.kind {
		case end:
		case '.':
			at := p.now.at
			if err := p.next(); err != nil {
				return nil, err
			}
			if p.now.kind == end {
				return nil, fmt.Errorf("at %d: %w", at, ErrTrailingDot)
			}
		default:
			return nil, p.unexpected("a dot or the end")
		}
	}
	return l, nil
}

type parser struct {
	scanner scanner
	now     token
}

func (p *parser) next() (err error) {
	p.now, err = p.scanner.next()
	return err
}

func (p *parser) unexpected(wanted string) error {
	found := strconv.Quote(p.now.text)
	if p.now.kind == end {
		found = "end"
	}
	return fmt.Errorf("at %d: %w %s where %s belongs", p.now.at, ErrUnexpected, found, wanted)
}

// take is the token that stands there, where it is of one of the kinds, and goes on.
func (p *parser) take(wanted string, kinds ...kind) (token, error) {
	for _, k := range kinds {
		if p.now.kind == k {
			t := p.now
			return t, p.next()
		}
	}
	return token{}, p.unexpected(wanted)
}

// list reads "[key: value]".
func (p *parser) list() (n Node, err error) {
	n.List = true
	if err = p.next(); err != nil {
		return n, err
	}
	key, err := p.take("the key of a list's items", name)
	if err != nil {
		return n, err
	}
	n.Name = key.text
	if _, err = p.take("a colon", ':'); err != nil {
		return n, err
	}
	value, err := p.take("the value of a key, or a star", name, integer, '*')
	if err != nil {
		return n, err
	}
	switch value.kind {
	case name:
		n.Value = value.text
	case integer:
		if n.Value, err = parseInteger(value); err != nil {
			return n, err
		}
	default:
		n.All = true
	}
	_, err = p.take("a closing bracket", ']')
	return n, err
}

func parseInteger(t token) (int64, error) {
	var sum int64
	for _, d := range t.text {
		if sum > (math.MaxInt64-int64(d-'0'))/10 {
			return 0, fmt.Errorf("at %d: %w: %s", t.at, ErrInteger, t.text)
		}
		sum = sum*10 + int64(d-'0')
	}
	return sum, nil
}

// kind of a token: a character that stands for itself, or one of these.
type kind rune

const (
	end     kind = -1
	name    kind = 'n'
	integer kind = 'i'
)

type token struct {
	kind kind
	text string
	at   int
}

type scanner struct {
	text string
	at   int
}

func (s *scanner) next() (token, error) {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t' || s.text[s.at] == '\r' || s.text[s.at] == '\n') {
		s.at++
	}
	began := s.at
	if began == len(s.text) {
		return token{end, "", began}, nil
	}
	r, width := utf8.DecodeRuneInString(s.text[began:])
	switch {
	case isDigit(r):
		s.while(isDigit)
		return token{integer, s.text[began:s.at], began}, nil
	case isName(r):
		s.while(isName)
		return token{name, s.text[began:s.at], began}, nil
	}
	s.at += width
	switch r {
	case '.', '[', ']', '*', ':':
		return token{kind(r), s.text[began:s.at], began}, nil
	case '"', '\'':
		return s.quoted(r, began)
	}
	return token{}, fmt.Errorf("at %d: %w: %q", began, ErrCharacter, r)
}

func (s *scanner) while(is func(rune) bool) {
	for s.at < len(s.text) && is(rune(s.text[s.at])) {
		s.at++
	}
}

// quoted reads on to the quote that ends it. A backslash takes away the meaning of
// what stands behind it. What is no UTF-8 becomes U+FFFD.
func (s *scanner) quoted(quote rune, began int) (token, error) {
	var text []rune
	for s.at < len(s.text) {
		r, width := utf8.DecodeRuneInString(s.text[s.at:])
		s.at += width
		switch r {
		case quote:
			return token{name, string(text), began}, nil
		case '\\':
			if s.at == len(s.text) {
				return token{}, fmt.Errorf("at %d: %w", began, ErrUnterminated)
			}
			r, width = utf8.DecodeRuneInString(s.text[s.at:])
			s.at += width
		}
		text = append(text, r)
	}
	return token{}, fmt.Errorf("at %d: %w", began, ErrUnterminated)
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

func isName(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || isDigit(r) || r == '_' || r == '-'
}
