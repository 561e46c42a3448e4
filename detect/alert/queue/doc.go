// Package queue keeps what waits for a sink on the disk, so that nothing is lost when the
// sink, or this process, or its machine is down.
//
//	q, err := queue.Open(path, queue.Options{Most: 10000})
//	err = q.Add(queue.Item{Level: 3, Body: body})       // on the disk when it returns
//	items, err := q.Next(20)                            // the gravest; they stay
//	... // sent
//	err = q.Done(items...)                              // now they go
//
// A Queue stands on a Journal, which is one file of lines: records that were put, and the
// numbers of those that were removed. It is written anew, without what was removed, when
// that is most of it.
//
// Invariants:
//   - What Add, Put or Done has returned for without an error survives whatever is killed:
//     it was forced to the disk. Between Next and Done a crash leaves the items there, so
//     that they are sent again.
//   - A line that is torn, as by a crash, or damaged is left out, and nothing but it. It is
//     counted where it was not the last.
//   - What could not be written stays in memory, and is written with what comes next, or
//     when Sync is called: a full disk loses nothing while the process lives.
//   - Of a full Queue goes the lowest Level, and of it the oldest. That is counted.
//
// Bodies are on the disk alone; memory holds a few dozen bytes for each Item.
//
// It does not know what an alert is, and sends nothing.
package queue
