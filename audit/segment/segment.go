package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// maxFooter is the largest footer that is read. One row group takes some 12 KB.
const maxFooter = 16 << 20

// Segment is one file that is open for reading. It is safe for concurrent use, as far as
// its reader is, and needs no closing.
type Segment struct {
	from   io.ReaderAt
	size   int64
	file   *parquet.File
	groups []group
	rows   int64
	// beside says that times of row groups overlap, as those of files that were joined do.
	beside bool
}

// group is a row group.
type group struct {
	rows   int
	chunks [columns]chunk
}

// chunk is a column of a row group. Its indexes are read when they are first needed.
type chunk struct {
	of      *Segment
	leaf    int
	rows    int
	file    *parquet.FileColumnChunk
	meta    *format.ColumnMetaData
	raw     *format.ColumnChunk
	pages   atomic.Pointer[[]pageRef]
	indexed atomic.Pointer[columnIndex]
}

// Open opens a file of so many bytes. The reader stays open as long as the segment is
// used.
func Open(r io.ReaderAt, size int64) (s *Segment, err error) {
	defer rescue(&err, "open segment")
	if err := checkFooter(r, size); err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	if v, ok := file.Lookup(MetadataVersion); !ok {
		return nil, errors.New("open segment: it is a Parquet file, but not one of audit events")
	} else if v != Version {
		return nil, fmt.Errorf("open segment: it has the schema %q; this release reads %q", v, Version)
	}
	s = &Segment{from: r, size: size, file: file}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return s, nil
}

// checkFooter refuses a footer that a decoder would make too much room for.
func checkFooter(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < 12 {
		return fmt.Errorf("%d bytes are no Parquet file", size)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the end of the file: %w", err)
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("it does not end as a Parquet file does")
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-12 || length > maxFooter {
		return fmt.Errorf("it says that its footer has %d bytes, and has %d in all", length, size)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read footer: %w", err)
	}
	if err := checkThrift(footer); err != nil {
		return fmt.Errorf("footer is damaged: %w", err)
	}
	return nil
}

// check holds the file against the schema, and fills the groups.
func (s *Segment) check() error {
	want, got := newSchema(), s.file.Schema()
	names := want.Columns()
	if have := got.Columns(); len(have) != columns {
		return fmt.Errorf("it has %d columns, not %d", len(have), columns)
	}
	for i, path := range names {
		leaf, ok := got.Lookup(path...)
		wanted, _ := want.Lookup(path...)
		if !ok || leaf.ColumnIndex != i || leaf.MaxRepetitionLevel != wanted.MaxRepetitionLevel ||
			leaf.MaxDefinitionLevel != wanted.MaxDefinitionLevel || leaf.Node.Type().Kind() != wanted.Node.Type().Kind() {
			return fmt.Errorf("column %s is not as it is in segments", leafName(want, i))
		}
	}
	groups := s.file.RowGroups()
	s.groups = make([]group, len(groups))
	meta := s.file.Metadata()
	for i, g := range groups {
		if n := g.NumRows(); n < 0 || n > 1<<30 {
			return fmt.Errorf("row group %d has %d rows", i, n)
		}
		s.groups[i].rows = int(g.NumRows())
		s.rows += g.NumRows()
		if len(meta.RowGroups[i].Columns) != columns || len(g.ColumnChunks()) != columns {
			return fmt.Errorf("row group %d has %d columns, not %d", i, len(meta.RowGroups[i].Columns), columns)
		}
		for leaf, c := range g.ColumnChunks() {
			raw := &meta.RowGroups[i].Columns[leaf]
			fc, ok := c.(*parquet.FileColumnChunk)
			if !ok {
				return fmt.Errorf("column %s is of a kind that is not read", names[leaf][0])
			}
			ch := &s.groups[i].chunks[leaf]
			ch.of, ch.leaf, ch.rows, ch.file, ch.meta, ch.raw = s, leaf, s.groups[i].rows, fc, &raw.MetaData, raw
			if raw.MetaData.Codec != format.Zstd && raw.MetaData.Codec != format.Uncompressed {
				return fmt.Errorf("column %s is compressed with %s; only zstd is read", names[leaf][0], raw.MetaData.Codec)
			}
		}
	}
	s.beside = overlap(s.groups)
	return nil
}

// overlap reports whether a row group may have an event before, or beside, the last of
// those in front of it. One without statistics is in order, or the file is damaged.
func overlap(groups []group) bool {
	latest := int64(math.MinInt64)
	for i := range groups {
		first, last, ok := groups[i].times()
		if ok && i > 0 && first <= latest {
			return true
		}
		if ok {
			latest = max(latest, last)
		}
	}
	return false
}

// Rows are how many events the file has.
func (s *Segment) Rows() int64 { return s.rows }

// RowGroups are how many parts the file has, each with dictionaries of its own.
func (s *Segment) RowGroups() int { return len(s.groups) }

// Bytes are how large the file is.
func (s *Segment) Bytes() int64 { return s.size }

// Span is when the oldest and the newest event were, as the file's statistics say; zero
// where it has none.
func (s *Segment) Span() (first, last time.Time) {
	for i := range s.groups {
		oldest, newest, ok := s.groups[i].times()
		if !ok {
			continue
		}
		if first.IsZero() {
			first, last = microseconds(oldest), microseconds(newest)
		}
		first, last = earlier(first, microseconds(oldest)), later(last, microseconds(newest))
	}
	return first, last
}

// read reads a part of the file whose place the file itself says.
func (s *Segment) read(buffer []byte, offset, length int64) ([]byte, error) {
	if offset < 4 || length < 0 || offset > s.size-8 || length > s.size-8-offset {
		return nil, fmt.Errorf("it points at %d bytes at %d, of a file of %d", length, offset, s.size)
	}
	if int64(cap(buffer)) < length {
		buffer = make([]byte, length)
	}
	buffer = buffer[:length]
	if n, err := s.from.ReadAt(buffer, offset); n < len(buffer) {
		return nil, fmt.Errorf("read %d bytes at %d: %w", length, offset, err)
	}
	return buffer, nil
}

// damage is a panic of ours on data that cannot be: rescue makes it an error.
type damage struct{ err error }

// rescue makes an error of a panic over data of a file.
func rescue(err *error, doing string) {
	switch p := recover().(type) {
	case nil:
	case damage:
		*err = fmt.Errorf("%s: %w", doing, p.err)
	default:
		*err = fmt.Errorf("%s: it is damaged: %v", doing, p)
	}
}

// name is the column that a chunk is of.
func (c *chunk) name() string { return newSchema().Columns()[c.leaf][0] }
