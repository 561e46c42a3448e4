package segment

import (
	"errors"
	"fmt"
)

// Types of Thrift's compact protocol.
const (
	thriftStop = iota
	thriftTrue
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
)

// Bounds of what a footer or an index of a file may hold. A list says how long it is
// before its items come, and a decoder makes room for them all.
const (
	maxThriftDepth = 16
	maxThriftItems = 1 << 18
)

var errCut = errors.New("it ends too early")

// compact reads Thrift's compact protocol, in which footers, indexes and page headers are
// written. The first error stays.
type compact struct {
	data  []byte
	at    int
	items int // of all lists so far
	err   error
}

func (c *compact) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.at = len(c.data)
}

func (c *compact) byte() byte {
	if c.at >= len(c.data) {
		c.fail(errCut)
		return 0
	}
	c.at++
	return c.data[c.at-1]
}

func (c *compact) varint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	c.fail(errors.New("a number is too long"))
	return 0
}

func (c *compact) integer() int64 {
	v := c.varint()
	return int64(v>>1) ^ -int64(v&1)
}

func (c *compact) binary() []byte {
	n := c.varint()
	if n > uint64(len(c.data)-c.at) {
		c.fail(errCut)
		return nil
	}
	c.at += int(n)
	return c.data[c.at-int(n) : c.at]
}

// list is the type and the number of items of a list that begins here.
func (c *compact) list() (kind byte, size int) {
	head := c.byte()
	n := uint64(head >> 4)
	if n == 15 {
		n = c.varint()
	}
	if n > uint64(len(c.data)-c.at) { // each item takes a byte or more
		c.fail(errCut)
		return 0, 0
	}
	if c.items += int(n); c.items > maxThriftItems {
		c.fail(fmt.Errorf("it has more than %d items", maxThriftItems))
		return 0, 0
	}
	return head & 15, int(n)
}

// fields calls field for each field of a struct, with its number and type. It is to
// consume the field, by skip at least.
func (c *compact) fields(field func(id int, kind byte)) {
	id := 0
	for c.err == nil {
		head := c.byte()
		if head&15 == thriftStop {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(c.integer())
		}
		field(id, head&15)
	}
}

// skip consumes a value, looking at all of it.
func (c *compact) skip(kind byte, depth int) {
	if depth > maxThriftDepth {
		c.fail(errors.New("it is nested too deep"))
		return
	}
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		c.byte()
	case thriftI16, thriftI32, thriftI64:
		c.varint()
	case thriftDouble:
		for range 8 {
			c.byte()
		}
	case thriftBinary:
		c.binary()
	case thriftList, thriftSet:
		of, n := c.list()
		for range n {
			if c.err != nil {
				return
			}
			if of == thriftTrue || of == thriftFalse {
				c.byte() // in a list, a boolean is a byte
			} else {
				c.skip(of, depth+1)
			}
		}
	case thriftStruct:
		c.fields(func(_ int, kind byte) { c.skip(kind, depth+1) })
	default:
		c.fail(fmt.Errorf("it has a field of type %d", kind))
	}
}

// checkThrift reports why a struct must not be given to a decoder that believes the
// lengths it reads.
func checkThrift(data []byte) error {
	c := compact{data: data}
	c.skip(thriftStruct, 0)
	return c.err
}
