package store

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// readCatalog opens a catalog and reads its facts.
func readCatalog(path string, reader bool) (*catalog.Catalog, map[uint64]*catalog.Facts, error) {
	open := catalog.Open
	if reader {
		open = catalog.OpenReader
	}
	c, err := open(path)
	if err != nil {
		return nil, map[uint64]*catalog.Facts{}, err
	}
	facts, err := c.Facts(context.Background())
	if err != nil {
		return nil, map[uint64]*catalog.Facts{}, errors.Join(err, c.Close())
	}
	return c, facts, nil
}

// isDamaged reports whether an error means that a catalog is to be made anew, and not
// that a disk is full or a question was given up.
func isDamaged(err error) bool {
	if errors.Is(err, catalog.ErrDamaged) {
		return true
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return true
		}
	}
	return false
}

// fillCatalog adds what a catalog lacks, and stops where parts wait to be sealed: they
// are more urgent.
func (s *Store) fillCatalog(ctx context.Context, c *catalog.Catalog, live []chain.Link) (done bool, err error) {
	have, err := c.Facts(ctx)
	if err != nil {
		return false, err
	}
	var gone []uint64
	for n := range have {
		if !hasNumber(live, n) {
			gone = append(gone, n)
		}
	}
	if err := c.Remove(ctx, gone); err != nil {
		return false, err
	}
	for _, l := range live {
		n := numberOf(l.Segment)
		if have[n] != nil {
			continue
		}
		select {
		case <-s.seals:
			s.wakeSealer()
			return false, nil
		default:
		}
		summary, err := s.summarize(ctx, l)
		if err != nil {
			return false, err
		}
		if err := c.Put(ctx, rowOf(l), summary, summary.Entries(), nil); err != nil {
			return false, err
		}
		s.mu.Lock()
		s.facts[n] = &summary.Facts
		s.mu.Unlock()
	}
	return true, nil
}

func hasNumber(live []chain.Link, n uint64) bool {
	for _, l := range live {
		if numberOf(l.Segment) == n {
			return true
		}
	}
	return false
}

func rowOf(l chain.Link) catalog.Segment {
	return catalog.Segment{Number: numberOf(l.Segment), First: l.First, Last: l.Last, Events: l.Rows, Bytes: l.Bytes}
}

// summarize reads a whole segment for the catalog.
func (r *reading) summarize(ctx context.Context, l chain.Link) (*catalog.Summary, error) {
	b := catalog.NewBuilder(r.names)
	for e, err := range r.segmentSource(l, audit.Scan{}).open(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read segment for the catalog: %w", err)
		}
		b.Add(e)
	}
	return b.Finish(), nil
}
