package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// disk is one whose space and speed a test decides on.
type disk struct {
	dir   string
	limit atomic.Int64  // of all files in dir; 0 is without bound
	stuck chan struct{} // while it is open, writes of the write-ahead log wait; nil for never
	sick  atomic.Bool   // syncs fail
}

func (d *disk) create(path string) (wal.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	return &diskFile{f, d}, err
}

type diskFile struct {
	*os.File
	disk *disk
}

func (f *diskFile) Write(p []byte) (int, error) {
	if strings.HasSuffix(f.Name(), partSuffix) && f.disk.stuck != nil {
		<-f.disk.stuck
	}
	if limit := f.disk.limit.Load(); limit > 0 {
		if room := max(limit-used(f.disk.dir), 0); room < int64(len(p)) {
			n, err := f.File.Write(p[:room])
			return n, errors.Join(err, &fs.PathError{Op: "write", Path: f.Name(), Err: unix.ENOSPC})
		}
	}
	return f.File.Write(p)
}

func (f *diskFile) Sync() error {
	if f.disk.sick.Load() {
		return &fs.PathError{Op: "fsync", Path: f.Name(), Err: unix.EIO}
	}
	return f.File.Sync()
}

func used(dir string) (sum int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// eventually waits for what goroutines do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has not come", what)
		}
	}
}

func gapsOf(t *testing.T, r audit.Reader) []audit.Gap {
	t.Helper()
	gaps, err := r.Gaps(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return gaps
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir() + "/copy"
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if d.IsDir() {
			mode = 0o700
		}
		return errors.Join(err, os.Chmod(path, mode))
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// TestFullDiskDrops fills a disk, and frees it again.
func TestFullDiskDrops(t *testing.T) {
	dir := t.TempDir() + "/s"
	d := &disk{dir: dir}
	s := mustOpen(t, dir, Options{Overflow: Drop, create: d.create})
	d.limit.Store(used(dir) + 9000) // three groups, and a gap
	kept, dropped := 0, 0
	for ; dropped < 30; kept += 10 {
		err := s.Append(t.Context(), samples(kept, kept+10))
		if errors.Is(err, ErrFull) {
			dropped += 10
			kept -= 10
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	gaps := gapsOf(t, s)
	if len(gaps) != 1 || !gaps[0].End.IsZero() || gaps[0].Count != 30 || gaps[0].Reason != audit.GapFull || !s.Stats().Full {
		t.Fatalf("while the disk is full: %+v", gaps)
	}
	agree(t, s, samples(0, kept))

	// A process that dies now leaves no silence: the beginning of the gap is on disk.
	dead := mustOpen(t, copyDir(t, dir), Options{})
	gaps = gapsOf(t, dead)
	if len(gaps) != 1 || gaps[0].End.IsZero() || gaps[0].Count != -1 || gaps[0].Reason != audit.GapFull {
		t.Fatalf("after a death: %+v", gaps)
	}
	agree(t, dead, samples(0, kept))

	d.limit.Store(0)
	mustAppend(t, s, samples(kept, kept+10)...)
	for range 2 { // also behind a restart, and in a segment's company
		gaps = gapsOf(t, s)
		if len(gaps) != 1 || gaps[0].End.IsZero() || gaps[0].Count != 30 || gaps[0].Reason != audit.GapFull {
			t.Fatalf("when there is space again: %+v", gaps)
		}
		agree(t, s, samples(0, kept+10))
		if err := errors.Join(s.Seal(t.Context()), s.Close()); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir, Options{})
	}
}

// TestFullDiskBlocks lets callers wait for space, or give up.
func TestFullDiskBlocks(t *testing.T) {
	dir := t.TempDir() + "/s"
	d := &disk{dir: dir}
	s := mustOpen(t, dir, Options{create: d.create})
	mustAppend(t, s, samples(0, 10)...)
	d.limit.Store(1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Append(ctx, samples(10, 15)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- s.Append(context.Background(), samples(20, 30)) }()
	select {
	case err := <-result:
		t.Fatalf("acknowledged on a full disk: %v", err)
	case <-time.After(3 * retryEvery):
	}
	d.limit.Store(0)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	agree(t, s, append(samples(0, 10), samples(20, 30)...))
	eventually(t, "the gap", func() bool {
		gaps := gapsOf(t, s)
		return len(gaps) == 1 && gaps[0].Count == 5 && gaps[0].Reason == audit.GapFull && !gaps[0].End.IsZero()
	})
}

// TestFullDiskWhileSealing has space for the log and none for segments.
func TestFullDiskWhileSealing(t *testing.T) {
	dir := t.TempDir() + "/s"
	d := &disk{dir: dir}
	s := mustOpen(t, dir, Options{create: d.create})
	mustAppend(t, s, samples(0, 1000)...)
	d.limit.Store(used(dir) + 4000)
	if err := s.Seal(t.Context()); !isFull(err) {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 1000))
	d.limit.Store(0)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	agree(t, s, samples(0, 1000))
	if st := s.Stats(); st.Segments != 1 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
}

// TestSlowDiskDrops has more come than can be written.
func TestSlowDiskDrops(t *testing.T) {
	dir := t.TempDir() + "/s"
	d := &disk{dir: dir}
	var mu sync.Mutex
	counted := map[string]int{}
	s := mustOpen(t, dir, Options{Overflow: Drop, MaxPending: 20_000, create: d.create, Metrics: Metrics{
		Dropped: func(reason string, n int) { mu.Lock(); counted[reason] += n; mu.Unlock() },
	}})
	mustAppend(t, s, samples(0, 10)...)
	d.stuck = make(chan struct{})
	var group sync.WaitGroup
	var kept, dropped atomic.Int64
	for i := range 40 {
		group.Go(func() {
			switch err := s.Append(context.Background(), samples(100+i*10, 110+i*10)); {
			case err == nil:
				kept.Add(10)
			case errors.Is(err, ErrDropped):
				dropped.Add(10)
			default:
				t.Error(err)
			}
		})
	}
	eventually(t, "a drop", func() bool { return dropped.Load() > 0 })
	close(d.stuck)
	group.Wait()
	if kept.Load()+dropped.Load() != 400 || kept.Load() == 0 {
		t.Fatalf("%d kept, %d dropped", kept.Load(), dropped.Load())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	if n := len(collect(t, s, audit.Scan{})); int64(n) != 10+kept.Load() {
		t.Errorf("%d events, want %d", n, 10+kept.Load())
	}
	sum := int64(0)
	for _, g := range gapsOf(t, s) {
		if g.Reason != audit.GapDropped || g.End.IsZero() {
			t.Errorf("%+v", g)
		}
		sum += g.Count
	}
	if sum != dropped.Load() || int64(counted[audit.GapDropped]) != dropped.Load() {
		t.Errorf("gaps of %d events, %v counted, %d were dropped", sum, counted, dropped.Load())
	}
}

// TestSlowDiskBlocks bounds what waits, and lets callers give up.
func TestSlowDiskBlocks(t *testing.T) {
	dir := t.TempDir() + "/s"
	d := &disk{dir: dir}
	s := mustOpen(t, dir, Options{MaxPending: 20_000, create: d.create})
	mustAppend(t, s, samples(0, 10)...)
	d.stuck = make(chan struct{})
	results := make(chan error, 40)
	for i := range 40 {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			results <- s.Append(ctx, samples(100+i*10, 110+i*10))
		}()
	}
	time.AfterFunc(300*time.Millisecond, func() { close(d.stuck) })
	kept, gaveUp := 0, 0
	for range 40 {
		switch err := <-results; {
		case err == nil:
			kept += 10
		case errors.Is(err, context.DeadlineExceeded):
			gaveUp += 10
		default:
			t.Error(err)
		}
	}
	if kept == 0 || gaveUp == 0 {
		t.Errorf("%d kept, %d gave up", kept, gaveUp)
	}
	// What was not acknowledged is not there, and what was is.
	if n := len(collect(t, s, audit.Scan{})); n != 10+kept {
		t.Errorf("%d events, want %d", n, 10+kept)
	}
}

// TestSickDisk ends acknowledging, and not reading.
func TestSickDisk(t *testing.T) {
	for name, every := range map[string]time.Duration{"in the background": 10 * time.Millisecond, "each group": 0} {
		dir := t.TempDir() + "/s"
		d := &disk{dir: dir}
		s, err := Open(dir, Options{SyncEvery: every, create: d.create})
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, samples(0, 10)...)
		d.sick.Store(true)
		eventually(t, name+": an error of Append", func() bool { return s.Append(t.Context(), samples(10, 11)) != nil })
		if err := s.Append(t.Context(), samples(20, 21)); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "cannot be written any more") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(collect(t, s, audit.Scan{})); n < 10 || s.Stats().Broken == "" {
			t.Errorf("%s: %d events, %+v", name, n, s.Stats())
		}
		s.Close()
	}
}
