// Package wal answers: how is an event on disk before it is in a segment? It has the
// compact form of one event, and files of checksummed frames.
//
//	record, _ := wal.Encode(nil, event)
//	w, err := wal.Create(path)
//	err = w.Write(wal.Events, payload)           // payload: records, each behind its length
//	content, err := wal.ReadPath(path)           // frames, and what was damaged
//
// A file is a header and frames. A frame is
//
//	magic[4] length[4] crc32c[4] kind[1] payload[length-1]
//
// where the sum covers kind and payload. The payload is as it was given, or a block of S2
// or a frame of zstd as earlier versions wrote it, which the kind tells. Numbers are
// little-endian. A frame is written with one write; when that fails the file is cut
// back, so that a frame is there whole or not at all.
//
// Invariants:
//   - What a killed writer left behind the last whole frame is Torn, and no frame that
//     was written is part of it.
//   - A damaged frame costs itself alone: the next one is found by its magic and its
//     sum. Read tells where the damage lies, and never skips it silently.
//   - Decode never panics, and allocates in proportion to its input, whatever that is.
//   - Two events are the same (audit.Same) if and only if their records have the same
//     Identity.
//
// It does not decide when files begin and end, or when they are synced: package store
// does.
package wal
