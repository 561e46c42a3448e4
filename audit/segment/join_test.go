package segment_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// cut are events in files, each of which begins a little before the one before has ended.
func cut(r *rand.Rand, events []*audit.Event, files int, overlap time.Duration) (all [][]*audit.Event) {
	all = make([][]*audit.Event, files)
	for i, e := range events {
		at := i * files / len(events)
		if edge := (at + 1) * len(events) / files; at+1 < files && events[edge-1].Time.Sub(e.Time) < overlap && r.IntN(2) == 0 {
			at++
		}
		all[at] = append(all[at], e)
	}
	return slices.DeleteFunc(all, func(f []*audit.Event) bool { return len(f) == 0 })
}

func joined(t testing.TB, files [][]*audit.Event) (*segment.Segment, segment.Info, error) {
	var segments []*segment.Segment
	var digests []segment.Digest
	for _, f := range files {
		s, info, _ := write(t, f)
		segments, digests = append(segments, s), append(digests, info.SHA256)
	}
	var b bytes.Buffer
	info, err := segment.Join(t.Context(), &b, segments, digests)
	if err != nil {
		return nil, info, err
	}
	s, err := segment.Open(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if info.Bytes != int64(b.Len()) || info.SHA256 != segment.Digest(sha(b.Bytes())) || s.Rows() != info.Rows {
		t.Fatalf("%+v of %d bytes", info, b.Len())
	}
	return s, info, nil
}

// TestJoinedScansAsMemoryDoes joins files whose times overlap or do not, joins what was
// joined, and asks.
func TestJoinedScansAsMemoryDoes(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		events := randomEvents(r, 6000)
		m := &audit.Memory{}
		m.Add(events...)
		overlap := time.Duration(0)
		if seed%2 == 1 {
			overlap = 3 * time.Second
		}
		s, info, err := joined(t, cut(r, events, 2+r.IntN(5), overlap))
		if err != nil {
			t.Fatal(err)
		}
		if first, last := s.Span(); !first.Equal(events[0].Time) || !last.Equal(events[len(events)-1].Time) || !info.First.Equal(first) || !info.Last.Equal(last) {
			t.Fatalf("from %v to %v, and %+v", first, last, info)
		}
		for range 60 {
			scan := audit.Scan{Filter: randomFilter(r, events), Order: audit.Order(r.IntN(2)), Bodies: true}
			if r.IntN(3) == 0 {
				scan.Limit = 1 + r.IntN(20)
			}
			got := collect(s.Scan(context.Background(), scan), t)
			want := collect(m.Scan(context.Background(), scan), t)
			if len(got) != len(want) {
				t.Fatalf("%d events, not %d: %+v", len(got), len(want), scan)
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("event %d of %+v: got\n%+v\nnot\n%+v", i, scan, got[i], want[i])
				}
			}
		}
	}
}

func TestJoinTwice(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	events := randomEvents(r, 4000)
	files := cut(r, events, 4, time.Second)
	var twice [2]bytes.Buffer
	var segments []*segment.Segment
	var digests []segment.Digest
	for i := range twice {
		var parts []*segment.Segment
		var sums []segment.Digest
		for _, f := range files[2*i : 2*i+2] {
			s, info, _ := write(t, f)
			parts, sums = append(parts, s), append(sums, info.SHA256)
		}
		info, err := segment.Join(t.Context(), &twice[i], parts, sums)
		if err != nil {
			t.Fatal(err)
		}
		s, err := segment.Open(bytes.NewReader(twice[i].Bytes()), info.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		segments, digests = append(segments, s), append(digests, info.SHA256)
	}
	var b bytes.Buffer
	info, err := segment.Join(t.Context(), &b, segments, digests)
	if err != nil {
		t.Fatal(err)
	}
	s, err := segment.Open(bytes.NewReader(b.Bytes()), info.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(s.Scan(context.Background(), audit.Scan{Bodies: true}), t); !reflect.DeepEqual(got, events) || s.RowGroups() != 4 {
		t.Errorf("%d events in %d row groups are others", len(got), s.RowGroups())
	}
}

func TestWhatIsNotJoined(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	events := randomEvents(r, 3000)
	far := [][]*audit.Event{events[:1000], events[1500:], events[1000:1500]}
	if _, _, err := joined(t, far); err != nil { // only neighbours overlap: not at all
		t.Error(err)
	}
	// The third goes back behind the whole of the second.
	if _, _, err := joined(t, [][]*audit.Event{events[500:1000], events[1000:], events[:500]}); !errors.Is(err, segment.ErrApart) {
		t.Errorf("joined times that go far back: %v", err)
	}
	if _, _, err := joined(t, nil); !errors.Is(err, segment.ErrApart) {
		t.Errorf("joined nothing: %v", err)
	}
	// Something that was changed is not vouched for.
	s, info, data := write(t, events[:1000])
	other, second, _ := write(t, events[1000:])
	for at := 4; at < len(data)-1000; at += len(data) / 9 {
		data[at] ^= 1
		if _, err := segment.Join(t.Context(), &bytes.Buffer{}, []*segment.Segment{s, other}, []segment.Digest{info.SHA256, second.SHA256}); err == nil {
			t.Errorf("joined a file whose byte %d was changed", at)
		}
		data[at] ^= 1
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := segment.Join(ctx, &bytes.Buffer{}, []*segment.Segment{s, other}, []segment.Digest{info.SHA256, second.SHA256}); !errors.Is(err, context.Canceled) {
		t.Errorf("joined although nobody waits: %v", err)
	}
}

// TestOthersReadWhatWasJoined holds a joined file against the library's own reader.
func TestOthersReadWhatWasJoined(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	events := randomEvents(r, 3000)
	var b bytes.Buffer
	var segments []*segment.Segment
	var digests []segment.Digest
	for _, f := range cut(r, events, 3, time.Second) {
		s, info, _ := write(t, f)
		segments, digests = append(segments, s), append(digests, info.SHA256)
	}
	if _, err := segment.Join(t.Context(), &b, segments, digests); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	column, _ := f.Schema().Lookup("audit_id")
	want := map[string]int{}
	for _, e := range events {
		want[e.ID]++
	}
	for _, g := range f.RowGroups() {
		chunk := g.ColumnChunks()[column.ColumnIndex]
		pages := chunk.Pages()
		for {
			p, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			values := make([]parquet.Value, p.NumValues())
			if n, err := p.Values().ReadValues(values); n != len(values) {
				t.Fatalf("%d of %d values: %v", n, len(values), err)
			}
			for _, v := range values {
				want[v.String()]--
				if found, err := chunk.BloomFilter().Check(v); err != nil || !found {
					t.Fatalf("the bloom filter lacks %q: %v", v, err)
				}
			}
		}
		pages.Close()
	}
	for id, n := range want {
		if n != 0 {
			t.Errorf("%q is there %d times too seldom", id, n)
		}
	}
}

func sha(data []byte) [32]byte { return sha256.Sum256(data) }
