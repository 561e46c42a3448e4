package store

import (
	"fmt"
	"hash/maphash"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// recover reads the parts of the write-ahead log that are not sealed. All but the last
// are handed to the sealer; the last goes on, where it is whole.
func (s *Store) recover() error {
	numbers, err := numbered(s.dir.wal(), partSuffix)
	if err != nil {
		return err
	}
	s.nextPart = s.manifest.part + 1
	for i, n := range numbers {
		s.nextPart = max(s.nextPart, n+1)
		p, content, err := loadPart(s.dir.part(n), n, s.seed)
		if err != nil {
			return fmt.Errorf("open audit store: %w", err)
		}
		last := i == len(numbers)-1
		if err := s.setAside(p, content, last); err != nil {
			return fmt.Errorf("open audit store: %w", err)
		}
		p.born = s.options.Clock.Now()
		s.parts = append(s.parts, p)
		if p.closed = true; !last || len(content.Damaged) > 0 || content.Size == 0 {
			continue
		}
		file, err := os.OpenFile(s.dir.part(n), os.O_RDWR, 0o600)
		if err != nil {
			return fmt.Errorf("open audit store: %w", err)
		}
		if p.file, err = wal.Continue(file, content.Size); err != nil {
			file.Close()
			return fmt.Errorf("open audit store: %w", err)
		}
		p.closed, s.open = false, p
	}
	return s.endGaps()
}

// endGaps ends the gaps that a process announced before it died: from here on they are
// over, and do not grow with the time that passes.
func (s *Store) endGaps() error {
	var ended []audit.Gap
	all := s.rawGaps()
	for _, g := range settle(all, s.options.Clock.Now()) {
		if !slices.ContainsFunc(all, func(have audit.Gap) bool { return !have.End.IsZero() && have.Start.Equal(g.Start) }) {
			ended = append(ended, g)
		}
	}
	list, err := keepGaps(s.dir.gaps(), s.gapList, ended)
	if err != nil {
		if isFull(err) {
			return nil // they stay announced
		}
		return fmt.Errorf("open audit store: %w", err)
	}
	s.gapList = list
	return nil
}

// loadPart reads a part into memory.
func loadPart(path string, n uint64, seed maphash.Seed) (*part, *wal.Content, error) {
	content, err := wal.ReadPath(path)
	if err != nil {
		return nil, nil, err
	}
	p := newPart(n, nil, 0)
	if err := p.add(content.Frames, seed, true); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, content, nil
}

// add adds frames that were read, as they lie in memory.
func (p *part) add(frames []wal.Frame, seed maphash.Seed, index bool) error {
	for _, f := range frames {
		switch f.Kind {
		case wal.Events:
			p.addEvents(f.Payload, seed, index)
		case wal.Gap:
			g, err := decodeGap(f.Payload)
			if err != nil {
				return fmt.Errorf("read gap: %w", err)
			}
			p.gaps = append(p.gaps, g)
		default:
			return fmt.Errorf("a frame of kind %d is of a newer version", f.Kind)
		}
	}
	return nil
}

// addEvents adds the records of a frame. A record that cannot be read is told as a gap:
// its sum was right, so it was written wrong.
func (p *part) addEvents(payload []byte, seed maphash.Seed, index bool) {
	c := &chunk{bytes: payload[:len(payload):len(payload)], oldest: math.MaxInt64, newest: math.MinInt64}
	unreadable := 0
	ok := wal.Records(payload, func(at, n int) {
		record := payload[at : at+n]
		g, ok := wal.Look(textOf(record))
		if ok {
			_, err := wal.Decode(textOf(record), false)
			ok = err == nil
		}
		if !ok {
			unreadable++
			return
		}
		if index {
			hash := maphash.Bytes(seed, record[:wal.Identity(textOf(record))])
			p.seen[hash] = place{uint32(len(p.chunks)), uint32(len(c.rows))}
		}
		c.rows = append(c.rows, row{at: g.Time, start: uint32(at), length: uint32(n)})
		c.oldest, c.newest = min(c.oldest, g.Time), max(c.newest, g.Time)
	})
	if !ok {
		unreadable++
	}
	if unreadable > 0 {
		g := audit.Gap{Count: int64(unreadable), Reason: audit.GapUnreadable}
		if len(c.rows) > 0 {
			g.Start, g.End = micro(c.oldest), micro(c.newest).Add(time.Microsecond)
		}
		p.gaps = append(p.gaps, g)
	}
	if len(c.rows) == 0 {
		return
	}
	p.chunks = append(p.chunks, c)
	p.events += len(c.rows)
	p.bytes += int64(len(payload))
}

func micro(t int64) time.Time { return time.UnixMicro(t).UTC() }

// setAside puts what could not be read of a part into the quarantine, and notes the gap.
// A tail that a killed writer left is no loss: it was not acknowledged. Behind a part that
// was closed there is none, for it was synced first.
func (s *Store) setAside(p *part, content *wal.Content, last bool) error {
	damaged := content.Damaged
	if content.Torn > 0 {
		s.counters.torn.Add(content.Torn)
		if !last {
			damaged = append(damaged, wal.Damage{Offset: content.Size, Before: len(content.Frames)})
		}
	}
	for _, d := range damaged {
		path := filepath.Join(s.dir.quarantine(), fmt.Sprintf("%016x-%d.frame", p.sequence, d.Offset))
		if err := os.WriteFile(path, d.Bytes, 0o600); err != nil && !isFull(err) {
			return fmt.Errorf("set damaged part aside: %w", err)
		}
		p.gaps = append(p.gaps, p.gapAround(content.Frames, d.Before, s.options.Clock.Now()))
		s.options.Log(fmt.Sprintf("audit store %s: a part of the write-ahead log is damaged: %d bytes set aside as %s", s.dir, len(d.Bytes), path))
	}
	return nil
}

// gapAround is the gap of what could not be read between frames.
func (p *part) gapAround(frames []wal.Frame, at int, now time.Time) audit.Gap {
	start, end := p.around(frames, at)
	if end.IsZero() {
		end = now
	}
	if start.IsZero() || start.After(end) {
		start = end.Add(-damageReach)
	}
	return audit.Gap{Start: start, End: end.Add(time.Microsecond), Count: -1, Reason: audit.GapUnreadable}
}

// damageReach is how long a gap is said to be of which only one end is known.
const damageReach = 5 * time.Minute

// around is when the events before and after a place between frames were.
func (p *part) around(frames []wal.Frame, at int) (before, after time.Time) {
	chunk := 0
	for i, f := range frames {
		if f.Kind != wal.Events || chunk >= len(p.chunks) {
			continue
		}
		c := p.chunks[chunk]
		chunk++
		if i < at {
			before = micro(c.newest)
		} else {
			return before, micro(c.oldest)
		}
	}
	return before, after
}
