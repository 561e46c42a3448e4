package segment

import (
	"bytes"
	"encoding/binary"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// pageValues is how many numbers a page has.
	pageValues = 16 << 10
	// pageBytes is where a page of texts ends, and smallPageBytes where one of unique texts
	// does: to show one event, a page of each column is unpacked, and these are the largest.
	pageBytes      = 64 << 10
	smallPageBytes = 32 << 10
)

// columnKind is how the values of a column are written.
type columnKind uint8

const (
	ofEntries  columnKind = iota // numbers of a dictionary of texts
	ofCodes                      // numbers of a dictionary of numbers
	ofTexts                      // texts as they are
	ofTimes                      // differences
	ofBooleans                   // bits
)

// kinds are those of the columns that are not of entries.
var kinds = map[int]columnKind{
	colTime: ofTimes, colReceived: ofTimes, colCode: ofCodes, colTruncated: ofBooleans, colID: ofTexts,
	colAnnotationValue: ofTexts, colRequest: ofTexts, colResponse: ofTexts,
}

// bloomBits are the bits of a bloom filter for each value.
var bloomBits = map[int]uint{colID: 8, colUser: 12, colName: 12}

// column gathers one leaf column page by page, and what is packed of the row group.
type column struct {
	leaf   int
	kind   columnKind
	most   struct{ repetition, definition byte } // levels
	unique bool                                  // hardly a value comes twice
	// values are those of the dictionary.
	texts []string
	codes []int32

	// Of the page: its values, and the levels of its entries.
	indexes                  []int32
	integers                 []int64
	plain                    []byte // texts, each behind its length
	repetitions, definitions levels
	first                    int // its first row

	// Of the row group.
	packed []byte
	pages  []page
	hashes []uint64 // of the texts, for the bloom filter
	loose  bool     // a page could not be packed, and no more are tried
	seen   []uint32 // by entry: the page that had it last, from 1
}

// page is one that is packed.
type page struct {
	size, first int
	values      int // with NULLs
	nulls       int
	raw         int // bytes before it was packed, with its header
	least, most []byte
	encoding    format.Encoding
}

func newColumn(leaf int) column {
	return column{leaf: leaf, kind: kinds[leaf], most: maxLevels[leaf], unique: leaf == colID || leaf == colURI}
}

// entry adds a number of the dictionary.
func (c *column) entry(n uint32) { c.indexes = append(c.indexes, int32(n)) }

// text adds a text as it is. It is UTF-8.
func (c *column) text(s string) {
	c.plain = append(binary.LittleEndian.AppendUint32(c.plain, uint32(len(s))), s...)
}

// level adds the levels of an entry.
func (c *column) level(repetition, definition byte) {
	if c.most.repetition > 0 {
		c.repetitions.add(repetition)
	}
	c.definitions.add(definition)
}

// null adds an entry that begins a row and has no value.
func (c *column) null() { c.level(0, 0) }

// full reports whether the page should end.
func (c *column) full() bool {
	limit := pageBytes
	if c.unique {
		limit = smallPageBytes
	}
	return len(c.plain) >= limit || len(c.indexes)+len(c.integers) >= pageValues || c.definitions.n >= pageValues
}

// end packs the page, which ends before a row of the row group.
func (c *column) end(p *packer, row int) (err error) {
	if row == c.first {
		return nil
	}
	next := page{first: c.first, values: row - c.first, encoding: format.Plain}
	p.body = p.body[:0]
	if c.most.definition > 0 {
		next.values = c.definitions.n
		next.nulls = next.values - c.definitions.count(c.most.definition)
		if c.most.repetition > 0 {
			p.body = c.repetitions.appendTo(p.body, c.most.repetition)
		}
		p.body = c.definitions.appendTo(p.body, c.most.definition)
	}
	switch c.kind {
	case ofTexts:
		p.body = append(p.body, c.plain...)
		c.lookAtTexts(&next)
	case ofTimes:
		next.encoding = format.DeltaBinaryPacked
		p.values, err = (&delta.BinaryPackedEncoding{}).EncodeInt64(p.values, c.integers)
		p.body = append(p.body, p.values...)
		next.boundTimes(c.integers)
	case ofBooleans:
		p.body = appendBits(p.body, c.integers)
		next.boundBooleans(c.integers)
	default:
		next.encoding = format.RLEDictionary
		p.body = appendIndexes(p.body, c.indexes)
		if c.kind == ofCodes {
			next.boundCodes(c.indexes, c.codes)
		} else {
			c.boundEntries(&next)
		}
	}
	if err != nil {
		return err
	}
	if err := c.pack(p, &next); err != nil {
		return err
	}
	c.pages = append(c.pages, next)
	c.first, c.indexes, c.integers, c.plain = row, c.indexes[:0], c.integers[:0], c.plain[:0]
	c.repetitions.reset()
	c.definitions.reset()
	return nil
}

// pack appends a page to those that are packed.
func (c *column) pack(p *packer, next *page) error {
	// Differences are packed as they are, and so are indexes more often than not.
	how := dense
	switch {
	case c.kind == ofTimes || c.loose:
		how = asIs
	case c.leaf == colID:
		how = fast
	}
	before := len(c.packed)
	var loose bool
	var err error
	c.packed, next.raw, loose, err = p.page(c.packed, how, &format.PageHeader{
		Type: format.DataPage,
		DataPageHeader: some(format.DataPageHeader{
			NumValues: int32(next.values), Encoding: next.encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		}),
	})
	c.loose = c.loose || loose && next.encoding == format.RLEDictionary
	next.size = len(c.packed) - before
	return err
}

// lookAtTexts finds the bounds of a page of texts, and hashes each of them.
func (c *column) lookAtTexts(p *page) {
	var least, most []byte
	hashed := bloomBits[c.leaf] > 0
	for rest := c.plain; len(rest) > 0; {
		n := 4 + binary.LittleEndian.Uint32(rest)
		s := rest[4:n:n]
		rest = rest[n:]
		if least == nil {
			least, most = s, s
		} else if bytes.Compare(s, least) < 0 {
			least = s
		} else if bytes.Compare(s, most) > 0 {
			most = s
		}
		if hashed {
			c.hashes = append(c.hashes, bloom.XXH64{}.Sum64(s))
		}
	}
	p.bound(least, most)
}

// boundEntries finds the bounds of a page of numbers of texts, each of which is looked at
// once.
func (c *column) boundEntries(p *page) {
	if n := len(c.texts) - len(c.seen); n > 0 {
		c.seen = append(c.seen, make([]uint32, n)...)
	}
	mark := uint32(len(c.pages) + 1)
	least, most, last := "", "", int32(-1)
	for _, n := range c.indexes {
		if n == last || c.seen[n] == mark {
			continue
		}
		s := c.texts[n]
		if last < 0 {
			least, most = s, s
		}
		c.seen[n], last = mark, n
		least, most = min(least, s), max(most, s)
	}
	if last >= 0 {
		p.least, p.most = []byte(least), []byte(most)
	}
}

// bound notes bounds, which lie in what is used again.
func (p *page) bound(least, most []byte) {
	if least != nil {
		p.least, p.most = append([]byte{}, least...), append([]byte{}, most...)
	}
}

func (p *page) boundTimes(all []int64) {
	if len(all) > 0 {
		least, most := all[0], all[0]
		for _, v := range all {
			least, most = min(least, v), max(most, v)
		}
		p.least = binary.LittleEndian.AppendUint64(nil, uint64(least))
		p.most = binary.LittleEndian.AppendUint64(nil, uint64(most))
	}
}

func (p *page) boundBooleans(all []int64) {
	least, most := all[0], all[0]
	for _, v := range all {
		least, most = min(least, v), max(most, v)
	}
	p.least, p.most = []byte{byte(least)}, []byte{byte(most)}
}

func (p *page) boundCodes(indexes []int32, codes []int32) {
	least, most := codes[indexes[0]], codes[indexes[0]]
	for _, n := range indexes {
		least, most = min(least, codes[n]), max(most, codes[n])
	}
	p.least = binary.LittleEndian.AppendUint32(nil, uint32(least))
	p.most = binary.LittleEndian.AppendUint32(nil, uint32(most))
}

// appendBits appends bits that are 0 or 1.
func appendBits(to []byte, all []int64) []byte {
	for i, v := range all {
		if i%8 == 0 {
			to = append(to, 0)
		}
		to[len(to)-1] |= byte(v) << (i % 8)
	}
	return to
}
