// Package segment is one file of audit events: Parquet, sorted by audit.Compare.
//
//	info, err := segment.Write(file, events)
//
//	s, err := segment.Open(file, size)
//	for event, err := range s.Scan(ctx, audit.Scan{Filter: audit.Filter{Users: []string{"jane"}}}) { ... }
//
// The file is an ordinary Parquet file that ClickHouse, Trino, Athena, BigQuery, Spark
// and DuckDB read where it lies. Columns are typed, dictionary-encoded where values come
// again, and compressed with zstd; pages are of version 1, which every engine reads.
// Columns are named as audit.k8s.io/v1 names them, in snake case; docs/audit-object-storage.md
// lists them. Three things are not as in an Event:
//
//   - decision and decision_reason are columns of their own, and not in annotations.
//     They are NULL where the event has no such annotation.
//   - audit_id is text, for it is compared with what logs and kubectl print, a client may
//     choose any, and Spark refuses files with a column of type UUID. Sixteen bytes would
//     save 4.4 bytes an event.
//   - A text that is not UTF-8 has U+FFFD in place of what is not: one such event would
//     make a file unreadable to engines that are strict about it.
//
// A Writer gives numbers to the texts of an event (package lexicon): a column has them beside
// a dictionary. URIs, resource versions and messages have one in row groups where it pays,
// which shows at the end of the row group; auditIDs, bodies and values of annotations have
// none.
//
// Files are joined (Join) by copying their row groups; those of different files may then
// overlap in time, and a Scan merges them. A Tally counts by columns, and makes no events.
//
// A Scan reads the columns of the filter first, and of those only the pages of the time
// that is asked for. A pattern is held against each entry of a dictionary once, not
// against each row. Bloom filters on audit_id, user_name and name pass over a row group
// that cannot have a value. Events are made of the rows that match, and bodies are read
// where they are asked for.
//
// Invariants:
//   - A Scan yields what audit.Memory yields of the same events, of a joined file too.
//   - A file that is damaged or hostile gives an error that names the column and what is
//     wrong with it, never a panic, and never an allocation that the file's size does not
//     account for, times a bound.
//   - A Writer holds what is packed of one row group, and its texts, of which the long ones
//     are bounded.
//   - What a Segment keeps is its footer and the indexes of columns that were asked for;
//     what a Scan holds is some pages a column and the dictionaries of one row group.
//
// It does not know where files lie, nor which there are (audit/store, audit/bucket), nor
// whether one has been tampered with (audit/chain).
package segment
