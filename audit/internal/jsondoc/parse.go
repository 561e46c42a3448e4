package jsondoc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep encoding/json goes.
const maxDepth = 10000

// SyntaxError is where a document stops being JSON.
type SyntaxError struct {
	Offset int
	// Short says that the document ends before it is complete.
	Short bool
	what  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.Offset) }

var errTooLong = errors.New("document is 2 GiB or longer")

// Parse reads a document, which is used and not copied.
func (d *Document) Parse(data []byte) error {
	end, err := d.ParsePrefix(data)
	if err != nil {
		return err
	}
	if end < len(data) {
		return &SyntaxError{Offset: end, what: "text after the document"}
	}
	return nil
}

// ParsePrefix reads the first document that data begins with, and tells where it and
// the white space behind it end.
func (d *Document) ParsePrefix(data []byte) (end int, err error) {
	d.data, d.nodes, d.edits, d.depth = data, d.nodes[:0], d.edits[:0], 0
	if len(data) >= math.MaxInt32 {
		return 0, errTooLong
	}
	at, fault := d.value(space(data, 0))
	if fault != "" {
		return 0, &SyntaxError{Offset: at, Short: at >= len(data), what: fault}
	}
	return space(data, at), nil
}

func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

const (
	faultEnd     = "the document ends too early"
	faultValue   = "no JSON value"
	faultNumber  = "no JSON number"
	faultString  = "a string with a character that must be escaped"
	faultEscape  = "an escape that JSON does not have"
	faultKey     = "no key of an object"
	faultColon   = "no colon behind a key"
	faultMember  = "neither a comma nor the end of an object"
	faultElement = "neither a comma nor the end of an array"
	faultDepth   = "nesting that is too deep"
)

// value reads the value at i into a new node. It returns where it ends, or where a
// fault is.
func (d *Document) value(i int) (end int, fault string) {
	if i >= len(d.data) {
		return i, faultEnd
	}
	at := len(d.nodes)
	d.nodes = append(d.nodes, node{start: int32(i)})
	var kind Kind
	switch c := d.data[i]; c {
	case '"':
		var escaped bool
		kind = String
		end, escaped, fault = str(d.data, i)
		d.nodes[at].escaped = escaped
	case '{', '[':
		if d.depth++; d.depth > maxDepth {
			return i, faultDepth
		}
		if c == '{' {
			kind = Object
			end, fault = d.object(at, i+1)
		} else {
			kind = Array
			end, fault = d.array(at, i+1)
		}
		d.depth--
	case 't':
		kind = Bool
		end, fault = literal(d.data, i, "true")
	case 'f':
		kind = Bool
		end, fault = literal(d.data, i, "false")
	case 'n':
		kind = Null
		end, fault = literal(d.data, i, "null")
	default:
		kind = Number
		end, fault = number(d.data, i)
	}
	if fault == "" {
		d.nodes[at].kind, d.nodes[at].end = kind, int32(end)
	}
	return end, fault
}

func (d *Document) object(at, i int) (int, string) {
	i = space(d.data, i)
	if i < len(d.data) && d.data[i] == '}' {
		return i + 1, ""
	}
	last, members := 0, Node(0)
	for {
		if i = space(d.data, i); i >= len(d.data) {
			return i, faultEnd
		}
		if d.data[i] != '"' {
			return i, faultKey
		}
		keyEnd, escaped, fault := str(d.data, i)
		if fault != "" {
			return keyEnd, fault
		}
		keyStart := i
		if i = space(d.data, keyEnd); i >= len(d.data) {
			return i, faultEnd
		}
		if d.data[i] != ':' {
			return i, faultColon
		}
		child := len(d.nodes)
		if i, fault = d.value(space(d.data, i+1)); fault != "" {
			return i, fault
		}
		n := &d.nodes[child]
		n.keyStart, n.keyEnd, n.keyEscaped = int32(keyStart)+1, int32(keyEnd)-1, escaped
		d.link(at, last, child)
		last = child
		members++
		d.nodes[at].members = members
		if i = space(d.data, i); i >= len(d.data) {
			return i, faultEnd
		}
		switch d.data[i] {
		case '}':
			return i + 1, ""
		case ',':
			i++
		default:
			return i, faultMember
		}
	}
}

func (d *Document) array(at, i int) (int, string) {
	i = space(d.data, i)
	if i < len(d.data) && d.data[i] == ']' {
		return i + 1, ""
	}
	last, members := 0, Node(0)
	for {
		child := len(d.nodes)
		var fault string
		if i, fault = d.value(space(d.data, i)); fault != "" {
			return i, fault
		}
		d.link(at, last, child)
		last = child
		members++
		d.nodes[at].members = members
		if i = space(d.data, i); i >= len(d.data) {
			return i, faultEnd
		}
		switch d.data[i] {
		case ']':
			return i + 1, ""
		case ',':
			i++
		default:
			return i, faultElement
		}
	}
}

func (d *Document) link(parent, last, child int) {
	if last == 0 {
		d.nodes[parent].child = Node(child)
	} else {
		d.nodes[last].next = Node(child)
	}
}

// str reads the string that begins with the quote at i.
func str(data []byte, i int) (end int, escaped bool, fault string) {
	for i++; i < len(data); i++ {
		if i = ordinary(data, i); i >= len(data) {
			break
		}
		switch c := data[i]; {
		case c == '"':
			return i + 1, escaped, ""
		case c == '\\':
			escaped = true
			if i++; i >= len(data) {
				return i, escaped, faultEnd
			}
			switch data[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if i++; i >= len(data) {
						return i, escaped, faultEnd
					}
					if c := data[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
						return i, escaped, faultEscape
					}
				}
			default:
				return i, escaped, faultEscape
			}
		case c < 0x20:
			return i, escaped, faultString
		case c >= utf8.RuneSelf && !escaped:
			// What is no UTF-8 is replaced when the text is read, as an escape is.
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size == 1 {
				escaped = true
			} else {
				i += size - 1
			}
		}
	}
	return i, escaped, faultEnd
}

// ordinary passes over the bytes of a string that stand for themselves, eight at a time:
// to where it returns there is no quote, no backslash, no control character and nothing
// beyond ASCII. Fewer than eight bytes from the end it may stop earlier.
func ordinary(data []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(data); i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		// The top bit of a byte is set where the byte is special; bytes above the first such
		// one may be wrong.
		special := ((w-0x20*ones)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | w) & tops
		if special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	return i
}

func literal(data []byte, i int, word string) (int, string) {
	for k := range len(word) {
		if i+k >= len(data) {
			return i + k, faultEnd
		}
		if data[i+k] != word[k] {
			return i + k, faultValue
		}
	}
	return i + len(word), ""
}

func number(data []byte, i int) (int, string) {
	digits := func() bool {
		from := i
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i > from
	}
	fault := func() (int, string) {
		if i >= len(data) {
			return i, faultEnd
		}
		return i, faultNumber
	}
	if data[i] == '-' {
		i++
	} else if data[i] < '0' || data[i] > '9' {
		return i, faultValue
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if !digits() {
		return fault()
	}
	if i < len(data) && data[i] == '.' {
		if i++; !digits() {
			return fault()
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if !digits() {
			return fault()
		}
	}
	return i, ""
}
