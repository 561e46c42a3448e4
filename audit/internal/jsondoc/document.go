package jsondoc

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a value is.
type Kind uint8

// Kinds of values.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// Node is a value of a Document, by its place in it. The zero Node is the root, which
// is nobody's child, so that 0 also says that there is none.
type Node int32

// node is one value. Offsets are into the document's bytes.
type node struct {
	kind                 Kind
	escaped, keyEscaped  bool  // the text needs unescaping
	start, end           int32 // of the value, the quotes of a string included
	keyStart, keyEnd     int32 // of the key without its quotes; both 0 for none
	child, next, members Node  // members is how many children there are
}

type edit struct {
	start, end int32
	with       []byte
}

// Document is one JSON document. The zero value is ready to Parse.
type Document struct {
	data    []byte
	nodes   []node
	edits   []edit
	scratch []byte // what Text and Key have unescaped last
	depth   int
}

// Root is the outermost value.
func (d *Document) Root() Node { return 0 }

// Kind is what a value is.
func (d *Document) Kind(n Node) Kind { return d.nodes[n].kind }

// Child is the first member or element of a value, 0 for none.
func (d *Document) Child(n Node) Node { return d.nodes[n].child }

// Next is the member or element after this one, 0 for none.
func (d *Document) Next(n Node) Node { return d.nodes[n].next }

// Len is how many members or elements a value has.
func (d *Document) Len(n Node) int { return int(d.nodes[n].members) }

// Raw is the value as it stands in the document.
func (d *Document) Raw(n Node) []byte { return d.data[d.nodes[n].start:d.nodes[n].end] }

// Offset is where a value begins.
func (d *Document) Offset(n Node) int { return int(d.nodes[n].start) }

// Key is the unescaped key of a member, valid until the next call of Key or Text.
func (d *Document) Key(n Node) []byte {
	v := &d.nodes[n]
	raw := d.data[v.keyStart:v.keyEnd]
	if !v.keyEscaped {
		return raw
	}
	d.scratch = Unescape(d.scratch[:0], raw)
	return d.scratch
}

// Text is the unescaped text of a string, valid until the next call of Key or Text;
// nil for what is no string.
func (d *Document) Text(n Node) []byte {
	v := &d.nodes[n]
	if v.kind != String {
		return nil
	}
	raw := d.data[v.start+1 : v.end-1]
	if !v.escaped {
		return raw
	}
	d.scratch = Unescape(d.scratch[:0], raw)
	return d.scratch
}

// Get is the first member of an object with a key, 0 for none.
func (d *Document) Get(n Node, key string) Node {
	if d.nodes[n].kind != Object {
		return 0
	}
	for i := d.nodes[n].child; i != 0; i = d.nodes[i].next {
		if string(d.Key(i)) == key {
			return i
		}
	}
	return 0
}

// Replace says that Output has other JSON in the place of a value. Nothing within it
// may be replaced too.
func (d *Document) Replace(n Node, with []byte) {
	d.edits = append(d.edits, edit{d.nodes[n].start, d.nodes[n].end, with})
}

// ReplaceKey says that Output has another key, quotes included, for a member.
func (d *Document) ReplaceKey(n Node, with []byte) {
	d.edits = append(d.edits, edit{d.nodes[n].keyStart - 1, d.nodes[n].keyEnd + 1, with})
}

// Edited reports whether anything is replaced.
func (d *Document) Edited() bool { return len(d.edits) > 0 }

// Output is the document with what was replaced, in bytes of its own; where nothing
// was, it is the bytes that were parsed.
func (d *Document) Output() []byte {
	if len(d.edits) == 0 {
		return d.data
	}
	slices.SortStableFunc(d.edits, func(a, b edit) int { return int(a.start) - int(b.start) })
	size := len(d.data)
	for _, e := range d.edits {
		size += len(e.with) - int(e.end-e.start)
	}
	out, at := make([]byte, 0, max(size, 0)), int32(0)
	for _, e := range d.edits {
		if e.start < at {
			continue // within what is replaced already
		}
		out = append(append(out, d.data[at:e.start]...), e.with...)
		at = e.end
	}
	return append(out, d.data[at:]...)
}

// Unescape appends what a JSON string without its quotes says. As encoding/json does,
// what is no UTF-8 and half a surrogate pair become U+FFFD.
func Unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c < utf8.RuneSelf && c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		if c != '\\' {
			r, size := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					if pair := utf16.DecodeRune(r, hex4(raw[i+3:])); pair != utf8.RuneError {
						r = pair
						i += 6
					}
				}
				if utf16.IsSurrogate(r) {
					r = utf8.RuneError
				}
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, raw[i]) // a quote, a backslash or a slash
		}
		i++
	}
	return dst
}

func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r = r<<4 | rune(hexDigit(c))
	}
	return r
}

func hexDigit(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

const hexDigits = "0123456789abcdef"

// AppendString appends a text as a JSON string. What is no UTF-8 becomes U+FFFD, and
// the line separators that JavaScript takes for the end of a line are escaped.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if (r != utf8.RuneError || size > 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
			dst = append(dst, s[from:i]...)
			switch r {
			case '\u2028':
				dst = append(dst, `\u2028`...)
			case '\u2029':
				dst = append(dst, `\u2029`...)
			default:
				dst = append(dst, "\uFFFD"...)
			}
			i += size
			from = i
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
