package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/detect/alert/queue"
)

// outlet sends what waits for one sink.
type outlet struct {
	d      *Dispatcher
	sink   Sink
	traits Traits
	queue  *queue.Queue
	// limit, pause and resendAt are the worker's alone.
	limit limit
	// pause is that after the last Send, which failed; 0 where it did not.
	pause    time.Duration
	resendAt time.Time

	mu                    sync.Mutex
	sent, failed, refused int64
	// failing counts the Sends that failed since one did not.
	failing int64
}

func newOutlet(d *Dispatcher, s Sink, q *queue.Queue) *outlet {
	t := s.Traits()
	setDefault(&t.Batch, 1)
	return &outlet{d: d, sink: s, traits: t, queue: q, limit: newLimit(d.o.PerMinute)}
}

func (o *outlet) name() string { return o.traits.Type + " " + o.traits.Name }

// run sends until ctx ends.
func (o *outlet) run(ctx context.Context) {
	o.resendAt = o.d.o.Clock.Now() // the sink may have forgotten all while we were not there
	for ctx.Err() == nil {
		again := o.traits.Resend > 0 && !o.d.o.Clock.Now().Before(o.resendAt)
		switch {
		case o.queue.Len() > 0 && !again:
			o.sendNext(ctx)
		case again:
			o.resend(ctx)
		default:
			o.idle(ctx)
		}
	}
}

// idle waits until there is something to do.
func (o *outlet) idle(ctx context.Context) {
	var resend <-chan time.Time
	if o.traits.Resend > 0 {
		timer := o.d.o.Clock.NewTimer(o.resendAt.Sub(o.d.o.Clock.Now()))
		defer timer.Stop()
		resend = timer.C()
	}
	select {
	case <-o.queue.More():
	case <-resend:
	case <-ctx.Done():
	}
}

func (o *outlet) sleep(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	timer := o.d.o.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// sendNext sends what has waited for longest.
func (o *outlet) sendNext(ctx context.Context) {
	o.sleep(ctx, o.limit.take(o.d.o.Clock.Now()))
	if ctx.Err() != nil {
		return
	}
	items, err := o.queue.Next(o.traits.Batch)
	if err != nil {
		o.d.o.Log(fmt.Sprintf("an alert for %s is lost: %v", o.name(), err))
	}
	var alerts []Alert
	items = slices.DeleteFunc(items, func(it queue.Item) bool {
		var a Alert
		if err := json.Unmarshal(it.Body, &a); err != nil {
			o.d.o.Log(fmt.Sprintf("an alert for %s cannot be read and is lost: %v", o.name(), err))
			o.done([]queue.Item{it})
			return true
		}
		alerts = append(alerts, a)
		return false
	})
	if len(items) == 0 {
		return
	}
	err = o.send(ctx, alerts)
	if err != nil && !refused(err) {
		o.queue.Back(items...)
		o.backOff(ctx, err)
		return
	}
	for i := range items {
		if err == nil || o.alone(ctx, alerts[i], err, len(items) == 1) {
			continue
		}
		o.done(items[:i]) // the sink is down since; what is left is sent when it is not
		o.queue.Back(items[i:]...)
		return
	}
	o.done(items)
}

// alone sends one Alert of those that were refused together, and reports whether it is
// done with. Where it was alone already, it is.
func (o *outlet) alone(ctx context.Context, a Alert, err error, already bool) bool {
	if !already {
		err = o.send(ctx, []Alert{a})
	}
	switch {
	case err == nil:
		return true
	case !refused(err):
		o.backOff(ctx, err)
		return false
	}
	o.mu.Lock()
	o.refused++
	o.mu.Unlock()
	o.d.o.Log(fmt.Sprintf("%s does not take an alert of rule %s, which is dropped: %v", o.name(), a.Finding.Rule, err))
	return true
}

func (o *outlet) done(items []queue.Item) {
	if err := o.queue.Done(items...); err != nil {
		o.d.o.Log(fmt.Sprintf("what was sent to %s may be sent again: %v", o.name(), err))
	}
}

// send sends, counts, and tells when a sink is down or there again. What it refuses is
// counted by alone.
func (o *outlet) send(ctx context.Context, alerts []Alert) error {
	ctx, cancel := context.WithTimeout(ctx, o.d.o.SendTimeout)
	defer cancel()
	err := o.sink.Send(ctx, alerts)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil || refused(err):
		if err == nil {
			o.sent++
		}
		if o.failing > 0 {
			o.d.o.Log(fmt.Sprintf("%s takes alerts again, after %d attempts", o.name(), o.failing))
			o.resendAt = o.d.o.Clock.Now() // it may have forgotten what it had
		}
		o.failing, o.pause = 0, 0
	default:
		o.failed++
		if o.failing++; o.failing == 1 {
			o.d.o.Log(fmt.Sprintf("%s does not take alerts, which wait: %v", o.name(), err))
		}
	}
	return err
}

// longestAfter bounds what a sink says of when to come again.
const longestAfter = 10 * time.Minute

// backOff waits after a Send that failed.
func (o *outlet) backOff(ctx context.Context, err error) {
	if o.pause = min(2*o.pause, o.d.o.LongestBackoff); o.pause == 0 {
		o.pause = o.d.o.Backoff
	}
	pause := o.pause
	if later, ok := errors.AsType[*LaterError](err); ok {
		pause = max(pause, min(later.After, longestAfter))
	}
	o.sleep(ctx, pause+o.d.o.Jitter(pause))
}

// resend sends all that is open once more.
func (o *outlet) resend(ctx context.Context) {
	o.resendAt = o.d.o.Clock.Now().Add(o.traits.Resend)
	for alerts := range o.d.told(o.traits) {
		if err := o.send(ctx, alerts); err != nil && !refused(err) {
			o.backOff(ctx, err)
			if o.queue.Len() == 0 { // else what waits finds out when the sink is there again
				o.resendAt = o.d.o.Clock.Now()
			}
			return
		}
	}
}

// told yields what was told and is open, as many at a time as the sink takes.
func (d *Dispatcher) told(t Traits) func(yield func([]Alert) bool) {
	d.mu.Lock()
	var ids []uint64
	for _, e := range d.entries {
		if e.told && rank(e.severity) >= rank(t.Least) {
			ids = append(ids, e.id)
		}
	}
	d.mu.Unlock()
	return func(yield func([]Alert) bool) {
		var batch []Alert
		for i, id := range ids {
			if a := d.last(id); a != nil && a.Status == Firing {
				batch = append(batch, *a)
			}
			if len(batch) == t.Batch || i == len(ids)-1 && len(batch) > 0 {
				if !yield(batch) {
					return
				}
				batch = nil
			}
		}
	}
}
