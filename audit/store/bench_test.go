package store

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/test/bench/audit/events"
)

// realistic are events of the generator that the whole store is measured with.
func realistic(n int) (all []*audit.Event) {
	for e := range events.Stream(events.Options{Count: n}) {
		all = append(all, e)
	}
	return all
}

// BenchmarkAppend is how fast events are acknowledged, by how many callers and how large
// their batches are, alone and with the sealing beside it.
func BenchmarkAppend(b *testing.B) {
	all := realistic(50_000)
	for _, c := range []struct {
		callers, batch int
		sealing        bool
	}{{1, 1, false}, {1, 500, false}, {8, 1, false}, {8, 500, false}, {8, 500, true}} {
		b.Run(fmt.Sprintf("callers=%d,batch=%d,sealing=%v", c.callers, c.batch, c.sealing), func(b *testing.B) {
			o := Options{SegmentAge: time.Hour}
			if !c.sealing {
				o.SegmentEvents, o.SegmentBytes = 1<<30, 1<<40
			}
			s := mustOpen(b, b.TempDir()+"/s", o)
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for caller := range c.callers {
				group.Go(func() {
					for i := caller * c.batch; i < b.N; i += c.callers * c.batch {
						batch := make([]*audit.Event, 0, c.batch)
						for j := i; j < min(i+c.batch, b.N); j++ {
							e := *all[j%len(all)]
							e.Time = e.Time.Add(time.Duration(j/len(all)) * time.Hour)
							batch = append(batch, &e)
						}
						if err := s.Append(context.Background(), batch); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkStore writes events, seals and compacts them, and asks. It tells bytes an event
// and the highest heap.
func BenchmarkStore(b *testing.B) {
	const count = 500_000
	for b.Loop() {
		dir := b.TempDir() + "/s"
		s := mustOpen(b, dir, Options{})
		runtime.GC()
		defer debug.SetGCPercent(debug.SetGCPercent(100))
		var peak uint64
		stop := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			for {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
		begun := time.Now()
		var batch []*audit.Event
		var last *audit.Event
		for e := range events.Stream(events.Options{Count: count}) {
			if batch = append(batch, e); len(batch) == 500 {
				mustAppend(b, s, batch...)
				batch = batch[:0]
			}
			last = e
		}
		mustAppend(b, s, batch...)
		b.ReportMetric(count/time.Since(begun).Seconds(), "generated+appended/s")
		if err := s.Seal(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(count/time.Since(begun).Seconds(), "generated+sealed/s")
		begun = time.Now()
		if err := s.Upkeep(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s-compaction")
		close(stop)
		group.Wait()
		st := s.Stats()
		b.ReportMetric(float64(st.Bytes)/float64(st.Events), "segment-bytes/event")
		b.ReportMetric(float64(st.CatalogBytes)/float64(st.Events), "catalog-bytes/event")
		b.ReportMetric(float64(peak)/(1<<20), "peak-heap-MiB")
		oldest, newest, _ := s.Span(b.Context())
		for name, scan := range map[string]audit.Scan{
			"ms-user-ns-10m": {Filter: audit.Filter{Users: []string{last.User}, Namespaces: []string{last.Namespace}, From: newest.Add(-10 * time.Minute)}},
			"ms-last-50":     {Filter: audit.Filter{Users: []string{last.User}}, Order: audit.NewestFirst, Limit: 50},
			"ms-secrets":     {Filter: audit.Filter{Resources: []string{"secrets"}, Verbs: []string{"get"}, Groups: []string{"developers"}}},
			"ms-uri-a-day":   {Filter: audit.Filter{URIContains: "exec", From: oldest, To: oldest.Add(24 * time.Hour)}},
		} {
			begun := time.Now()
			for range s.Scan(b.Context(), scan) {
			}
			b.ReportMetric(float64(time.Since(begun).Microseconds())/1000, name)
		}
		begun = time.Now()
		distinct := 0
		for range s.Requests(b.Context(), time.Time{}, time.Time{}) {
			distinct++
		}
		b.ReportMetric(float64(time.Since(begun).Microseconds())/1000, "ms-requests")
		b.ReportMetric(float64(distinct), "distinct")
		s.Close()
	}
}

// TestAppendAllocations bounds the hot path: what an event costs beyond its record.
func TestAppendAllocations(t *testing.T) {
	s := mustOpen(t, t.TempDir()+"/s", Options{SegmentEvents: 1 << 20, SegmentBytes: 1 << 30})
	batch := samples(0, 500)
	next := 500
	mustAppend(t, s, batch...)
	n := testing.AllocsPerRun(40, func() {
		for _, e := range batch {
			e.Time = start.Add(time.Duration(next) * time.Millisecond)
			next++
		}
		mustAppend(t, s, batch...)
	})
	if n > 100 {
		t.Errorf("500 events allocate %v times", n)
	}
}
