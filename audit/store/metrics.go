package store

import (
	"sync/atomic"
	"time"
)

// Metrics are told what a store does. Any may be nil. They are called from several
// goroutines, and return at once; none has a name of a user or an object.
type Metrics struct {
	// Appended, Deduplicated and Dropped count events; Dropped has the reason of a gap.
	Appended, Deduplicated func(events int)
	Dropped                func(reason string, events int)
	// Written counts bytes of the write-ahead log.
	Written func(bytes int)
	// Synced is how long a sync of it took, and Sealed a seal of so many events.
	Synced func(took time.Duration)
	Sealed func(took time.Duration, events int)
	// Failed counts what could not be done and is tried again: seal, sync, catalog, …
	Failed func(what string)
}

func count(f func(int), n int) {
	if f != nil && n > 0 {
		f(n)
	}
}

// counters are totals since the store was opened, for Stats.
type counters struct {
	appended, deduplicated, dropped, sealed, torn atomic.Int64
}
