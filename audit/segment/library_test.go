package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/gatehouse-io/gatehouse/audit"
)

// flat are columns that have one value in each row, and what it is.
var flat = map[string]func(*audit.Event) string{
	"audit_id": func(e *audit.Event) string { return e.ID }, "request_uri": func(e *audit.Event) string { return e.URI },
	"user_name": func(e *audit.Event) string { return e.User }, "resource_version": func(e *audit.Event) string { return e.ResourceVersion },
	"status_message": func(e *audit.Event) string { return e.Message }, "name": func(e *audit.Event) string { return e.Name },
	"stage_timestamp": func(e *audit.Event) string { return fmt.Sprint(e.Time.UnixMicro()) }, "code": func(e *audit.Event) string { return fmt.Sprint(e.Code) },
	"truncated": func(e *audit.Event) string { return fmt.Sprint(e.Truncated) }, "request_object": func(e *audit.Event) string { return string(e.Request) },
}

// TestTheLibraryReadsThem holds files against parquet-go, which did not write them: the
// values, and what indexes and bloom filters say of them.
func TestTheLibraryReadsThem(t *testing.T) {
	alone := randomEvents(rand.New(rand.NewPCG(7, 7)), 3000)
	for i, e := range alone { // URIs that do not come again are no dictionary
		e.URI = fmt.Sprintf("/apis/%d?%s", i*7919%100_003, bytes.Repeat([]byte{'x'}, i%90))
	}
	for name, events := range map[string][]*audit.Event{"random": randomEvents(rand.New(rand.NewPCG(3, 9)), 20_000), "unique": alone, "realistic": many()[:50_000]} {
		t.Run(name, func(t *testing.T) {
			_, info, data := write(t, events)
			file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if file.NumRows() != info.Rows {
				t.Fatalf("%d rows, not %d", file.NumRows(), info.Rows)
			}
			first := 0
			for _, g := range file.RowGroups() {
				for leaf, chunk := range g.ColumnChunks() {
					path := file.Schema().Columns()[leaf]
					values := readChunk(t, fmt.Sprint(path), chunk)
					of, ok := flat[path[0]]
					if !ok {
						continue
					}
					for i, v := range values {
						if got, want := v.String(), of(events[first+i]); got != want && (!v.IsNull() || want != "") {
							t.Fatalf("%s of row %d is %q, not %q", path, first+i, got, want)
						}
					}
				}
				first += int(g.NumRows())
			}
		})
	}
}

// readChunk reads all values of a column, and holds its indexes against them.
func readChunk(t *testing.T, name string, chunk parquet.ColumnChunk) (all []parquet.Value) {
	t.Helper()
	bounds, err := chunk.ColumnIndex()
	if err != nil {
		t.Fatal(err)
	}
	places, err := chunk.OffsetIndex()
	if err != nil {
		t.Fatal(err)
	}
	filter, compare := chunk.BloomFilter(), chunk.Type().Compare
	pages := chunk.Pages()
	defer pages.Close()
	row := int64(0)
	for n := 0; ; n++ {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			if n != bounds.NumPages() || n != places.NumPages() {
				t.Fatalf("%s: %d pages, of which there are bounds of %d and places of %d", name, n, bounds.NumPages(), places.NumPages())
			}
			return all
		}
		if err != nil {
			t.Fatalf("%s: page %d: %v", name, n, err)
		}
		if places.FirstRowIndex(n) != row {
			t.Fatalf("%s: page %d begins at row %d, not %d", name, n, places.FirstRowIndex(n), row)
		}
		row += page.NumRows()
		values := make([]parquet.Value, page.NumValues())
		if got, err := page.Values().ReadValues(values); got != len(values) || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%s: page %d: %d of %d values: %v", name, n, got, len(values), err)
		}
		nulls := int64(0)
		for _, v := range values {
			if v.IsNull() {
				nulls++
				continue
			}
			if bounds.NullPage(n) || compare(v, bounds.MinValue(n)) < 0 || compare(v, bounds.MaxValue(n)) > 0 {
				t.Fatalf("%s: page %d has %q, beyond %q to %q", name, n, v, bounds.MinValue(n), bounds.MaxValue(n))
			}
			if filter != nil {
				if found, err := filter.Check(v); err != nil || !found {
					t.Fatalf("%s: the bloom filter lacks %q: %v", name, v, err)
				}
			}
		}
		if nulls != bounds.NullCount(n) || bounds.NullPage(n) != (nulls == int64(len(values))) {
			t.Fatalf("%s: page %d has %d NULLs of %d, and says %d", name, n, nulls, len(values), bounds.NullCount(n))
		}
		for i := range values {
			all = append(all, values[i].Clone())
		}
		parquet.Release(page)
	}
}

// A row group ends before its texts are too much for those who read it, and a page of
// bodies before there are too many of them.
func TestLongTexts(t *testing.T) {
	var events []*audit.Event
	for i := range 60 {
		events = append(events, &audit.Event{
			ID: fmt.Sprint(i), Time: many()[i].Time, UserAgent: fmt.Sprint(i) + string(bytes.Repeat([]byte{'u'}, 1<<20)), Request: bytes.Repeat([]byte{'b'}, 300<<10),
		})
	}
	s, _, data := write(t, events)
	if n := s.RowGroups(); n < 3 {
		t.Errorf("%d row groups of 60 MB of texts", n)
	}
	for i, e := range collect(s.Scan(t.Context(), audit.Scan{Bodies: true}), t) {
		if e.UserAgent != events[i].UserAgent || !bytes.Equal(e.Request, events[i].Request) {
			t.Fatalf("event %d is another one", i)
		}
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Metadata().RowGroups {
		for _, c := range g.Columns {
			if m := &c.MetaData.Statistics; len(m.MinValue) > 64 || len(m.MaxValue) > 64 {
				t.Errorf("the footer has bounds of %d and %d bytes", len(m.MinValue), len(m.MaxValue))
			}
		}
	}
}
