package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gatehouse-io/gatehouse/audit/chain"
)

// tidy removes what a process that was killed left half done: segments that the manifest
// does not have, though the write-ahead log or other segments hold their events, and
// parts and segments that it has done away with. It writes the files of the chain that
// are missing.
func (s *Store) tidy() error {
	if err := s.readKey(); err != nil {
		return err
	}
	if err := s.checkHead(); err != nil {
		return err
	}
	live := map[string]bool{}
	for i := range s.manifest.live {
		l := &s.manifest.live[i]
		live[l.Segment] = true
		if _, err := os.Stat(s.dir.segment(l.Segment + chain.LinkSuffix)); errors.Is(err, fs.ErrNotExist) {
			if err := s.writeLink(l); err != nil {
				return fmt.Errorf("write link: %w", err)
			}
		}
	}
	entries, err := os.ReadDir(s.dir.segments())
	if err != nil {
		return fmt.Errorf("list segments: %w", err)
	}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), unfinished)
		name = strings.TrimSuffix(name, chain.LinkSuffix)
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		if live[name] && !strings.HasSuffix(e.Name(), unfinished) {
			continue
		}
		if err := remove(s.dir.segment(e.Name())); err != nil {
			return fmt.Errorf("remove segment: %w", err)
		}
	}
	if err := s.tidyParts(); err != nil {
		return err
	}
	return s.writeHead()
}

// tidyParts removes the parts of the write-ahead log that are sealed.
func (s *Store) tidyParts() error {
	parts, err := numbered(s.dir.wal(), partSuffix)
	if err != nil {
		return err
	}
	for _, n := range parts {
		if n <= s.manifest.part {
			if err := remove(s.dir.part(n)); err != nil {
				return fmt.Errorf("remove part: %w", err)
			}
		}
	}
	return nil
}

func (s *Store) readKey() (err error) {
	if s.key = s.options.Key; s.key == nil {
		s.key, err = chain.ReadOrMakeKey(s.dir.key(), rand.Reader)
	}
	return err
}

// checkHead compares the manifest with the head of the chain, which is written after it.
// A head that is further means that the manifest has lost lines: nothing is removed then
// that only looks as if it were no segment of the store.
func (s *Store) checkHead() error {
	data, err := os.ReadFile(s.dir.segment(chain.HeadName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read head of chain: %w", err)
	}
	if head, err := chain.ParseHead(data); err == nil && head.Sequence > s.manifest.head.Sequence {
		return fmt.Errorf("the chain has %d segments, and the manifest knows %d: %w", head.Sequence, s.manifest.head.Sequence, errManifest)
	}
	return nil
}

// openCatalogFile opens the catalog, or makes one where it is missing or damaged. Without
// one, nothing is wrong and much is slow.
func (s *Store) openCatalogFile() {
	c, facts, err := readCatalog(s.dir.catalog(), false)
	if err != nil {
		s.warn("catalog", err)
		s.dropCatalog()
		if c, facts, err = readCatalog(s.dir.catalog(), false); err != nil {
			s.warn("catalog", err)
		}
	}
	s.catalog, s.facts = c, facts
	s.behind.Store(true)
}

// dropCatalog removes the files of a catalog that cannot be used. What was in it comes
// from segments.
func (s *Store) dropCatalog() {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		s.warn("catalog", remove(s.dir.catalog()+suffix))
	}
}

// renewCatalog makes a catalog anew when it turns out to be damaged.
func (s *Store) renewCatalog(err error) {
	if !isDamaged(err) {
		return
	}
	s.mu.Lock()
	old := s.catalog
	s.catalog = nil
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
	s.dropCatalog()
	c, _, err := readCatalog(s.dir.catalog(), false)
	s.warn("catalog", err)
	s.mu.Lock()
	s.catalog = c
	s.mu.Unlock()
}

// catchUp brings the catalog to what the manifest says: segments that a crash or a lost
// catalog left out are read, and those that are gone are taken out.
func (s *Store) catchUp(ctx context.Context) {
	if !s.behind.Load() {
		return
	}
	s.mu.RLock()
	c, live := s.catalog, s.manifest.live
	s.mu.RUnlock()
	if c == nil {
		return
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	done, err := s.fillCatalog(ctx, c, live)
	if err != nil && ctx.Err() == nil {
		s.warn("catalog", err)
		s.renewCatalog(err)
		return
	}
	if done {
		s.behind.Store(false)
	}
}
