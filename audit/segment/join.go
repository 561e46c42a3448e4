package segment

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// magic begins and ends a Parquet file.
const magic = "PAR1"

// ErrApart says that files cannot be joined as they are, and that their events are to be
// written anew.
var ErrApart = errors.New("segments cannot be joined as they are")

// ChangedError says that a file that was to be joined has another digest.
type ChangedError struct {
	// File is which of them, from 0.
	File int
}

func (e *ChangedError) Error() string { return fmt.Sprintf("file %d is not what was sealed", e.File) }

// Join writes several files as one, by copying their row groups: nothing of them is
// unpacked. They come in order of time, and the times of one may overlap those of the
// next as far as the row groups at their ends do; no event is in two of them. Each file
// is held against its digest while it is copied, so that nothing is vouched for anew that
// has been changed. Where times overlap further the error is ErrApart.
func Join(ctx context.Context, w io.Writer, files []*Segment, digests []Digest) (info Info, err error) {
	defer rescue(&err, "join segments")
	j := &join{tail: tail{meter: newMeter(w)}}
	if err := j.check(files); err != nil {
		return Info{}, err
	}
	if _, err := io.WriteString(j.meter, magic); err != nil {
		return Info{}, fmt.Errorf("join segments: %w", err)
	}
	for i, s := range files {
		err := context.Cause(ctx)
		if err == nil {
			err = j.add(i, s, digests[i])
		}
		if err != nil {
			return Info{}, fmt.Errorf("join segments: %w", err)
		}
	}
	if err := j.end(j.info.Rows); err != nil {
		return Info{}, fmt.Errorf("join segments: %w", err)
	}
	j.info.Bytes, j.info.SHA256 = j.meter.bytes, j.meter.digest()
	return j.info, nil
}

// join is a file that is being made of others.
type join struct {
	tail
	info Info
}

// check reports whether files can be joined, and what times they have together.
func (j *join) check(files []*Segment) error {
	groups := 0
	// The latest time of the row group before, and of all that are before it.
	previous, before := int64(math.MinInt64), int64(math.MinInt64)
	for _, s := range files {
		for i := range s.groups {
			first, last, ok := s.groups[i].times()
			if !ok || first < before {
				return fmt.Errorf("%w: the times of their row groups overlap", ErrApart)
			}
			before, previous = max(before, previous), last
			if groups == 0 {
				j.info.First, j.info.Last = microseconds(first), microseconds(last)
			}
			j.info.First, j.info.Last = earlier(j.info.First, microseconds(first)), later(j.info.Last, microseconds(last))
			groups++
		}
		j.info.Rows += s.rows
	}
	if groups == 0 {
		return fmt.Errorf("%w: they have no events", ErrApart)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// times are when the oldest and the newest event of a row group were, as its statistics
// say, in microseconds since 1970.
func (g *group) times() (first, last int64, ok bool) {
	stats := &g.chunks[colTime].meta.Statistics
	if len(stats.MinValue) != 8 || len(stats.MaxValue) != 8 {
		return 0, 0, false
	}
	return little64(stats.MinValue), little64(stats.MaxValue), true
}

// add copies the row groups of a file, and notes where they are now.
func (j *join) add(at int, s *Segment, digest Digest) error {
	meta, err := s.footer()
	if err != nil {
		return err
	}
	end, err := contentEnd(meta)
	if err != nil {
		return err
	}
	shift := j.meter.bytes - int64(len(magic))
	sum := sha256.New()
	file := io.TeeReader(io.NewSectionReader(s.from, 0, s.size), sum)
	buffer := make([]byte, 256<<10)
	if _, err := io.ReadFull(file, buffer[:len(magic)]); err != nil {
		return err
	}
	if n, err := io.CopyBuffer(j.meter, io.LimitReader(file, end-int64(len(magic))), buffer); err != nil || n != end-int64(len(magic)) {
		return errors.Join(fmt.Errorf("copy %d bytes: %d were copied", end-int64(len(magic)), n), err)
	}
	if _, err := io.CopyBuffer(io.Discard, file, buffer); err != nil {
		return err
	}
	if Digest(sum.Sum(nil)) != digest {
		return &ChangedError{File: at}
	}
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		g.Ordinal = int16(len(j.footer.RowGroups) + i)
		shiftOffset(&g.FileOffset, shift)
		for k := range g.Columns {
			x, err := s.indexes(&g.Columns[k], shift)
			if err != nil {
				return err
			}
			j.indexes = append(j.indexes, x)
			shiftColumn(&g.Columns[k], shift)
		}
	}
	if len(j.footer.Schema) == 0 {
		j.footer = *meta // with its row groups
		return nil
	}
	j.footer.RowGroups = append(j.footer.RowGroups, meta.RowGroups...)
	return nil
}

// footer is what the end of a file says, as it lies there.
func (s *Segment) footer() (*format.FileMetaData, error) {
	var tail [4]byte
	if _, err := s.from.ReadAt(tail[:], s.size-8); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	data := make([]byte, binary.LittleEndian.Uint32(tail[:]))
	if int64(len(data)) > min(s.size-12, maxFooter) {
		return nil, errCut // it has changed since it was opened
	}
	if _, err := s.from.ReadAt(data, s.size-8-int64(len(data))); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	if err := checkThrift(data); err != nil {
		return nil, fmt.Errorf("footer is damaged: %w", err)
	}
	var protocol thrift.CompactProtocol
	meta := &format.FileMetaData{}
	if err := thrift.Unmarshal(&protocol, data, meta); err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return meta, nil
}

// contentEnd is where the row groups of a file end and its indexes begin. Files of another
// layout are not joined.
func contentEnd(meta *format.FileMetaData) (int64, error) {
	content, index := int64(0), int64(math.MaxInt64)
	for i := range meta.RowGroups {
		for k := range meta.RowGroups[i].Columns {
			c := &meta.RowGroups[i].Columns[k]
			m := &c.MetaData
			start := m.DataPageOffset
			if m.DictionaryPageOffset != 0 {
				start = min(start, m.DictionaryPageOffset)
			}
			content = max(content, start+m.TotalCompressedSize, m.BloomFilterOffset+int64(m.BloomFilterLength))
			if c.OffsetIndexOffset == 0 || c.ColumnIndexOffset == 0 || m.BloomFilterOffset != 0 && m.BloomFilterLength == 0 {
				return 0, fmt.Errorf("%w: they have no indexes of pages", ErrApart)
			}
			index = min(index, c.OffsetIndexOffset, c.ColumnIndexOffset)
		}
	}
	if content > index || content < int64(len(magic)) {
		return 0, fmt.Errorf("%w: their indexes are between their row groups", ErrApart)
	}
	return index, nil
}

// indexes reads the indexes of a column. Bounds say nothing of places; the index of pages
// does.
func (s *Segment) indexes(c *format.ColumnChunk, shift int64) (x indexes, err error) {
	if x.bounds, err = s.read(nil, c.ColumnIndexOffset, int64(c.ColumnIndexLength)); err != nil {
		return x, err
	}
	data, err := s.read(nil, c.OffsetIndexOffset, int64(c.OffsetIndexLength))
	if err != nil {
		return x, err
	}
	if err := checkThrift(data); err != nil {
		return x, err
	}
	var protocol thrift.CompactProtocol
	var pages format.OffsetIndex
	if err := thrift.Unmarshal(&protocol, data, &pages); err != nil {
		return x, err
	}
	for i := range pages.PageLocations {
		pages.PageLocations[i].Offset += shift
	}
	x.offset, err = thrift.Marshal(&protocol, &pages)
	return x, err
}

// shiftColumn moves the places that a column names.
func shiftColumn(c *format.ColumnChunk, shift int64) {
	shiftOffset(&c.FileOffset, shift)
	c.MetaData.DataPageOffset += shift
	shiftOffset(&c.MetaData.DictionaryPageOffset, shift)
	shiftOffset(&c.MetaData.IndexPageOffset, shift)
	shiftOffset(&c.MetaData.BloomFilterOffset, shift)
}

// shiftOffset moves a place, where there is one: 0 is none.
func shiftOffset(offset *int64, shift int64) {
	if *offset != 0 {
		*offset += shift
	}
}
