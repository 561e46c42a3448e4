package segment_test

import (
	"bytes"
	"io"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

// many are the events of one segment of the benchmarks.
var many = sync.OnceValue(func() []*audit.Event {
	var all []*audit.Event
	for e := range events.Stream(events.Options{Seed: 1, Count: 250_000}) {
		all = append(all, e)
	}
	return all
})

func BenchmarkWrite(b *testing.B) {
	all := many()
	for b.Loop() {
		info, err := segment.Write(io.Discard, all)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Bytes)/float64(info.Rows), "B/event")
	}
	b.ReportMetric(float64(len(all)*b.N)/b.Elapsed().Seconds(), "events/s")
}

// TestSizes tells where the bytes of a file are, with -v.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("it is for measuring")
	}
	var out bytes.Buffer
	info, err := segment.Write(&out, many())
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	left := info.Bytes
	for _, g := range f.Metadata().RowGroups {
		for _, c := range g.Columns {
			n := c.MetaData.TotalCompressedSize
			left -= n
			t.Logf("%8.3f B/event  %v  (of %.1f unpacked)", float64(n)/float64(info.Rows), c.MetaData.PathInSchema, float64(c.MetaData.TotalUncompressedSize)/float64(info.Rows))
		}
	}
	t.Logf("%8.3f B/event  indexes, bloom filters and footer", float64(left)/float64(info.Rows))
	if per := float64(info.Bytes) / float64(info.Rows); per > 80 {
		t.Errorf("an event takes %.1f bytes, more than 80", per)
	} else {
		t.Logf("%8.3f B/event", per)
	}
}
