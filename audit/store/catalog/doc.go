// Package catalog answers what need not be read: which segments can have what is asked
// for, how many events of a kind there were in an hour, and which distinct requests were
// made. It is a SQLite database beside the segments.
//
//	b := catalog.NewBuilder(256)
//	b.Add(event) // each event of a segment, in order; AddRow where it has numbers already
//	err := c.Put(ctx, segment, summary, summary.Entries(), nil) // of b.Finish()
//
//	facts.May(&filter)                  // false: nothing of the segment is meant
//	snapshot.Counts(…)                  // hourly roll-ups
//	catalog.Merge(sources, from, to, 256) // distinct requests
//
// Everything in it comes from segments, and is there by segment: a segment that is removed
// takes what is known of it along, and a catalog that is lost is made again (store.Repair).
// So it need not survive a power cut, and a damaged one is thrown away.
//
// Facts are the values of a few fields, or a Bloom filter where there are many. They may
// say that a segment can have what it has not, and never the reverse.
//
// Events are counted by numbers that stand for their texts (package lexicon), and texts are
// looked at once for each kind of event.
//
// Requests are packed, some thousand in a row of the database, because a row for each
// would take more room than the events themselves: sorted, so that those of many segments
// are merged without holding them, and by the hour, so that a time can be asked for. Of
// each subject, verb, resource, namespace and decision the first names in order are told
// apart, up to a bound, and the others counted together (audit.Request.NameOmitted).
// Since the first names of several segments are among the first of each, counts are exact
// however segments are cut.
package catalog
