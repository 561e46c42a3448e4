package store

import (
	"context"
	"time"

	"github.com/gatehouse-io/gatehouse/audit/store/catalog"
)

// order is somebody who waits until what is closed is sealed.
type order struct {
	ctx   context.Context
	reply chan error
}

// sealer is the goroutine that seals parts, and between them mends the catalog.
func (s *Store) sealer() {
	defer close(s.sealing)
	s.wakeSealer()
	for {
		var retry <-chan time.Time
		if s.sealAll(s.life) != nil {
			retry = time.After(retryEvery)
		} else {
			s.catchUp(s.life)
		}
		select {
		case <-s.closing:
			return
		case <-s.seals:
		case <-retry:
		case o := <-s.orders:
			o.reply <- s.sealAllFor(o.ctx)
		}
	}
}

// sealAllFor is sealAll for somebody who waits for it.
func (s *Store) sealAllFor(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(ErrClosed) })()
	if err := s.sealAll(ctx); err != nil {
		return err
	}
	s.catchUp(ctx)
	return context.Cause(ctx)
}

// sealNow asks the sealer to seal what is closed, and waits for it.
func (s *Store) sealNow(ctx context.Context) error {
	return ask(ctx, s.orders, order{ctx: ctx, reply: make(chan error, 1)}, s.sealing)
}

func (s *Store) wakeSealer() {
	select {
	case s.seals <- struct{}{}:
	default:
	}
}

// sealAll seals the closed parts, oldest first.
func (s *Store) sealAll(ctx context.Context) error {
	for ctx.Err() == nil {
		s.mu.RLock()
		var p *part
		if len(s.parts) > 0 && s.parts[0].closed && s.broken == nil {
			p = s.parts[0]
		}
		s.mu.RUnlock()
		if p == nil {
			return nil
		}
		if err := s.seal(ctx, p); err != nil {
			if ctx.Err() == nil {
				s.warn("seal", err)
			}
			if isFull(err) {
				s.full.Store(true)
			}
			return err
		}
		select {
		case s.sealed <- struct{}{}:
		default:
		}
	}
	return context.Cause(ctx)
}

// record adds a segment to the catalog, where those it replaces are taken out. What goes
// wrong costs time, and no truth: the segment is looked at again.
func (s *Store) record(ctx context.Context, made *newSegment, removed []uint64) {
	facts := made.summary.Facts
	n := numberOf(made.name)
	s.mu.Lock()
	s.facts[n] = &facts
	for _, r := range removed {
		delete(s.facts, r)
	}
	c := s.catalog
	s.mu.Unlock()
	if c == nil {
		return
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	row := catalog.Segment{Number: n, First: made.info.First, Last: made.info.Last, Events: made.info.Rows, Bytes: made.info.Bytes}
	requests, done, err := s.requestsOf(ctx, c, made, removed)
	if err == nil && requests != nil {
		err = c.Put(ctx, row, made.summary, requests, removed)
	} else if err == nil {
		s.behind.Store(true) // its segments are not all in the catalog: it is read
	}
	done()
	if err == nil {
		err = c.Checkpoint(ctx)
	}
	if err != nil && ctx.Err() == nil {
		s.warn("catalog", err)
		s.renewCatalog(err)
	}
	if err != nil {
		s.behind.Store(true)
	}
}

// requestsOf are the distinct requests of a new segment: those that were gathered, or those
// of the segments it replaces; nil where the catalog lacks one of them.
func (s *Store) requestsOf(ctx context.Context, c *catalog.Catalog, made *newSegment, replaced []uint64) (requests catalog.Source, done func(), err error) {
	if len(replaced) == 0 {
		return made.summary.Entries(), func() {}, nil
	}
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		return nil, func() {}, err
	}
	var sources []catalog.Source
	for _, n := range replaced {
		if !snapshot.Has(n) {
			return nil, snapshot.Close, nil
		}
		sources = append(sources, snapshot.Requests(ctx, n))
	}
	return catalog.MergeEntries(sources, time.Time{}, time.Time{}, s.options.MaxNames), snapshot.Close, nil
}
