package store

import (
	"os"
	"time"
)

// Stats are what a store is like: what `gatehouse audit` shows.
type Stats struct {
	Dir string
	// Events are all that can be found: in segments, and not sealed yet.
	Segments        int
	Events, Pending int64
	// Bytes are those of segments, WALBytes of the write-ahead log, CatalogBytes of the
	// catalog.
	Bytes, WALBytes, CatalogBytes int64
	// Oldest and Newest event; zero where there is none.
	Oldest, Newest time.Time
	// Lag is how long the oldest event that is not sealed has been waiting.
	Lag time.Duration
	// Since the store was opened: Appended without Deduplicated, and Dropped.
	Appended, Deduplicated, Dropped int64
	// Full says that the disk was full at the last attempt to write.
	Full bool
	// Quarantined are files that were set aside.
	Quarantined int
	// Broken is why nothing is written any more; empty while it is.
	Broken string
}

// Stats are those of now.
func (s *Store) Stats() Stats {
	stats := s.reading.stats()
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := s.options.Clock.Now()
	if len(s.parts) > 0 && s.parts[0].events > 0 {
		stats.Lag = max(now.Sub(s.parts[0].born), 0)
	}
	stats.Appended, stats.Deduplicated, stats.Dropped = s.counters.appended.Load(), s.counters.deduplicated.Load(), s.counters.dropped.Load()
	stats.Full = s.full.Load()
	if s.broken != nil {
		stats.Broken = s.broken.Error()
	}
	return stats
}

// Stats are those of now, as far as another process can see.
func (r *Reader) Stats() Stats { return r.reading.stats() }

func (r *reading) stats() Stats {
	stats := Stats{Dir: string(r.dir)}
	v, err := r.view()
	if err != nil {
		stats.Broken = err.Error()
		return stats
	}
	for _, s := range v.segments {
		stats.Segments++
		stats.Events += s.Rows
		stats.Bytes += s.Bytes
	}
	for i := range v.parts {
		for j := range v.parts[i].chunks {
			stats.Pending += int64(len(v.parts[i].chunks[j].rows))
		}
	}
	stats.Events += stats.Pending
	stats.Oldest, stats.Newest = v.span()
	stats.WALBytes = bytesIn(r.dir.wal())
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(r.dir.catalog() + suffix); err == nil {
			stats.CatalogBytes += info.Size()
		}
	}
	if entries, err := os.ReadDir(r.dir.quarantine()); err == nil {
		stats.Quarantined = len(entries)
	}
	return stats
}

func bytesIn(dir string) (sum int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}
