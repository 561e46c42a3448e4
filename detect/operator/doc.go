// Package operator remembers what a detection rule has seen, and says when that is
// enough: so many requests, so many different values, so much weight, a value that is new,
// steps in an order, a request that does not come.
//
//	m := operator.NewMemory(operator.Count{AtLeast: 10, Window: 5 * time.Minute}, operator.Limits{})
//	fire, yes := m.Observe("jane\x00shop", operator.Observation{At: event.Time, ID: event.ID})
//	fires := m.Advance(now) // what did not come
//
// The only clock is that of the events. What was recorded can be judged again and comes out
// the same.
//
// Invariants:
//   - Where events come in the order of their times, the answer is the one that looking at
//     all of them again would give; the tests do that.
//   - Events may come late, by Limits.Late: several API servers have several queues. An
//     event that is late never hides what would have been found in order. It may make a
//     window longer, by Limits.Late at most.
//   - One event with a time far away, by a clock that is wrong, does not blind a key for
//     those with good times.
//   - Memory is bounded: so many keys, each of so many times, values and steps. Of keys,
//     those go that were not seen for longest, and Evicted counts them.
//   - A Memory that is written and read again answers as it would have.
//
// A Memory is for one goroutine at a time. It knows nothing of rules and events.
package operator
