// Package alert tells people and programs of Findings.
//
//	d, err := alert.Open(alert.Options{Dir: dir, Sinks: sinks, Enrich: enrich})
//	go d.Run(ctx)                                     // enriches, queues, sends
//	d.Tell(state.Observe(ctx, event)...)              // never waits for a sink
//	d.Reconcile(state.Findings(), time.Now())         // now and then, and after a restart
//	err = d.Flush(ctx)                                // before the State is saved
//
// A Finding is told when it is new, again where there is more of it (at most once each
// GroupInterval) or it merely lasts (RepeatInterval), and when it is over. A muted one is not told;
// one that was told and is muted then is told as resolved, with the name of its Mute.
// What is told is an Alert: the Finding with what was found out about it at that moment
// (Context), by an Enricher that is asked once for all sinks.
//
// Each Sink has a queue of its own on the disk (package detect/alert/queue) and a worker
// that sends what waits, as many Alerts at a time as the sink takes and as often as the
// rate limit allows; what waits for the limit goes together. A send that fails is tried
// again, with growing pauses, until it succeeds. A sink that shows what is true now and
// forgets it (Alertmanager) is told of everything that is open, again and again: it is a
// Resender.
//
// Sinks are made of the settings by package detect/alert/sink.
//
// Invariants:
//   - What Flush has returned for is in the queues, on the disk: it is sent at least once,
//     whatever is killed. Receivers tell a repetition by Alert.ID, which is that of the
//     telling, not of the attempt.
//   - An Alert is lost only where a queue is full, or a sink refuses it for good. Of a full
//     queue the least severe goes, and of those the oldest; both are counted.
//   - What a Finding says first and what it says last reach a sink in that order.
//   - Texts of Findings were written by clients. A Sink escapes them for what it writes.
//   - No error and no log line has an address' secret parts, a token or a key.
//
// It does not decide what is a Finding (package detect), nor look anything up itself.
package alert
