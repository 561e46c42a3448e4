package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/segment"
)

// upkeepEvery is how often retention and compaction look whether there is something to do.
const upkeepEvery = time.Minute

// keeper is the goroutine that deletes what is too old or too much, and makes large
// segments of small ones, beside the sealing. The clock is trusted as it is at the start.
func (s *Store) keeper(trusted time.Time) {
	defer close(s.keeping)
	tick := s.options.Clock.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C():
			trusted = soon(trusted, s.options.Clock.Now())
			s.keep(s.life, trusted, patient)
		case o := <-s.upkeeps:
			trusted = soon(trusted, s.options.Clock.Now())
			ctx, cancel := context.WithCancelCause(o.ctx)
			stop := context.AfterFunc(s.life, func() { cancel(ErrClosed) })
			o.reply <- s.keep(ctx, trusted, eager)
			stop()
			cancel(nil)
		}
	}
}

// soon is the time that retention goes by. A clock that is suddenly years ahead must not
// delete everything: in a minute, time passes ten at most.
func soon(trusted, now time.Time) time.Time {
	if latest := trusted.Add(10 * upkeepEvery); now.After(latest) {
		return latest
	}
	return now
}

// Upkeep does now what is otherwise done in the background: it deletes what is too old or
// too much, and makes few large segments of many small ones. An import does it at its end.
func (s *Store) Upkeep(ctx context.Context) error {
	o := order{ctx: ctx, reply: make(chan error, 1)}
	if err := ask(ctx, s.upkeeps, o, s.keeping); err != nil {
		return fmt.Errorf("keep up audit store: %w", err)
	}
	return nil
}

// ask hands an order to a goroutine, and waits until it is done.
func ask(ctx context.Context, to chan order, o order, ended chan struct{}) error {
	select {
	case to <- o:
	case <-ended:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-o.reply
}

func (s *Store) keep(ctx context.Context, now time.Time, how patience) error {
	if s.failure() != nil {
		return s.failure()
	}
	if err := s.retain(ctx, now); err != nil {
		s.warn("retain", err)
		return err
	}
	if err := s.compact(ctx, how); err != nil {
		if ctx.Err() == nil {
			s.warn("compact", err)
		}
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	err := s.manifest.shorten()
	s.warn("manifest", err)
	return err
}

// retain deletes the oldest segments, in the order in which they were sealed, while they
// are too old or there is too much. The chain goes on from a head that says so.
func (s *Store) retain(ctx context.Context, now time.Time) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	live := s.manifest.live
	total := int64(0)
	for _, l := range live {
		total += l.Bytes
	}
	n := 0
	for n < s.removable(live) {
		tooOld := s.options.MaxAge > 0 && live[n].Last.Before(now.Add(-s.options.MaxAge))
		tooMuch := s.options.MaxBytes > 0 && total > s.options.MaxBytes
		if !tooOld && !tooMuch {
			break
		}
		total -= live[n].Bytes
		n++
	}
	if n == 0 {
		return nil
	}
	var oldest *chain.Link
	if n < len(live) {
		oldest = &live[n]
	}
	c := change{Reason: retained, Head: s.key.Retain(s.manifest.head, oldest, s.options.Clock.Now())}
	for _, l := range live[:n] {
		c.Removed = append(c.Removed, l.Segment)
	}
	if err := s.commitChange(c, nil); err != nil {
		return fmt.Errorf("retain audit events: %w", err)
	}
	s.discard(ctx, live[:n], true)
	return nil
}

// discard removes the files of segments that the manifest does not have any more.
func (s *Store) discard(ctx context.Context, links []chain.Link, catalog bool) {
	var numbers []uint64
	for _, l := range links {
		s.opened.forget(l.Segment)
		s.warn("remove", remove(s.dir.segment(l.Segment)))
		s.warn("remove", remove(s.dir.segment(l.Segment+chain.LinkSuffix)))
		s.options.crash("removed")
		numbers = append(numbers, numberOf(l.Segment))
	}
	if !catalog {
		return
	}
	s.mu.Lock()
	c := s.catalog
	for _, n := range numbers {
		delete(s.facts, n)
	}
	s.mu.Unlock()
	if c == nil {
		return
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	if err := c.Remove(ctx, numbers); err != nil {
		s.behind.Store(true)
		s.warn("catalog", err)
	}
}

// patience is how many segments are worth making one.
type patience int

const (
	patient patience = iota // in the background
	eager                   // where somebody asked for it
)

// compact makes large segments of neighbours that are small, until there are none.
func (s *Store) compact(ctx context.Context, how patience) error {
	for s.options.CompactEvents > 0 {
		s.mu.RLock()
		live := s.manifest.live
		s.mu.RUnlock()
		var run []chain.Link
		for _, part := range s.joinable(live) {
			if run = nextRun(part, s.options.CompactEvents, how); run != nil {
				break
			}
		}
		if run == nil {
			return nil
		}
		if err := s.replace(ctx, run); err != nil {
			return fmt.Errorf("compact segments: %w", err)
		}
	}
	return nil
}

const (
	// enoughSegments is how many small segments are compacted although they are not yet
	// as many events as a segment can have.
	enoughSegments = 8
	// mostCompacted bounds the bytes of a compacted segment.
	mostCompacted = 1 << 30
)

// nextRun is the first run of neighbours that are worth making one: none of them has more
// than half of the events, so that an event is written again a few times at most.
func nextRun(live []chain.Link, most int64, how patience) []chain.Link {
	for i := range live {
		var total, largest, bytes int64
		j := i
		for ; j < len(live) && total+live[j].Rows <= most && bytes+live[j].Bytes <= mostCompacted; j++ {
			if j > i && live[j].FirstSequence != live[j-1].Sequence+1 {
				break
			}
			total, largest, bytes = total+live[j].Rows, max(largest, live[j].Rows), bytes+live[j].Bytes
		}
		n := j - i
		if n >= 2 && largest <= total/2+1 && (how == eager || n >= enoughSegments || total >= most*3/4) {
			return slices.Clone(live[i:j])
		}
	}
	return nil
}

// replace makes one segment of neighbours. Until the manifest has it they hold the
// events, and from then on it does.
func (s *Store) replace(ctx context.Context, run []chain.Link) error {
	made, err := s.join(ctx, run)
	if errors.Is(err, segment.ErrApart) {
		made, err = s.write(ctx, s.fill(s.merged(&view{segments: viewsOf(run)}, audit.Scan{Bodies: true}).all(ctx), 0))
	}
	if err != nil {
		return err
	}
	return s.swap(ctx, run, made, compacted, nil)
}

// swap puts a segment in the place of neighbours.
func (s *Store) swap(ctx context.Context, run []chain.Link, made *newSegment, reason string, with func()) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	neighbours := make([]*chain.Link, len(run))
	removed := make([]string, len(run))
	var numbers []uint64
	for i := range run {
		neighbours[i], removed[i] = &run[i], run[i].Segment
		numbers = append(numbers, numberOf(run[i].Segment))
	}
	link, err := s.key.Replace(neighbours, made.name, made.info)
	if err == nil {
		err = s.writeLink(link)
	}
	if err == nil {
		s.options.crash("linked")
		c := change{Reason: reason, Added: []chain.Link{*link}, Removed: removed, Head: s.manifest.head}
		if link.Sequence == c.Head.Sequence {
			c.Head = s.key.Advance(c.Head, link, s.options.Clock.Now())
		}
		err = s.commitChange(c, with)
	}
	if err != nil {
		s.warn("remove", remove(s.dir.segment(made.name)))
		s.warn("remove", remove(s.dir.segment(made.name+chain.LinkSuffix)))
		return err
	}
	s.options.crash("committed")
	s.record(ctx, made, numbers)
	s.options.crash("recorded")
	s.discard(ctx, run, false)
	return nil
}
