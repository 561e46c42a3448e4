package store

import (
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/utils/clock"

	"github.com/gatehouse-io/gatehouse/audit/chain"
	"github.com/gatehouse-io/gatehouse/audit/store/wal"
)

// Overflow is what Append does with events that cannot be written as fast as they come.
type Overflow int

// Overflows.
const (
	// Block lets Append wait until there is room, or its context ends.
	Block Overflow = iota
	// Drop lets Append return ErrDropped at once.
	Drop
)

// DefaultSyncEvery is what a server that answers requests sets Options.SyncEvery to.
const DefaultSyncEvery = 100 * time.Millisecond

// MaxEvent is the largest event that is taken, in bytes of its record.
const MaxEvent = 32 << 20

// Errors of Append. None of the events is kept then.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the audit store is closed")
	// ErrDropped: there was no room, and Overflow is Drop. The loss is a gap of the store.
	ErrDropped = errors.New("audit events dropped: they come faster than they can be written")
	// ErrFull: likewise, and the cause is a disk without space.
	ErrFull = errors.New("audit events dropped: the disk is full")
	// ErrTooLarge: an event is larger than MaxEvent.
	ErrTooLarge = errors.New("audit event is too large")
)

// Options of a Store. The zero value is safe: every group of events is forced to disk
// before it is acknowledged, and nothing is ever deleted.
type Options struct {
	// SyncEvery is how often what was written is forced to disk, in the background. 0
	// forces each group of events before it is acknowledged. A process that is killed
	// loses nothing either way; a power cut loses at most this.
	SyncEvery time.Duration
	// Overflow is what becomes of events there is no room for. Default: Block.
	Overflow Overflow
	// MaxPending is how many bytes of events may wait to be written. Default: 16 MiB.
	MaxPending int64

	// SegmentEvents, SegmentBytes (of records, before compression) and SegmentAge are
	// when what is in the write-ahead log becomes a segment, whichever is first. They
	// bound the memory of a Store. Default: 131072 events, 32 MiB, 5 minutes.
	SegmentEvents int
	SegmentBytes  int64
	SegmentAge    time.Duration
	// CompactEvents is how many events a segment has at most that is made of smaller
	// ones. Default: 1,000,000. Below 0, segments stay as they are.
	CompactEvents int64
	// OpenSegments is how many segments are kept open for the next scan. Default: 64.
	OpenSegments int

	// MaxAge is how long events are kept, by their time; 0 is without end.
	MaxAge time.Duration
	// MaxBytes is how much all segments may take; the oldest are deleted first. 0 is
	// without bound.
	MaxBytes int64
	// MaxNames is how many names are told apart for each subject, verb, resource and
	// namespace in Requests. Default: 256.
	MaxNames int

	// Unlogged says that events are in memory alone until they are sealed: a process that
	// dies loses those that are not, and Seal says when none is left. It is for somebody
	// who still has all of them and appends them again then, as an import does that reads
	// files: what has been sealed is kept once. Gaps are logged all the same.
	Unlogged bool

	// Publish says that a bucket.Publisher follows the store: what it has not copied yet
	// is neither deleted nor put into one segment with what it has, and nothing is until
	// it has said how far it is.
	Publish bool

	// Key signs the chain of segments. Default: one of the store's own, in its folder,
	// which proves less: who can change the segments can sign them again.
	Key *chain.Key
	// Metrics count what the store does. Default: none.
	Metrics Metrics
	// Clock is what tells the time. Default: the real one.
	Clock clock.WithTicker
	// Log is told what a person should know: a damaged catalog, a disk that is full.
	// Default: nobody.
	Log func(message string)

	// joinEvents is how many events a row group has on average where segments are joined as
	// they are. Smaller ones share too few dictionaries, and cost a scan too many.
	joinEvents int64
	// create makes the files of the write-ahead log and the segments; tests have disks
	// that are full.
	create func(path string) (wal.File, error)
	// crash is called with the name of each step between which a process can die.
	crash func(step string)
}

func (o *Options) setDefaults() {
	setDefault(&o.MaxPending, 16<<20)
	setDefault(&o.SegmentEvents, 1<<17)
	setDefault(&o.SegmentBytes, 20<<20)
	setDefault(&o.SegmentAge, 5*time.Minute)
	setDefault(&o.CompactEvents, 1_000_000)
	setDefault(&o.joinEvents, 1<<14)
	setDefault(&o.OpenSegments, 64)
	setDefault(&o.MaxNames, 256)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.create == nil {
		o.create = wal.Create
	}
	if o.crash == nil {
		o.crash = func(string) {}
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	for _, field := range []struct {
		name  string
		value int64
	}{
		{"SyncEvery", int64(o.SyncEvery)}, {"MaxPending", o.MaxPending}, {"SegmentEvents", int64(o.SegmentEvents)},
		{"SegmentBytes", o.SegmentBytes}, {"SegmentAge", int64(o.SegmentAge)}, {"OpenSegments", int64(o.OpenSegments)},
		{"MaxAge", int64(o.MaxAge)}, {"MaxBytes", o.MaxBytes}, {"MaxNames", int64(o.MaxNames)},
	} {
		if field.value < 0 {
			return fmt.Errorf("open audit store: %s is %d, and must not be negative", field.name, field.value)
		}
	}
	return nil
}

// syncDir makes what happened to the names in a folder last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
