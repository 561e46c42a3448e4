package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

const (
	// largestGroup is how many bytes of requests are written with one frame.
	largestGroup = 1 << 20
	// unsealed is how many closed parts may wait to be sealed, or be, before nothing more
	// is written: they are in memory.
	unsealed = 1
	// retryEvery is how often a full disk is tried again.
	retryEvery = 200 * time.Millisecond
)

// committer is the one goroutine that writes the write-ahead log. It takes what waits,
// writes it as one frame, and acknowledges it: the more callers, the larger the groups.
func (s *Store) committer() {
	defer close(s.committed)
	tick := s.options.Clock.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if s.sealerIsBehind() {
			select {
			case <-s.sealed:
			case <-tick.C():
			case reply := <-s.rolls:
				reply <- s.roll()
			}
			continue
		}
		group := s.queue.take(largestGroup)
		if len(group) > 0 {
			s.commit(group)
			continue
		}
		select {
		case <-s.closing:
			if s.queue.idle() {
				s.noteLosses(true)
				return
			}
		default:
		}
		select {
		case <-s.queue.wake:
			s.noteLosses(false)
		case <-tick.C():
			s.noteLosses(false)
			s.rollByAge()
		case reply := <-s.rolls:
			reply <- s.roll()
		case <-s.closing:
		}
	}
}

// commit writes a group, however long the disk takes, and tells its callers.
func (s *Store) commit(group []*request) {
	err := s.makeRoom()
	if err == nil {
		err = s.writeGroup(group)
	}
	switch {
	case err == nil:
		s.full.Store(false)
		s.noteLosses(false)
		s.queue.finish(group, nil)
	case !isFull(err) || errors.Is(err, wal.ErrBroken):
		s.fail(err)
		s.queue.finish(group, s.failure())
		s.queue.drain(s.failure())
	case s.options.Overflow == Drop:
		s.fullDisk(err)
		for _, r := range group {
			s.lose(len(r.rows))
		}
		s.announceLosses()
		s.queue.finish(group, ErrFull)
	default: // Block: it is tried again until the callers give up
		s.fullDisk(err)
		s.announceLosses()
		s.queue.putBack(group)
		select {
		case <-time.After(retryEvery):
		case <-s.closing: // what cannot be written now is refused, and not acknowledged
			s.queue.drain(err)
		}
	}
}

func (s *Store) fullDisk(err error) {
	if !s.full.Swap(true) {
		s.options.Log(fmt.Sprintf("audit store %s: the disk is full: %v", s.dir, err))
	}
	s.failed("write")
}

// enough reports whether the open part is to be sealed.
func (s *Store) enough(p *part) bool {
	return p.events >= s.options.SegmentEvents || p.bytes >= s.options.SegmentBytes || p.file.Size() >= s.options.SegmentBytes
}

// sealerIsBehind reports whether the open part has enough, and too many wait before it.
// Nothing more is taken then, so that callers can still give up.
func (s *Store) sealerIsBehind() bool {
	if s.open == nil || !s.enough(s.open) {
		return false
	}
	select {
	case <-s.closing: // nobody waits for memory any more
		return false
	default:
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.parts) > unsealed
}

// makeRoom sees that there is a part to write to, and starts the next one when it has
// enough.
func (s *Store) makeRoom() error {
	if s.open != nil && s.enough(s.open) {
		if err := s.roll(); err != nil {
			return err
		}
	}
	if s.open != nil {
		return nil
	}
	return s.startPart()
}

func (s *Store) startPart() error {
	sequence := s.nextPart
	path := s.dir.part(sequence)
	file, err := s.options.create(path)
	if err == nil {
		var w *wal.Writer
		if w, err = wal.NewWriter(file); err == nil {
			err = syncDir(s.dir.wal())
		}
		if err == nil {
			s.nextPart++
			s.open = newPart(sequence, w, s.lastEvents)
			s.open.born = s.options.Clock.Now()
			s.mu.Lock()
			s.parts = append(s.parts, s.open)
			s.mu.Unlock()
			return nil
		}
		file.Close()
		err = errors.Join(err, remove(path))
	}
	return fmt.Errorf("start part of write-ahead log: %w", err)
}

// writeGroup writes what is new of a group as one frame. Records are put behind those
// that readers see, compressed from there, and shown when they are on disk.
func (s *Store) writeGroup(group []*request) error {
	size, rows := 0, 0
	for _, r := range group {
		size += len(r.bytes)
		rows += len(r.rows)
	}
	p := s.open
	s.refreshClosed()
	c := p.room(size)
	start := len(c.bytes)
	bytes, added := c.bytes, s.fresh[:0]
	index := uint32(len(p.chunks)) // of c, when it is a new one
	if len(p.chunks) > 0 && p.chunks[len(p.chunks)-1] == c {
		index--
	}
	oldest, newest := c.oldest, c.newest
	for _, r := range group {
		for _, e := range r.rows {
			record := r.bytes[e.start : e.start+e.length]
			if s.duplicate(e.hash, record[:e.identity], bytes, added, p, place{index, uint32(len(c.rows) + len(added))}) {
				continue
			}
			at := uint32(len(bytes) + wal.RecordHeader)
			bytes = append(bytes, r.bytes[e.start-wal.RecordHeader:e.start+e.length]...)
			added = append(added, row{at: e.at, start: at, length: e.length})
			oldest, newest = min(oldest, e.at), max(newest, e.at)
		}
	}
	s.fresh = added
	if len(added) > 0 && !s.options.Unlogged {
		before := p.file.Size()
		err := p.file.Write(wal.Events, bytes[start:])
		if err == nil && s.options.SyncEvery == 0 {
			if err = s.sync(p.file); err != nil {
				err = fmt.Errorf("%w: %w", wal.ErrBroken, err) // what is on disk now nobody knows
			}
		}
		if err != nil {
			p.forget(place{index, uint32(len(c.rows))}, s.freshHashes)
			s.freshHashes = s.freshHashes[:0]
			return err
		}
		s.unsynced.Store(s.options.SyncEvery > 0)
		count(s.options.Metrics.Written, int(p.file.Size()-before))
	}
	s.freshHashes = s.freshHashes[:0]
	now := s.options.Clock.Now()
	s.mu.Lock()
	if p.events == 0 {
		p.born = now
	}
	c.bytes, c.rows, c.oldest, c.newest = bytes, append(c.rows, added...), oldest, newest
	if index == uint32(len(p.chunks)) && len(added) > 0 {
		p.chunks = append(p.chunks, c)
	}
	p.events += len(added)
	p.bytes += int64(len(bytes) - start)
	s.mu.Unlock()
	s.counters.appended.Add(int64(len(added)))
	s.counters.deduplicated.Add(int64(rows - len(added)))
	count(s.options.Metrics.Appended, len(added))
	count(s.options.Metrics.Deduplicated, rows-len(added))
	return nil
}

// duplicate reports whether an event is in the write-ahead log or the group already;
// where it is not, it is noted at its place.
func (s *Store) duplicate(hash uint64, identity, bytes []byte, added []row, p *part, at place) bool {
	for _, other := range s.closed {
		if other.has(hash, identity) {
			return true
		}
	}
	if first, ok := p.seen[hash]; ok {
		if int(first.chunk) < len(p.chunks) && int(first.row) < len(p.chunks[first.chunk].rows) {
			return p.has(hash, identity)
		}
		// It is in this very group: behind the rows that readers see.
		r := added[int(first.row)-int(at.row)+len(added)]
		record := bytes[r.start : r.start+r.length]
		return wal.Identity(textOf(record)) == len(identity) && string(record[:len(identity)]) == string(identity)
	}
	p.seen[hash] = at
	s.freshHashes = append(s.freshHashes, hash)
	return false
}

// forget takes back what was noted of a group that was not written.
func (p *part) forget(from place, hashes []uint64) {
	for _, h := range hashes {
		if at, ok := p.seen[h]; ok && at.chunk == from.chunk && at.row >= from.row {
			delete(p.seen, h)
		}
	}
}

// roll closes the open part, and hands it on to be sealed.
func (s *Store) roll() error {
	p := s.open
	if p == nil || p.events == 0 && len(p.gaps) == 0 {
		return nil
	}
	if err := s.sync(p.file); err != nil {
		s.fail(fmt.Errorf("%w: %w", wal.ErrBroken, err))
		return s.failure()
	}
	s.syncing.Lock()
	err := p.file.Close()
	p.file = nil
	s.syncing.Unlock()
	if err != nil {
		s.fail(fmt.Errorf("close write-ahead log: %w", err))
		return s.failure()
	}
	s.open, s.lastEvents = nil, p.events
	s.mu.Lock()
	p.closed = true
	s.mu.Unlock()
	s.wakeSealer()
	return nil
}

// refreshClosed notes the parts that are not sealed yet: what is in one is not written
// again.
func (s *Store) refreshClosed() {
	clear(s.closed)
	s.closed = s.closed[:0]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.parts {
		if p.closed {
			s.closed = append(s.closed, p)
		}
	}
}

// rollByAge closes a part that has waited long enough. A clock that was set back makes a
// part neither old nor young: it begins anew.
func (s *Store) rollByAge() {
	p := s.open
	if p == nil || p.events == 0 {
		return
	}
	now := s.options.Clock.Now()
	if now.Before(p.born) {
		s.mu.Lock()
		p.born = now
		s.mu.Unlock()
	}
	if now.Sub(p.born) >= s.options.SegmentAge {
		if err := s.roll(); err != nil {
			s.options.Log(err.Error())
		}
	}
}

// noteLosses writes the gaps that are over.
func (s *Store) noteLosses(atOnce bool) {
	for _, g := range s.losses.over(s.options.Clock.Now(), atOnce, s.full.Load()) {
		if s.writeGap(g) != nil {
			return // it is tried again with the next frame
		}
		s.losses.written(g)
	}
}

// announceLosses writes that events are being lost, in the space that was kept free for
// that: a process that is killed while the disk is full leaves no silence behind.
func (s *Store) announceLosses() {
	for _, g := range s.losses.announce() {
		err := s.writeGap(g)
		if isFull(err) && remove(s.dir.reserve()) == nil {
			err = s.writeGap(g)
		}
		if err == nil {
			s.losses.announced(g)
		}
	}
}

func (s *Store) writeGap(g audit.Gap) error {
	if s.open == nil {
		if err := s.startPart(); err != nil {
			return err
		}
	}
	if err := s.open.file.Write(wal.Gap, encodeGap(g)); err != nil {
		if errors.Is(err, wal.ErrBroken) {
			s.fail(err)
		}
		return err
	}
	s.unsynced.Store(true)
	s.mu.Lock()
	s.open.gaps = append(s.open.gaps, g)
	s.mu.Unlock()
	return nil
}

// sync forces the write-ahead log to disk.
func (s *Store) sync(w *wal.Writer) error {
	start := time.Now() // how long the disk took, whatever the clock of the store says
	err := w.Sync()
	if err == nil && s.options.Metrics.Synced != nil {
		s.options.Metrics.Synced(time.Since(start))
	}
	return err
}

// syncer forces to disk what was written, in groups and beside the writing.
func (s *Store) syncer() {
	defer close(s.synced)
	if s.options.SyncEvery == 0 {
		return
	}
	tick := s.options.Clock.NewTicker(s.options.SyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.committed:
			return
		case <-tick.C():
		}
		if !s.unsynced.Swap(false) {
			continue
		}
		s.syncing.Lock() // no part is closed meanwhile
		s.mu.RLock()
		var file *wal.Writer
		if n := len(s.parts); n > 0 {
			file = s.parts[n-1].file
		}
		s.mu.RUnlock()
		var err error
		if file != nil {
			err = s.sync(file)
		}
		s.syncing.Unlock()
		if err != nil {
			s.fail(fmt.Errorf("%w: %w", wal.ErrBroken, err))
			s.queue.drain(s.failure())
			return
		}
	}
}
