package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/gatehouse-io/gatehouse/audit"
)

const (
	// rowsPerGroup bounds a row group, and so the dictionaries that a reader holds.
	rowsPerGroup = 1 << 18
	// batch is how many rows are handed to a column at once: what all columns gather fits
	// in a processor's cache.
	batch = 256
	// pageBytes is where a page ends. Indexes of a dictionary take 4 bytes a row, so that
	// pages of such columns have some 16,000 rows, and those of unique texts some 2,000.
	pageBytes = 64 << 10
	// longText is what no user agent, name or group of an honest client exceeds, and
	// longBytes how much of such texts one row group takes: dictionaries hold each text
	// once, and a reader holds the dictionaries of one row group.
	longText  = 512
	longBytes = 16 << 20
	// smallPageBytes is where a page of unique texts ends, before the library would end
	// it: to show one event, a page of each column is unpacked, and these are the largest.
	smallPageBytes = 16 << 10
	// MaxValue is the longest text of an event that Write takes, in bytes.
	MaxValue = 32 << 20
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

// Writer writes one file event by event, holding what is compressed of one row group.
type Writer struct {
	meter   *meter
	file    *parquet.GenericWriter[any]
	columns [columns]columnWriter
	info    Info
	group   int          // batches of the row group
	last    *audit.Event // the one before, to see that they are sorted
	keys    []string     // of the map that is being written
	err     error        // the first that occurred; nothing is written after it
}

// NewWriter starts a file. It is to be closed.
func NewWriter(w io.Writer) *Writer {
	m := newMeter(w)
	sw := &Writer{meter: m, file: parquet.NewGenericWriter[any](m, newSchema(),
		parquet.Compression(newCodec()),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false), // the index of pages says the same
		parquet.CreatedBy("gatehouse", "audit segment", Version),
		parquet.KeyValueMetadata(MetadataVersion, Version),
		parquet.SortingWriterConfig(parquet.SortingColumns(parquet.Ascending("stage_timestamp"))),
		parquet.BloomFilters(
			parquet.SplitBlockFilter(8, "audit_id"),
			parquet.SplitBlockFilter(12, "user_name"),
			parquet.SplitBlockFilter(12, "name"),
		),
	)}
	for i, c := range sw.file.ColumnWriters() {
		sw.columns[i] = columnWriter{to: c, index: i, values: make([]parquet.Value, 0, batch), small: i == colID || i == colURI}
	}
	return sw
}

// Rows is how many events there are so far.
func (w *Writer) Rows() int64 { return w.info.Rows }

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
	w.last = e
	if w.info.Rows == 0 {
		w.info.First = e.Time.UTC()
	}
	w.info.Last = e.Time.UTC()
	w.event(e)
	w.info.Rows++
	if w.info.Rows%batch != 0 && !w.full() {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.group++; w.group*batch >= rowsPerGroup || w.long() {
		w.group = 0
		for i := range w.columns {
			w.columns[i].long = 0
		}
		return w.file.Flush()
	}
	return nil
}

// long reports whether the row group has so many long texts that it should end.
func (w *Writer) long() bool {
	sum := 0
	for i := range w.columns {
		sum += w.columns[i].long
	}
	return sum > longBytes
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
	if err := w.end(); err != nil {
		return Info{}, fmt.Errorf("write segment: %w", err)
	}
	w.info.Bytes, w.info.SHA256 = w.meter.bytes, w.meter.digest()
	return w.info, nil
}

func (w *Writer) end() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.file.Flush(); err != nil {
		return err
	}
	w.meter.ending = true
	if err := w.file.Close(); err != nil {
		return err
	}
	w.meter.ending = false
	end, err := mendFooter(w.meter.end)
	if err != nil {
		return err
	}
	_, err = w.meter.Write(end)
	return err
}

// full reports whether a column has so much that it should be a page, before a batch is
// full: a thousand large bodies are not one page.
func (w *Writer) full() bool {
	return w.columns[colRequest].bytes+w.columns[colResponse].bytes > 8*pageBytes || w.columns[colURI].long > 8*pageBytes
}

func (w *Writer) flush() error {
	for i := range w.columns {
		if err := w.columns[i].flush(); err != nil {
			return fmt.Errorf("column %s: %w", newSchema().Columns()[i][0], err)
		}
	}
	return nil
}

// event adds one row to every column.
func (w *Writer) event(e *audit.Event) {
	c := &w.columns
	c[colTime].flat(parquet.Int64Value(e.Time.UnixMicro()))
	if e.Received.IsZero() {
		c[colReceived].add(parquet.NullValue(), 0, 0)
	} else {
		c[colReceived].add(parquet.Int64Value(e.Received.UnixMicro()), 0, 1)
	}
	c[colID].text(e.ID)
	c[colStage].text(e.Stage)
	c[colLevel].text(e.Level)
	c[colVerb].text(e.Verb)
	c[colURI].text(e.URI)
	c[colUser].text(e.User)
	c[colUID].text(e.UID)
	c[colGroups].list(e.Groups)
	w.extra(&c[colExtraKey], &c[colExtraValue], e.Extra)
	c[colAsUser].text(e.AsUser)
	c[colAsUID].text(e.AsUID)
	c[colAsGroups].list(e.AsGroups)
	w.extra(&c[colAsExtraKey], &c[colAsExtraValue], e.AsExtra)
	c[colConstraint].text(e.Constraint)
	c[colIPs].list(e.SourceIPs)
	c[colUserAgent].text(e.UserAgent)
	c[colAPIGroup].text(e.APIGroup)
	c[colAPIVersion].text(e.APIVersion)
	c[colResource].text(e.Resource)
	c[colSubresource].text(e.Subresource)
	c[colNamespace].text(e.Namespace)
	c[colName].text(e.Name)
	c[colObjectUID].text(e.ObjectUID)
	c[colResourceVersion].text(e.ResourceVersion)
	c[colCode].flat(parquet.Int32Value(e.Code))
	c[colStatus].text(e.Status)
	c[colStatusReason].text(e.StatusReason)
	c[colMessage].text(e.Message)
	w.annotations(e.Annotations)
	c[colRequest].body(e.Request)
	c[colResponse].body(e.Response)
	c[colTruncated].flat(parquet.BooleanValue(e.Truncated))
	c[colSource].text(e.Source)
	c[colUnknown].list(e.Unknown)
}

// annotations writes those of authorization into columns of their own, and the others
// into the map.
func (w *Writer) annotations(all map[string]string) {
	decision, reason := parquet.NullValue(), parquet.NullValue()
	var decided, reasoned int
	w.keys = w.keys[:0]
	for k, v := range all {
		switch k {
		case audit.AnnotationDecision:
			decision, decided = textValue(v), 1
		case audit.AnnotationReason:
			reason, reasoned = textValue(v), 1
		default:
			w.keys = append(w.keys, k)
		}
	}
	w.columns[colDecision].add(decision, 0, decided)
	w.columns[colReason].add(reason, 0, reasoned)
	slices.Sort(w.keys)
	key, value := &w.columns[colAnnotationKey], &w.columns[colAnnotationValue]
	repetition := 0
	for _, k := range w.keys {
		key.add(textValue(k), repetition, 1)
		value.add(textValue(all[k]), repetition, 1)
		repetition = 1
	}
	if repetition == 0 {
		key.add(parquet.NullValue(), 0, 0)
		value.add(parquet.NullValue(), 0, 0)
	}
}

func (w *Writer) extra(key, value *columnWriter, all map[string][]string) {
	if len(all) == 0 {
		key.add(parquet.NullValue(), 0, 0)
		value.add(parquet.NullValue(), 0, 0)
		return
	}
	w.keys = w.keys[:0]
	for k := range all {
		w.keys = append(w.keys, k)
	}
	slices.Sort(w.keys) // so that the same events make the same file
	for i, k := range w.keys {
		outer := min(i, 1)
		key.add(textValue(k), outer, 1)
		items := all[k]
		if len(items) == 0 {
			value.add(parquet.NullValue(), outer, 1)
		}
		for j, v := range items {
			if j > 0 {
				outer = 2
			}
			if len(v) > longText {
				value.long += len(v)
			}
			value.add(textValue(v), outer, 2)
		}
	}
}

// columnWriter gathers a batch of one leaf column.
type columnWriter struct {
	to     *parquet.ColumnWriter
	index  int
	values []parquet.Value
	bytes  int // of bodies in values
	long   int // bytes of long texts in the row group
	// small says that the column has small pages, and gathered what is in this one.
	small    bool
	gathered int
}

// add adds a value with its levels, and text one of a column that has none.
func (c *columnWriter) add(v parquet.Value, repetition, definition int) {
	c.values = append(c.values, v.Level(repetition, definition, c.index))
}

func (c *columnWriter) flat(v parquet.Value) { c.values = append(c.values, v) }

func (c *columnWriter) text(s string) {
	if len(s) > longText {
		c.long += len(s)
	}
	if c.small {
		c.gathered += len(s) + 4
	}
	c.values = append(c.values, textValue(s))
}

func (c *columnWriter) list(all []string) {
	if len(all) == 0 {
		c.add(parquet.NullValue(), 0, 0)
		return
	}
	for i, s := range all {
		if len(s) > longText {
			c.long += len(s)
		}
		c.add(textValue(s), min(i, 1), 1)
	}
}

func (c *columnWriter) body(b []byte) {
	if b == nil {
		c.add(parquet.NullValue(), 0, 0)
		return
	}
	c.bytes += len(b)
	c.add(textValue(unsafe.String(unsafe.SliceData(b), len(b))), 0, 1)
}

func (c *columnWriter) flush() error {
	_, err := c.to.WriteRowValues(c.values)
	c.values, c.bytes = c.values[:0], 0
	if err == nil && c.gathered >= smallPageBytes {
		c.gathered = 0
		err = c.to.Flush()
	}
	return err
}

// textValue is a text as a value. The value lies in the memory of the text: the columns
// copy it when they are given it, before Append returns or later in the same batch, and
// the text does not change.
func textValue(s string) parquet.Value {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if len(s) > MaxValue {
		panic(fmt.Sprintf("a text of %d bytes, more than %d", len(s), MaxValue))
	}
	return parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// microseconds is the time of a column.
func microseconds(t int64) time.Time { return time.UnixMicro(t).UTC() }
