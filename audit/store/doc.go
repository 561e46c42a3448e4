// Package store answers: what happened, also before the last restart? It keeps audit
// events in a folder of this machine.
//
//	s, err := store.Open(dir, store.Options{SyncEvery: store.DefaultSyncEvery, MaxAge: 90 * 24 * time.Hour})
//	err = s.Append(ctx, events)                    // audit.Sink
//	for event, err := range s.Scan(ctx, scan) { }  // audit.Reader
//	err = s.Close()
//
//	r, err := store.OpenReader(dir)                // beside a process that writes
//	report, err := store.Repair(ctx, dir, options) // when something is damaged
//
// # From event to segment
//
// Append encodes events where it is called; one goroutine, the committer, takes what
// waits, writes it as one frame of the write-ahead log (package wal) and acknowledges it.
// What is in the log is in memory too, as records, and is found by a scan that begins
// after Append has returned. When a part of the log has enough events, bytes or age, it is
// closed, and another goroutine, the sealer, makes a segment of it (package segment),
// sorted and without duplicates. A third, the keeper, deletes what is too old or too much
// and makes large segments of neighbours that are small, by copying where that can be.
//
// An import, which can read its events again, has no use for the log: with
// Options.Unlogged they are in memory until they are sealed, and a Batch encodes each as
// it comes.
//
// # What is where
//
//	lock             held by the process that writes
//	wal/N.wal        parts of the write-ahead log, the last one open
//	segments/        N.parquet, their links, and the head of the chain (package chain)
//	manifest         which segments there are: a line is a change, and commits it
//	gaps             times in which events were lost
//	catalog.db       what can be asked without reading segments (package catalog)
//	quarantine/      what was damaged
//	reserve          space for telling that there is none
//
// # Invariants
//
//   - An event that Append acknowledged is found once, whenever the process is killed: by
//     a power cut, what was acknowledged in the last SyncEvery may go. Events that are the
//     same (audit.Same) are one. In the write-ahead log that is seen before they are
//     acknowledged; one that comes after its twin was sealed is found twice by nobody, as
//     readers merge them, and is dropped when its part is sealed. There is no window: a
//     duplicate is known as long as the event is kept. Unlogged, an event is safe when Seal
//     has returned; appended again after a kill, it is there once all the same.
//   - The order of a seal is: segment, its link, gaps, manifest, head of the chain,
//     catalog, and then the part is removed. Until the manifest has the segment its events
//     are those of the part, and what else was written is thrown away at the next Open.
//     Compaction is likewise, and retention says so before it deletes.
//   - Events that are lost are a gap: dropped, when they came too fast and Overflow is
//     Drop, or their callers gave up; disk full; unreadable, where the log or a segment was
//     damaged. The beginning of a gap is written at once, so that a process that dies
//     meanwhile leaves no silence.
//   - The memory is bounded by MaxPending, three parts of SegmentBytes, and what scans hold.
//   - After an error that leaves unknown what is on disk, such as a sync that failed,
//     nothing more is acknowledged.
//   - Retention never goes by a clock that has jumped ahead (soon).
//
// # What it does not do
//
// It does not redact (audit/redact), does not know forms of logs (audit/format), and
// verifies no signatures (audit/chain does, over the folder of segments).
package store
