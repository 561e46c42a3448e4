// Package watch notices things while they happen: it puts the rules of package detect to
// the events of a mount, as they are kept.
//
//	w, err := watch.New(watch.Options{Reader: trail.Reader(), Dir: dir, Objects: client, Policy: policy})
//	trail.Tap(w.Take)                              // never waits
//	d, err := alert.Open(alert.Options{Dir: dir, Sinks: sinks, Enrich: w.Enrich})
//	go d.Run(ctx)
//	w.Run(ctx, d)                                  // reads, judges, tells
//
// The rules are Gatehouse's own, those of files, and DetectionRule objects; findings are
// muted by Mute objects. What became of an object stands in its status. Changes of objects
// and files are in force within a second or two.
//
// What has been seen is saved every minute (file state in Options.Dir). After a stop, or a
// kill, the events since then are read from the store, so that nothing is found later, or
// twice, because of it. The first time, an hour is looked back.
//
// Invariants:
//   - Take never waits. Where more events come than can be judged, those that find no
//     room are read from the store afterwards; without a store they are counted.
//   - An event is judged once, though it comes twice, or from the store as well. What is
//     remembered for that is bounded: 32768 events, and no longer than ten minutes.
//   - A state is on the disk only after what it has found is in the queues of the alerts.
//   - A rule that is refused, of an object or a file, leaves its last good version in force.
//   - Of what was waited for while nothing was recorded, nothing is missed.
//
// Each process judges the events that it was given. Of several replicas of `gatehouse
// serve`, each counts for itself: a rule that fires at ten requests fires where one of
// them has seen ten.
package watch
