package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// largestRequest is where the memory of a request is not kept for the next. An import
// appends some megabytes at once.
const largestRequest = 4 << 20

var requests = sync.Pool{New: func() any { return &request{done: make(chan error, 1)} }}

// Append implements audit.Sink. It returns when the events are in the write-ahead log:
// a process that is killed then loses none, and a scan that begins then sees them. What
// is the same as an event that is there (audit.Same) is acknowledged and kept once.
//
// Where there is no room, Overflow says whether Append waits. Events that are dropped,
// and those whose context ends before they are written, are counted in a gap of the
// store: a caller who tries again makes that gap tell of more than was lost.
func (s *Store) Append(ctx context.Context, events []*audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := s.failure(); err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	r := requests.Get().(*request)
	if err := r.encode(s.seed, events); err != nil {
		r.free()
		return err
	}
	err := s.put(ctx, r)
	r.free()
	return err
}

// put hands records on to be written, and waits until they are. Nobody else holds the
// request then.
func (s *Store) put(ctx context.Context, r *request) error {
	err := s.queue.put(r, s.options.Overflow == Block)
	if err == nil {
		var gaveUp bool
		if err, gaveUp = s.queue.wait(ctx, r); gaveUp {
			s.lose(len(r.rows))
		}
	} else if errors.Is(err, ErrDropped) {
		err = s.lose(len(r.rows))
	}
	if err != nil {
		return fmt.Errorf("append audit events: %w", err)
	}
	return nil
}

// encode makes the records.
func (r *request) encode(seed maphash.Seed, events []*audit.Event) error {
	r.empty()
	for _, e := range events {
		if err := r.add(seed, e, wal.Encode); err != nil {
			return fmt.Errorf("append audit events: %w", err)
		}
		if len(r.bytes) > wal.MaxFrame {
			return fmt.Errorf("append audit events: %d events have more than %d bytes together: %w", len(events), wal.MaxFrame, ErrTooLarge)
		}
	}
	return nil
}

func (r *request) empty() { r.bytes, r.rows, r.state = r.bytes[:0], r.rows[:0], waiting }

// add makes the record of one event more; after an error there is none.
func (r *request) add(seed maphash.Seed, e *audit.Event, encode func(to []byte, e *audit.Event) ([]byte, int)) error {
	start := len(r.bytes)
	bytes, identity := encode(append(r.bytes, 0, 0, 0, 0), e)
	record := bytes[start+wal.RecordHeader:]
	if len(record) > MaxEvent {
		return fmt.Errorf("event %.64q has %d bytes, at most %d are possible: %w", e.ID, len(record), MaxEvent, ErrTooLarge)
	}
	r.bytes = bytes
	binary.LittleEndian.PutUint32(bytes[start:], uint32(len(record)))
	r.rows = append(r.rows, entry{
		at: e.Time.UnixMicro(), hash: maphash.Bytes(seed, record[:identity]),
		start: uint32(start + wal.RecordHeader), length: uint32(len(record)), identity: uint32(identity),
	})
	return nil
}

// free is called when nobody else holds the request.
func (r *request) free() {
	if cap(r.bytes) > largestRequest {
		r.bytes = nil
	}
	requests.Put(r)
}

// lose counts events there was no room for, and says why.
func (s *Store) lose(events int) error {
	reason, err := audit.GapDropped, ErrDropped
	if s.full.Load() {
		reason, err = audit.GapFull, ErrFull
	}
	s.Lost(reason, events)
	return err
}

// AddGap writes a gap that somebody else knows of, such as an import of what could not be
// read between two events of a log. It is told from now on.
func (s *Store) AddGap(g audit.Gap) {
	if !g.End.After(g.Start) {
		g.End = g.Start.Add(time.Microsecond) // a gap has a length, or it would overlap no time
	}
	s.losses.tell(g)
	s.queue.ping()
}

// Lost writes a gap of now: events that never came to Append, such as what could not be
// read of a list of them (audit.GapUnreadable).
func (s *Store) Lost(reason string, events int) {
	s.losses.add(reason, s.options.Clock.Now(), int64(events))
	s.counters.dropped.Add(int64(events))
	if s.options.Metrics.Dropped != nil {
		s.options.Metrics.Dropped(reason, events)
	}
	s.queue.ping() // the gap is written even when nothing else is
}
