package segment

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/internal/lexicon"
)

const (
	// rowsPerGroup bounds a row group, and so the dictionaries that a reader holds.
	rowsPerGroup = 1 << 18
	// longBytes is how much of long texts one row group takes: dictionaries hold each text
	// once, and a reader holds the dictionaries of one row group.
	longBytes = 16 << 20
	// looked is how often it is seen whether pages of numbers are full.
	looked = 256
	// MaxValue is the longest text of an event that Write takes, in bytes.
	MaxValue = lexicon.MaxText
)

var (
	errNotADigest = errors.New("a SHA-256 in hexadecimal has 64 digits")
	errUnsorted   = errors.New("events are not sorted by audit.Compare")
)

// Write writes events as one file. They come sorted by audit.Compare, and are not kept.
func Write(w io.Writer, events []*audit.Event) (Info, error) {
	sw := NewWriter(w)
	for _, e := range events {
		if err := sw.Append(e); err != nil {
			return Info{}, err
		}
	}
	return sw.Close()
}

// Writer writes one file event by event, holding what is packed of one row group, and its
// texts.
type Writer struct {
	tail    tail
	schema  *parquet.Schema
	packer  *packer
	columns [columns]column
	info    Info

	// Of the row group.
	words *lexicon.Lexicon
	row   *lexicon.Row
	rows  int
	// either has numbers of texts: whether they come again shows at the end.
	either [len(either)][]int32

	last *audit.Event // the one before, to see that they are sorted
	err  error        // the first that occurred; nothing is written after it
}

// NewWriter starts a file. It is to be closed.
func NewWriter(w io.Writer) *Writer {
	sw := &Writer{tail: tail{meter: newMeter(w)}, schema: newSchema(), words: lexicon.New()}
	for i := range sw.columns {
		sw.columns[i] = newColumn(i)
	}
	if sw.packer, sw.err = newPacker(); sw.err == nil {
		if sw.tail.footer, sw.err = emptyFooter(); sw.err == nil {
			_, sw.err = io.WriteString(sw.tail.meter, magic)
		}
	}
	return sw
}

// Rows is how many events there are so far.
func (w *Writer) Rows() int64 { return w.info.Rows }

// Last is the event that was added last, in numbers, and what they stand for: until the
// next is added.
func (w *Writer) Last() (*lexicon.Lexicon, *lexicon.Row) { return w.words, w.row }

// Append adds an event. It comes after those before by audit.Compare.
func (w *Writer) Append(e *audit.Event) (err error) {
	if w.err != nil {
		return w.err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			w.err = fmt.Errorf("write segment: event %q: %w", e.ID, err)
			err = w.err
		}
	}()
	if w.last != nil && audit.Compare(w.last, e) > 0 {
		return errUnsorted
	}
	if w.rows == rowsPerGroup || w.words.Long() > longBytes {
		if err := w.endGroup(); err != nil {
			return err
		}
	}
	w.last = e
	if w.info.Rows == 0 {
		w.info.First = e.Time.UTC()
	}
	w.info.Last = e.Time.UTC()
	w.row = w.words.Row(e)
	w.event(e)
	w.info.Rows++
	w.rows++
	return w.endPages()
}

// Close ends the file.
func (w *Writer) Close() (info Info, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write segment: %v", p)
		}
	}()
	if w.err != nil {
		return Info{}, w.err
	}
	err = w.endGroup()
	if err == nil {
		err = w.tail.end(w.info.Rows)
	}
	if err != nil {
		return Info{}, fmt.Errorf("write segment: %w", err)
	}
	w.info.Bytes, w.info.SHA256 = w.tail.meter.bytes, w.tail.meter.digest()
	return w.info, nil
}

// endPages ends the pages that are full. A text can be as large as many pages, and is
// looked for at once.
func (w *Writer) endPages() error {
	for _, leaf := range asTheyAre {
		if err := w.endFull(&w.columns[leaf]); err != nil {
			return err
		}
	}
	if w.rows%looked != 0 {
		return nil
	}
	for i := range w.columns {
		if err := w.endFull(&w.columns[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) endFull(c *column) error {
	if !c.full() {
		return nil
	}
	return w.endPage(c, w.rows)
}

func (w *Writer) endPage(c *column, row int) error {
	c.texts, c.codes = nil, nil
	switch f := fieldOf[c.leaf]; {
	case c.kind == ofCodes:
		c.codes = w.words.Codes()
	case c.kind == ofEntries && f.of:
		c.texts = w.words.Texts(f.field)
	}
	if err := c.end(w.packer, row); err != nil {
		return fmt.Errorf("column %s: %w", leafName(w.schema, c.leaf), err)
	}
	return nil
}

// endEither makes pages of texts of either kind: of numbers where they come again, and
// otherwise of themselves, since a dictionary of texts that are all in one place costs
// whoever wants one of them all of it.
func (w *Writer) endEither(c *column, numbers []int32) error {
	texts := w.words.Texts(fieldOf[c.leaf].field)
	once, all := 0, 0
	for _, s := range texts {
		once += 4 + len(s)
	}
	for _, n := range numbers {
		all += 4 + len(texts[n])
	}
	c.kind = ofEntries
	if once > all/2 {
		c.kind = ofTexts
	}
	for row, n := range numbers {
		if c.kind == ofTexts {
			c.text(texts[n])
		} else {
			c.entry(uint32(n))
		}
		if c.full() {
			if err := w.endPage(c, row+1); err != nil {
				return err
			}
		}
	}
	return w.endPage(c, len(numbers))
}

// endGroup writes the row group, and begins another one.
func (w *Writer) endGroup() error {
	if w.rows == 0 {
		return nil
	}
	for i, leaf := range either {
		if err := w.endEither(&w.columns[leaf], w.either[i]); err != nil {
			return err
		}
		w.either[i] = w.either[i][:0]
	}
	group := format.RowGroup{
		NumRows: int64(w.rows), FileOffset: w.tail.meter.bytes, Ordinal: int16(len(w.tail.footer.RowGroups)),
		SortingColumns: []format.SortingColumn{{ColumnIdx: colTime}},
	}
	for i := range w.columns {
		c := &w.columns[i]
		err := w.endPage(c, w.rows)
		if err != nil {
			return err
		}
		path := w.schema.Columns()[i]
		leaf, _ := w.schema.Lookup(path...)
		chunk, err := w.tail.chunkOf(c, w.packer, path, format.Type(leaf.Node.Type().Kind()))
		if err != nil {
			return fmt.Errorf("column %s: %w", leafName(w.schema, i), err)
		}
		group.Columns = append(group.Columns, chunk)
		group.TotalByteSize += chunk.MetaData.TotalUncompressedSize
		group.TotalCompressedSize += chunk.MetaData.TotalCompressedSize
	}
	for i := range w.columns {
		if err := w.tail.bloomOf(&w.columns[i], &group.Columns[i].MetaData); err != nil {
			return err
		}
		w.columns[i].again()
	}
	w.tail.footer.RowGroups = append(w.tail.footer.RowGroups, group)
	w.words, w.rows = lexicon.New(), 0
	return nil
}

// microseconds is the time of a column.
func microseconds(t int64) time.Time { return time.UnixMicro(t).UTC() }

// validText is a text as UTF-8, of which the length is checked.
func validText(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) > MaxValue {
		panic(fmt.Sprintf("a text of %d bytes, more than %d", len(s), MaxValue))
	}
	return s
}

// view is bytes as a text, for as long as they do not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
