package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
	"k8s.io/utils/clock"
)

// sealedStore is a closed store with three segments of 400 events and 50 in the log.
func sealedStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{CompactEvents: -1})
	for i := range 3 {
		mustAppend(t, s, samples(i*400, i*400+400)...)
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, s, samples(1200, 1250)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func change1(t *testing.T, path string, at int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += int64(len(data))
	}
	data[at] ^= 0x55
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedSegment(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"changed":   func(t *testing.T, path string) { change1(t, path, 5000) },
		"footer":    func(t *testing.T, path string) { change1(t, path, -20) },
		"shortened": func(t *testing.T, path string) { os.Truncate(path, 1000) },
		"missing":   func(t *testing.T, path string) { os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := sealedStore(t)
			path := layout(dir).segment(segmentName(2))
			damage(t, path)
			s := mustOpen(t, dir, Options{CompactEvents: -1})
			var found error
			for _, err := range s.Scan(t.Context(), audit.Scan{Bodies: true}) {
				found = err
			}
			if name != "changed" && (found == nil || !strings.Contains(found.Error(), segmentName(2))) {
				t.Errorf("a scan over it: %v", found)
			}
			// What does not need it is answered.
			if n := len(collect(t, s, audit.Scan{Filter: audit.Filter{From: sample(800).Time}})); n != 450 {
				t.Errorf("%d events beside it", n)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			report, err := Repair(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Damaged) != 1 || report.Damaged[0].Segment != segmentName(2) || report.Damaged[0].Events != 400 || report.Events != 800 {
				t.Fatalf("%+v", report)
			}
			if moved := report.Damaged[0].MovedTo; (moved == "") != (name == "missing") {
				t.Errorf("moved to %q", moved)
			}
			s = mustOpen(t, dir, Options{})
			agree(t, s, append(samples(0, 400), samples(800, 1250)...))
			gaps := gapsOf(t, s)
			if len(gaps) != 1 || gaps[0].Count != 400 || gaps[0].Reason != audit.GapUnreadable || !gaps[0].Start.Equal(sample(400).Time) || gaps[0].End.Before(sample(799).Time) {
				t.Errorf("%+v", gaps)
			}
			if err := errors.Join(s.Seal(t.Context()), s.Upkeep(t.Context())); err != nil {
				t.Fatal(err)
			}
			agree(t, s, append(samples(0, 400), samples(800, 1250)...))
			intact(t, dir)
			if _, err := Repair(t.Context(), dir, Options{}); err == nil {
				t.Error("a store that is open is repaired")
			}
			s.Close()
			if report, err = Repair(t.Context(), dir, Options{}); err != nil || len(report.Damaged) > 0 || len(report.SetAside) > 0 || report.Manifest {
				t.Errorf("a second repair: %+v %v", report, err)
			}
		})
	}
}

func TestDamagedCatalog(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing":   os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"garbage":   func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("garbage "), 10000), 0o600) },
		"shortened": func(path string) error { return os.Truncate(path, 4096) },
		"scribbled": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i := 4096; i < len(data); i += 3 {
				data[i] ^= 0xa5
			}
			return os.WriteFile(path, data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sealedStore(t)
			if err := damage(layout(dir).catalog()); err != nil {
				t.Fatal(err)
			}
			r, err := OpenReader(dir)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(collect(t, r, audit.Scan{})); n != 1250 {
				t.Errorf("a reader sees %d events", n)
			}
			r.Close()
			s := mustOpen(t, dir, Options{CompactEvents: -1})
			agree(t, s, samples(0, 1250)) // whatever the catalog is like
			eventually(t, "the catalog", func() bool {
				facts, err := s.currentCatalog().Facts(context.Background())
				return err == nil && len(facts) == 3
			})
			agree(t, s, samples(0, 1250))
			s.Close()
			if report, err := Repair(t.Context(), dir, Options{}); err != nil || report.Events != 1200 || len(report.Damaged) > 0 {
				t.Errorf("%+v %v", report, err)
			}
			s = mustOpen(t, dir, Options{CompactEvents: -1})
			agree(t, s, samples(0, 1250))
		})
	}
}

func TestDamagedManifest(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"changed": func(t *testing.T, path string) { change1(t, path, 100) },
		"end":     func(t *testing.T, path string) { change1(t, path, -10) },
		"missing": func(t *testing.T, path string) { os.Remove(path) },
		"older": func(t *testing.T, path string) {
			data, _ := os.ReadFile(path)
			lines := bytes.SplitAfter(data, []byte("\n"))
			os.WriteFile(path, bytes.Join(lines[:2], nil), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := sealedStore(t)
			damage(t, layout(dir).manifest())
			if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "gatehouse audit repair") {
				t.Fatalf("opened: %v", err)
			}
			report, err := Repair(t.Context(), dir, Options{})
			if err != nil || !report.Manifest || report.Events != 1200 || report.Segments != 3 {
				t.Fatalf("%+v %v", report, err)
			}
			s := mustOpen(t, dir, Options{})
			agree(t, s, samples(0, 1250))
			if err := s.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
			agree(t, s, samples(0, 1250))
			intact(t, dir)
		})
	}
}

// TestForeignSegmentIsNotBelieved puts a segment of another store into one that is
// repaired.
func TestForeignSegmentIsNotBelieved(t *testing.T) {
	dir, other := sealedStore(t), sealedStore(t)
	for _, suffix := range []string{"", ".link.json"} {
		data, err := os.ReadFile(layout(other).segment(segmentName(1) + suffix))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(layout(dir).segment(segmentName(77)+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Repair(t.Context(), dir, Options{})
	if err != nil || len(report.SetAside) != 1 || report.AdoptedEvents != 0 || report.Events != 1200 {
		t.Fatalf("%+v %v", report, err)
	}
}

func TestDamagedLog(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{})
	for i := range 30 {
		mustAppend(t, s, samples(i*10, i*10+10)...)
	}
	s.Close()
	path := layout(dir).part(1)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	change1(t, path, info.Size()/2)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(collect(t, r, audit.Scan{})); n != 290 {
		t.Errorf("a reader sees %d events", n)
	}
	if gaps := gapsOf(t, r); len(gaps) != 1 || gaps[0].Reason != audit.GapUnreadable {
		t.Errorf("a reader sees the gaps %+v", gaps)
	}
	r.Close()
	s = mustOpen(t, dir, Options{})
	if n := len(collect(t, s, audit.Scan{})); n != 290 {
		t.Errorf("%d events", n)
	}
	gaps := gapsOf(t, s)
	if len(gaps) != 1 || gaps[0].Reason != audit.GapUnreadable || gaps[0].Start.Before(start) || gaps[0].End.After(sample(300).Time) {
		t.Errorf("%+v", gaps)
	}
	mustAppend(t, s, samples(0, 300)...) // who has them can append them again
	if err := errors.Join(s.Seal(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	if n := len(collect(t, s, audit.Scan{})); n != 300 {
		t.Errorf("%d events after they were appended again", n)
	}
	if again := gapsOf(t, s); len(again) != 1 || !again[0].Start.Equal(gaps[0].Start) {
		t.Errorf("%+v becomes %+v", gaps, again)
	}
	if aside, _ := os.ReadDir(layout(dir).quarantine()); len(aside) != 1 {
		t.Errorf("%d files set aside", len(aside))
	}
}

func TestTornLog(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{})
	for i := range 3 {
		mustAppend(t, s, samples(i*10, i*10+10)...)
	}
	s.Close()
	path := layout(dir).part(1)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	file.Write(data[16:80]) // the beginning of a frame
	file.Close()
	s = mustOpen(t, dir, Options{})
	mustAppend(t, s, samples(30, 40)...)
	agree(t, s, samples(0, 40))
	if gaps := gapsOf(t, s); len(gaps) > 0 {
		t.Errorf("what was never acknowledged is no loss: %+v", gaps)
	}
}

func TestLargeAndStrangeEvents(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{MaxPending: 1 << 20})
	large := sample(1)
	large.Response = bytes.Repeat([]byte("0123456789"), 1<<20)
	strange := sample(2)
	strange.User, strange.URI, strange.UserAgent, strange.ID = "a\xff\x00b", "/\xc3\x28", "\x1b[31m\xfe", "id\xff"
	strange.Annotations = map[string]string{"k\xff": "v\xfe\x00"}
	strange.Request = []byte("\xff\xfe")
	empty := &audit.Event{}
	far := sample(3)
	far.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	mustAppend(t, s, large, strange, empty, far)
	mustAppend(t, s, strange)
	tooLarge := sample(4)
	tooLarge.Request = make([]byte, MaxEvent)
	if err := s.Append(t.Context(), []*audit.Event{sample(5), tooLarge}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an event of %d bytes: %v", MaxEvent, err)
	}
	for _, when := range []string{"before", "after"} {
		events := collect(t, s, audit.Scan{Bodies: true})
		if len(events) != 4 {
			t.Fatalf("%s sealing: %d events", when, len(events))
		}
		if len(events[1].Response) != 10<<20 || events[2].User != "a\uFFFD\x00b" || string(events[2].Request) != "\uFFFD" || !events[3].Time.Equal(far.Time) {
			t.Errorf("%s sealing: %d bytes, %q %q", when, len(events[1].Response), events[2].User, events[2].Request)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, strange) // it is known again after sealing
	}
}

// TestChosenAuditID gives two requests one ID, as a client can by a header.
func TestChosenAuditID(t *testing.T) {
	s := mustOpen(t, t.TempDir()+"/s", Options{})
	harmless, other := sample(1), sample(1)
	other.Verb, other.URI, other.Name = "delete", "/api/v1/namespaces/shop-1/secrets/all", "all"
	mustAppend(t, s, harmless)
	mustAppend(t, s, other, harmless)
	for range 2 {
		if n := len(collect(t, s, audit.Scan{})); n != 2 {
			t.Fatalf("%d events", n)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, other)
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir() + "/s"
	clock := &movedClock{}
	clock.stop(start.Add(time.Hour))
	options := Options{Clock: clock, CompactEvents: -1}
	s := mustOpen(t, dir, options)
	for i := range 5 {
		mustAppend(t, s, samples(i*1000, i*1000+500)...)
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	size := s.Stats().Bytes
	s.Close()
	options.MaxBytes = size * 7 / 10
	s = mustOpen(t, dir, options)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Segments != 3 || st.Bytes > options.MaxBytes {
		t.Errorf("by size: %+v", st)
	}
	want := append(append(samples(2000, 2500), samples(3000, 3500)...), samples(4000, 4500)...)
	agree(t, s, want)
	intact(t, dir)
	s.Close()

	options.MaxBytes, options.MaxAge = 0, time.Hour-3*time.Second
	s = mustOpen(t, dir, options)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, want[500:])
	intact(t, dir)

	// A clock that jumps ten years ahead deletes nothing, and one that goes back neither.
	s.Close()
	options.MaxAge = 3 * time.Hour
	s = mustOpen(t, dir, options)
	clock.stop(start.AddDate(10, 0, 0))
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, want[500:])
	clock.stop(start.AddDate(-10, 0, 0))
	mustAppend(t, s, samples(6000, 6010)...)
	if err := errors.Join(s.Upkeep(t.Context()), s.Seal(t.Context())); err != nil {
		t.Fatal(err)
	}
	intact(t, dir)
	// Everything can go.
	s.Close()
	options.MaxBytes, options.MaxAge = 1, 0
	s = mustOpen(t, dir, options)
	if err := s.Upkeep(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, nil)
	intact(t, dir)
	mustAppend(t, s, samples(0, 10)...)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 10))
	intact(t, dir)
}

// TestAgeSeals waits on a clock that is set back and forth.
func TestAgeSeals(t *testing.T) {
	clock := &movedClock{}
	clock.set(start)
	s := mustOpen(t, t.TempDir()+"/s", Options{Clock: clock})
	mustAppend(t, s, samples(0, 10)...)
	clock.set(start.Add(4 * time.Minute))
	time.Sleep(50 * time.Millisecond)
	clock.set(start.AddDate(-3, 0, 0)) // the part begins anew
	time.Sleep(50 * time.Millisecond)
	clock.set(start.AddDate(-3, 0, 0).Add(4 * time.Minute))
	time.Sleep(50 * time.Millisecond)
	if n := s.Stats().Segments; n != 0 {
		t.Fatalf("%d segments before its time", n)
	}
	agree(t, s, samples(0, 10))
	clock.set(start.AddDate(-3, 0, 0).Add(6 * time.Minute))
	eventually(t, "the segment", func() bool { return s.Stats().Segments == 1 })
	clock.set(start.AddDate(30, 0, 0)) // years ahead is at once
	mustAppend(t, s, samples(10, 20)...)
	clock.set(start.AddDate(60, 0, 0))
	eventually(t, "the segment", func() bool { return s.Stats().Segments == 2 })
	agree(t, s, samples(0, 20))
}

// movedClock says what a test wants; its tickers of a second are fast.
type movedClock struct {
	clock.RealClock
	offset  atomic.Int64
	stopped atomic.Pointer[time.Time] // what it says, however long a test takes
}

func (c *movedClock) stop(now time.Time) { c.stopped.Store(&now) }

func (c *movedClock) set(now time.Time) { c.offset.Store(int64(time.Until(now) / time.Microsecond)) }

func (c *movedClock) Now() time.Time {
	if now := c.stopped.Load(); now != nil {
		return *now
	}
	return time.Now().Round(0).Add(time.Duration(c.offset.Load()) * time.Microsecond)
}

func (c *movedClock) NewTicker(d time.Duration) clock.Ticker {
	if d == time.Second {
		d = 5 * time.Millisecond
	}
	return c.RealClock.NewTicker(d)
}

// TestReaders scans in this process and as another would, while everything moves.
func TestReaders(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := mustOpen(t, dir, Options{SegmentEvents: 200, CompactEvents: 2000})
	mustAppend(t, s, sample(0))
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const total = 6001
	var group sync.WaitGroup
	acknowledged := make(chan int, 1)
	acknowledged <- 1
	done := make(chan struct{})
	group.Go(func() {
		defer close(done)
		for i := 1; i < total; i += 20 {
			if err := s.Append(context.Background(), samples(i, i+20)); err != nil {
				t.Error(err)
				return
			}
			<-acknowledged
			acknowledged <- i + 20
			if i%400 == 1 {
				if err := s.Upkeep(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for _, reader := range []audit.Reader{s, r, s, r} {
		group.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-done:
					return
				default:
				}
				sure := <-acknowledged
				acknowledged <- sure
				scan := audit.Scan{Order: audit.Order(round % 2)}
				seen, before := map[string]bool{}, (*audit.Event)(nil)
				for e, err := range reader.Scan(context.Background(), scan) {
					if err != nil {
						t.Error(err)
						return
					}
					if before != nil && (audit.Compare(before, e) < 0) != (scan.Order == audit.OldestFirst) || seen[e.ID] {
						t.Errorf("%s comes behind %s, seen: %v", e.ID, before.ID, seen[e.ID])
						return
					}
					before, seen[e.ID] = e, true
				}
				for i := range sure {
					if !seen[sample(i).ID] {
						t.Errorf("event %d of %d is missing", i, sure)
						return
					}
				}
				count := int64(0)
				for q, err := range reader.Requests(context.Background(), time.Time{}, time.Time{}) {
					if err != nil {
						t.Error(err)
						return
					}
					count += q.Count
				}
				if count < int64(sure) {
					t.Errorf("%d events counted, of %d", count, sure)
				}
			}
		})
	}
	group.Wait()
	agree(t, s, samples(0, total))
}

func TestCounts(t *testing.T) {
	s := mustOpen(t, t.TempDir()+"/s", Options{})
	var events []*audit.Event
	for i := range 500 {
		e := sample(i)
		e.Time = start.Add(time.Duration(i) * time.Minute)
		events = append(events, e)
	}
	mustAppend(t, s, events[:300]...)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, events[200:]...)
	from, to := start.Add(90*time.Minute), start.Add(400*time.Minute)
	want := map[catalog.Count]int64{}
	for _, e := range events {
		hour := e.Time.Truncate(time.Hour)
		if hour.Before(from.Truncate(time.Hour)) || !hour.Before(to) {
			continue
		}
		want[catalog.Count{Hour: hour, Verb: e.Verb, Resource: e.Resource, Namespace: e.Namespace, Class: int(e.Code) / 100, Decision: e.Decision()}]++
	}
	got := 0
	for n, err := range s.Counts(t.Context(), from, to) {
		if err != nil {
			t.Fatal(err)
		}
		count := n.Count
		n.Count = 0
		if want[n] != count {
			t.Errorf("%+v: %d, want %d", n, count, want[n])
		}
		got++
	}
	if got != len(want) {
		t.Errorf("%d roll-ups, want %d", got, len(want))
	}
	m := &audit.Memory{}
	m.Add(events...)
	for q, err := range s.Requests(t.Context(), from, to) {
		if err != nil || q.Last.Before(from) || !q.First.Before(to) {
			t.Errorf("%+v %v", q, err)
		}
	}
}

func TestGoroutinesEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := range 5 {
		s, err := Open(fmt.Sprintf("%s/%d", t.TempDir(), i), Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, samples(0, 100)...)
		for range s.Scan(t.Context(), audit.Scan{}) {
			break
		}
		if err := errors.Join(s.Seal(t.Context()), s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		for range s.Scan(t.Context(), audit.Scan{}) {
			break
		}
	}
	eventually(t, "the end of goroutines", func() bool { return runtime.NumGoroutine() <= before+2 })
}

func TestOptions(t *testing.T) {
	if _, err := Open(t.TempDir()+"/s", Options{MaxAge: -1}); err == nil || !strings.Contains(err.Error(), "MaxAge") {
		t.Errorf("a negative age: %v", err)
	}
	if _, err := OpenReader(t.TempDir()); err == nil {
		t.Error("a folder that is no store is read")
	}
	if _, err := OpenReader(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no folder is read")
	}
}
