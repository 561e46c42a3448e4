package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// Reader reads a store that another process may be writing. It takes no lock and changes
// nothing. Each question is answered of the store as it is then.
type Reader struct {
	*reading
	catalog *catalog.Catalog

	mu       sync.Mutex
	seed     maphash.Seed
	parts    map[uint64]*followed
	manifest *manifest
	stamp    os.FileInfo // of the manifest that was read
	facts    map[uint64]*catalog.Facts
}

// followed is a part that is read on as it grows.
type followed struct {
	part *part
	file *os.File
	size int64
}

var _ audit.Reader = (*Reader)(nil)

// OpenReader opens a store for reading.
func OpenReader(dir string) (*Reader, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open audit store: %w", err)
	}
	l := layout(abs)
	if err := l.private(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(l.wal()); err != nil {
		return nil, fmt.Errorf("open audit store: %s is none: %w", dir, err)
	}
	var options Options
	options.setDefaults()
	r := &Reader{seed: maphash.MakeSeed(), parts: map[uint64]*followed{}}
	r.reading = &reading{
		dir: l, opened: newOpened(l, options.OpenSegments), names: options.MaxNames,
		view: r.snapshot, gaps: r.gaps, catalogNow: func() *catalog.Catalog { return r.catalog },
	}
	if _, err := os.Stat(l.catalog()); err == nil {
		r.catalog, _ = catalog.OpenReader(l.catalog()) // without one all is read, which takes longer
	}
	if _, err := r.snapshot(); err != nil {
		return nil, errors.Join(fmt.Errorf("open audit store: %w", err), r.Close())
	}
	return r, nil
}

// Close closes it.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened.close()
	var err error
	for n := range r.parts {
		r.drop(n)
	}
	if r.catalog != nil {
		err = r.catalog.Close()
	}
	return err
}

// snapshot reads what is new. The write-ahead log is read before the manifest: what is
// sealed between the two is in both, and then it is the segment's.
func (r *Reader) snapshot() (*view, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.follow(); err != nil {
		return nil, err
	}
	if err := r.readManifest(); err != nil {
		return nil, err
	}
	v := &view{}
	for n, f := range r.parts {
		if n <= r.manifest.part {
			r.drop(n)
			continue
		}
		v.parts = append(v.parts, f.part.snapshot())
	}
	for _, l := range r.manifest.live {
		v.segments = append(v.segments, segmentView{l, r.facts[numberOf(l.Segment)]})
	}
	return v, nil
}

func (r *Reader) drop(n uint64) {
	r.parts[n].file.Close()
	delete(r.parts, n)
}

// follow reads what was added to the write-ahead log.
func (r *Reader) follow() error {
	numbers, err := numbered(r.dir.wal(), partSuffix)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		f := r.parts[n]
		if f == nil {
			file, err := os.Open(r.dir.part(n))
			if errors.Is(err, fs.ErrNotExist) {
				continue // it was sealed just now
			}
			if err != nil {
				return fmt.Errorf("read write-ahead log: %w", err)
			}
			f = &followed{part: newPart(n, nil, 0), file: file}
			r.parts[n] = f
		}
		if err := f.read(r.seed); err != nil {
			return fmt.Errorf("%s: %w", r.dir.part(n), err)
		}
	}
	return nil
}

func (f *followed) read(seed maphash.Seed) error {
	info, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("read write-ahead log: %w", err)
	}
	if info.Size() <= f.size {
		return nil
	}
	content, err := wal.Read(f.file, info.Size(), f.size)
	if err != nil {
		return err
	}
	f.size = content.Size
	for _, d := range content.Damaged {
		if d.Before == len(content.Frames) { // nothing follows: it may be half written
			f.size = d.Offset
			break
		}
		f.part.gaps = append(f.part.gaps, f.part.gapAround(content.Frames, d.Before, info.ModTime()))
	}
	return f.part.add(content.Frames, seed, false)
}

// readManifest reads the manifest and the catalog's facts, where something has changed.
func (r *Reader) readManifest() error {
	info, err := os.Stat(r.dir.manifest())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read manifest: %w", err)
	}
	if r.manifest != nil && (info == nil || r.stamp != nil && os.SameFile(info, r.stamp) && info.Size() == r.stamp.Size()) {
		return nil
	}
	m, err := readManifest(r.dir.manifest())
	if err != nil {
		return err
	}
	r.manifest, r.stamp = m, info
	if r.catalog != nil {
		if facts, err := r.catalog.Facts(context.Background()); err == nil {
			r.facts = facts
		}
	}
	return nil
}

// gaps are those of the store. One that its process announced and has not ended lasts.
func (r *Reader) gaps() ([]audit.Gap, error) {
	if _, err := r.snapshot(); err != nil {
		return nil, err
	}
	all, err := readGaps(r.dir.gaps())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	for _, f := range r.parts {
		for _, g := range f.part.gaps {
			if !hasGap(all, g) {
				all = append(all, g)
			}
		}
	}
	r.mu.Unlock()
	return settle(all, time.Time{}), nil
}
