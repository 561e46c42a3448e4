package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// longestBound is the longest text that is kept as a bound of a row group: a body of
	// megabytes has no place in a footer.
	longestBound = 64
	// keptOfBound is how much of a text is kept as a bound of a page.
	keptOfBound = truncatedBound
)

// chunkOf writes what is packed of a column, its dictionary before it, and begins the next
// row group.
func (f *tail) chunkOf(c *column, p *packer, path []string, kind format.Type) (format.ColumnChunk, error) {
	meta := format.ColumnMetaData{Type: kind, PathInSchema: path, Codec: format.Zstd}
	start := f.meter.bytes
	if c.kind == ofEntries || c.kind == ofCodes {
		size, raw, err := f.dictionaryOf(c, p)
		if err != nil {
			return format.ColumnChunk{}, err
		}
		meta.DictionaryPageOffset = start
		meta.TotalCompressedSize, meta.TotalUncompressedSize = int64(size), int64(raw)
		meta.Encoding = append(meta.Encoding, format.Plain)
		meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	if c.most.definition > 0 {
		meta.Encoding = append(meta.Encoding, format.RLE)
	}
	encoding := c.pages[0].encoding
	meta.Encoding = append(meta.Encoding, encoding)
	meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DataPage, Encoding: encoding, Count: int32(len(c.pages))})
	meta.DataPageOffset = f.meter.bytes
	pages, bounds := format.OffsetIndex{}, format.ColumnIndex{}
	at := f.meter.bytes
	for i := range c.pages {
		p := &c.pages[i]
		pages.PageLocations = append(pages.PageLocations, format.PageLocation{Offset: at, CompressedPageSize: int32(p.size), FirstRowIndex: int64(p.first)})
		at += int64(p.size)
		meta.NumValues += int64(p.values)
		meta.TotalCompressedSize += int64(p.size)
		meta.TotalUncompressedSize += int64(p.raw)
		meta.Statistics.NullCount += int64(p.nulls)
		least, most := p.least, p.most
		if kind == format.ByteArray {
			least, most = shortBounds(least, most)
		}
		bounds.NullPages = append(bounds.NullPages, p.least == nil)
		bounds.MinValues, bounds.MaxValues = append(bounds.MinValues, least), append(bounds.MaxValues, most)
		bounds.NullCounts = append(bounds.NullCounts, int64(p.nulls))
	}
	if c.leaf == colTime {
		bounds.BoundaryOrder = format.Ascending
	}
	meta.Statistics.MinValue, meta.Statistics.MaxValue = c.bounds()
	if _, err := f.meter.Write(c.packed); err != nil {
		return format.ColumnChunk{}, err
	}
	var protocol thrift.CompactProtocol
	var x indexes
	var err error
	if x.offset, err = thrift.Marshal(&protocol, &pages); err == nil {
		x.bounds, err = thrift.Marshal(&protocol, &bounds)
	}
	f.indexes = append(f.indexes, x)
	return format.ColumnChunk{MetaData: meta}, err
}

// dictionaryOf writes a dictionary.
func (f *tail) dictionaryOf(c *column, p *packer) (size, raw int, err error) {
	p.body = p.body[:0]
	for _, s := range c.texts {
		p.body = append(binary.LittleEndian.AppendUint32(p.body, uint32(len(s))), s...)
	}
	for _, n := range c.codes {
		p.body = binary.LittleEndian.AppendUint32(p.body, uint32(n))
	}
	var packed []byte
	packed, raw, _, err = p.page(nil, fast, &format.PageHeader{
		Type:                 format.DictionaryPage,
		DictionaryPageHeader: some(format.DictionaryPageHeader{NumValues: int32(len(c.texts) + len(c.codes)), Encoding: format.Plain}),
	})
	if err == nil {
		_, err = f.meter.Write(packed)
	}
	return len(packed), raw, err
}

// shortBounds are bounds that are cut.
func shortBounds(least, most []byte) (_, _ []byte) {
	if len(most) > keptOfBound {
		most = bytes.Clone(most[:keptOfBound])
		for i := len(most) - 1; ; i-- {
			if most[i]++; most[i] != 0 {
				break // UTF-8 has no byte 0xFF, so that this is soon
			}
		}
	}
	return least[:min(len(least), keptOfBound)], most
}

// bounds are the least and the greatest value of the row group; nil where they are long.
func (c *column) bounds() (least, most []byte) {
	before := func(a, b []byte) bool { return bytes.Compare(a, b) < 0 }
	switch c.kind {
	case ofTimes:
		before = func(a, b []byte) bool { return little64(a) < little64(b) }
	case ofCodes:
		before = func(a, b []byte) bool {
			return int32(binary.LittleEndian.Uint32(a)) < int32(binary.LittleEndian.Uint32(b))
		}
	}
	for i := range c.pages {
		p := &c.pages[i]
		if p.least == nil {
			continue
		}
		if least == nil || before(p.least, least) {
			least = p.least
		}
		if most == nil || before(most, p.most) {
			most = p.most
		}
	}
	if len(least) > longestBound || len(most) > longestBound {
		return nil, nil
	}
	return least, most
}

// bloomOf writes the bloom filter of a column, where it has one.
func (f *tail) bloomOf(c *column, meta *format.ColumnMetaData) error {
	size := bloomBits[c.leaf]
	if size == 0 {
		return nil
	}
	for _, s := range c.texts {
		c.hashes = append(c.hashes, bloom.XXH64{}.Sum64([]byte(s)))
	}
	filter := make(bloom.SplitBlockFilter, bloom.NumSplitBlocksOf(int64(len(c.hashes)), size))
	filter.InsertBulk(c.hashes)
	header := format.BloomFilterHeader{NumBytes: int32(len(filter) * bloom.BlockSize)}
	header.Algorithm.Value, header.Hash.Value, header.Compression.Value = &format.SplitBlockAlgorithm{}, &format.XxHash{}, &format.BloomFilterUncompressed{}
	var protocol thrift.CompactProtocol
	head, err := thrift.Marshal(&protocol, &header)
	if err != nil {
		return fmt.Errorf("write bloom filter: %w", err)
	}
	meta.BloomFilterOffset, meta.BloomFilterLength = f.meter.bytes, int32(len(head)+len(filter.Bytes()))
	_, err = f.meter.Write(slices.Concat(head, filter.Bytes()))
	return err
}

// again makes a column ready for the next row group.
func (c *column) again() {
	c.first, c.packed, c.pages, c.hashes, c.loose, c.seen = 0, c.packed[:0], c.pages[:0], c.hashes[:0], false, c.seen[:0]
}
