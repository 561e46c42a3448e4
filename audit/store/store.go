package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// Store is an audit store that this process writes. It is an audit.Sink and an
// audit.Reader, and safe for concurrent use.
type Store struct {
	*reading
	options Options
	lock    *os.File // held until Close
	seed    maphash.Seed

	queue    *queue
	losses   losses
	full     atomic.Bool // the disk was full at the last attempt
	counters counters

	// Of the committer alone.
	open        *part   // what is written to; the last of parts, or nil
	closed      []*part // those before it, for finding duplicates
	nextPart    uint64
	lastEvents  int   // of the part that was closed last: the next has about as many
	fresh       []row // of the group that is being written
	freshHashes []uint64

	mu       sync.RWMutex
	parts    []*part // not sealed yet, oldest first
	manifest *manifest
	gapList  []audit.Gap // those that are in no part any more
	broken   error       // why nothing is written any more

	catalog *catalog.Catalog // nil where there is none
	facts   map[uint64]*catalog.Facts
	behind  atomic.Bool // the catalog may lack segments, or have too many

	key         *chain.Key
	lastSegment uint64 // the highest number given to a segment; under mu

	publishing publishing

	changing  sync.Mutex // held while a change of the manifest is made
	recording sync.Mutex // held while the catalog is written

	syncing  sync.Mutex // held while a part is synced or closed
	unsynced atomic.Bool

	rolls   chan chan error // asks the committer to close the open part
	seals   chan struct{}   // has a token where there may be something to seal
	sealed  chan struct{}   // has a token where something was sealed
	orders  chan order      // asks the sealer for something now
	upkeeps chan order      // asks for retention and compaction now
	life    context.Context // ends with Close
	end     context.CancelFunc
	closing chan struct{}
	once    sync.Once
	// Closed when the goroutine of the name has ended.
	committed, synced, sealing, keeping chan struct{}
	closeErr                            error
}

var (
	_ audit.Sink   = (*Store)(nil)
	_ audit.Reader = (*Store)(nil)
)

// Open opens the store in a folder, which is made where there is none, and locks it
// against other processes: one that writes it already is an *InUseError. What a process
// that was killed left behind is put right.
func Open(dir string, options Options) (*Store, error) {
	s, err := lockStore(dir, options)
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	go s.committer()
	go s.syncer()
	go s.sealer()
	go s.keeper(s.options.Clock.Now())
	return s, nil
}

// lockStore makes a Store of a folder, and reads nothing.
func lockStore(dir string, options Options) (*Store, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	options.setDefaults()
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open audit store: %w", err)
	}
	s := &Store{
		options: options, seed: maphash.MakeSeed(), queue: newQueue(options.MaxPending), facts: map[uint64]*catalog.Facts{},
		rolls: make(chan chan error), seals: make(chan struct{}, 1), sealed: make(chan struct{}, 1),
		orders: make(chan order), upkeeps: make(chan order), closing: make(chan struct{}),
		committed: make(chan struct{}), synced: make(chan struct{}), sealing: make(chan struct{}), keeping: make(chan struct{}),
	}
	s.reading = &reading{
		dir: layout(abs), opened: newOpened(layout(abs), options.OpenSegments), names: options.MaxNames,
		view: s.snapshot, gaps: s.gaps, catalogNow: s.currentCatalog,
	}
	if s.lock, err = s.dir.prepare(); err != nil {
		return nil, err
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// load reads what is in the folder.
func (s *Store) load() (err error) {
	if s.manifest, err = openManifest(s.dir.manifest()); err != nil {
		return fmt.Errorf("open audit store: %w", err)
	}
	if err := s.tidy(); err != nil {
		return fmt.Errorf("open audit store: %w", err)
	}
	if s.gapList, err = readGaps(s.dir.gaps()); err != nil {
		return fmt.Errorf("open audit store: %w", err)
	}
	if err := s.recover(); err != nil {
		return err
	}
	s.openCatalogFile()
	s.keepReserve()
	return nil
}

// release closes what is open, and gives the folder back.
func (s *Store) release() (err error) {
	s.end()
	s.opened.close()
	if s.open != nil && s.open.file != nil {
		err = s.open.file.Close()
	}
	if s.catalog != nil {
		err = errors.Join(err, s.catalog.Close())
	}
	if s.manifest != nil {
		err = errors.Join(err, s.manifest.close())
	}
	return errors.Join(err, s.lock.Close())
}

// Close writes what was let in, forces it to disk, and ends. What is not sealed stays in
// the write-ahead log.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.queue.close()
		close(s.closing)
		s.end()
		<-s.committed
		<-s.synced
		<-s.sealing
		<-s.keeping
		s.queue.drain(ErrClosed)
		if s.open != nil {
			s.closeErr = s.sync(s.open.file)
		}
		s.closeErr = errors.Join(s.closeErr, s.release())
	})
	return s.closeErr
}

// Seal makes segments of everything that was appended before the call: what an import
// does at its end.
func (s *Store) Seal(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case s.rolls <- reply:
	case <-s.committed:
		return fmt.Errorf("seal audit store: %w", ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("seal audit store: %w", context.Cause(ctx))
	}
	if err := <-reply; err != nil {
		return fmt.Errorf("seal audit store: %w", err)
	}
	if err := s.sealNow(ctx); err != nil {
		return fmt.Errorf("seal audit store: %w", err)
	}
	return nil
}

// failure is why nothing can be written any more; nil while it can.
func (s *Store) failure() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.broken
}

// fail ends writing: after an error that leaves what is on disk unknown, an event that
// was acknowledged could be lost. Reading goes on.
func (s *Store) fail(err error) {
	s.mu.Lock()
	first := s.broken == nil
	if first {
		s.broken = fmt.Errorf("the audit store cannot be written any more: %w", err)
	}
	s.mu.Unlock()
	if first {
		s.options.Log(err.Error())
		s.failed("store")
	}
}

func (s *Store) failed(what string) {
	if s.options.Metrics.Failed != nil {
		s.options.Metrics.Failed(what)
	}
}

// reserveBytes are kept free for telling that the disk is full.
const reserveBytes = 64 << 10

func (s *Store) keepReserve() {
	if info, err := os.Stat(s.dir.reserve()); err == nil && info.Size() >= reserveBytes {
		return
	}
	// Without it only a gap can be lost, when the process is killed while the disk is full.
	_ = os.WriteFile(s.dir.reserve(), make([]byte, reserveBytes), 0o600)
}

// snapshot is the store as it is now.
func (s *Store) snapshot() (*view, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := &view{parts: make([]partView, len(s.parts)), segments: make([]segmentView, len(s.manifest.live))}
	for i, p := range s.parts {
		v.parts[i] = p.snapshot()
	}
	for i, l := range s.manifest.live {
		v.segments[i] = segmentView{l, s.facts[numberOf(l.Segment)]}
	}
	return v, nil
}

func (s *Store) currentCatalog() *catalog.Catalog {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.catalog
}

// rawGaps are the gaps as they were written, announcements included.
func (s *Store) rawGaps() []audit.Gap {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := slices.Clone(s.gapList)
	for _, p := range s.parts {
		all = append(all, p.gaps...)
	}
	return all
}

// gaps are those of the store, with those that last now.
func (s *Store) gaps() ([]audit.Gap, error) {
	open := s.losses.gaps()
	written := slices.DeleteFunc(s.rawGaps(), func(g audit.Gap) bool {
		return g.End.IsZero() && slices.ContainsFunc(open, func(o audit.Gap) bool { return o.Reason == g.Reason && !o.Start.After(g.Start) })
	})
	return append(settle(written, s.options.Clock.Now()), open...), nil
}
