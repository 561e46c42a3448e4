package alert

import (
	"context"
	"time"

	"github.com/gatehouse-io/gatehouse/detect"
)

// Tell takes changes of Findings, in their order. It never waits for a sink or an
// Enricher.
func (d *Dispatcher) Tell(changes ...detect.Change) {
	if len(changes) == 0 || len(d.outlets) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Clock.Now()
	for i := range changes {
		d.take(changes[i].What == detect.Over, &changes[i].Finding, now)
	}
}

// take takes a Finding as it is now.
func (d *Dispatcher) take(over bool, f *detect.Finding, now time.Time) {
	e := d.entries[f.Fingerprint]
	switch {
	case e == nil && (over || f.Muted != ""):
		if over {
			d.ended[f.Fingerprint] = now
		}
		return
	case e == nil:
		d.begin(f, now)
		return
	case over:
		d.end(e, f, CauseOver, now)
		return
	case f.Muted != "":
		d.end(e, f, CauseMuted, now)
		return
	case f.First.After(e.finding.Last): // it was over in between
		d.end(e, &e.finding, CauseOver, now)
		d.begin(f, now)
		return
	}
	e.finding, e.touched, e.dirty = *f, now, true
	if !e.told {
		return // it is due as it was
	}
	due := e.due
	switch {
	case rank(f.Severity) > rank(e.severity):
		due = now
	case e.cause() == CauseAgain:
		due = e.toldAt.Add(d.o.GroupInterval)
	}
	if due.Before(e.due) {
		e.due = due
	}
	d.sooner(e.due)
}

func (d *Dispatcher) begin(f *detect.Finding, now time.Time) {
	e := &entry{id: d.nextID, finding: *f, due: now.Add(d.o.GroupWait), touched: now, dirty: true}
	d.nextID++
	d.entries[f.Fingerprint] = e
	d.sooner(e.due)
}

// end ends what was open. Where nobody was told of it, and nobody wants to be, nobody is.
func (d *Dispatcher) end(e *entry, f *detect.Finding, why Cause, now time.Time) {
	delete(d.entries, e.finding.Fingerprint)
	d.ended[f.Fingerprint] = now
	e.finding, e.end, e.touched, e.dirty, e.due = *f, why, now, true, now
	d.ending = append(d.ending, e)
	d.sooner(now)
}

// sooner sees to it that what is due is told then.
func (d *Dispatcher) sooner(due time.Time) {
	if !d.next.IsZero() && !due.Before(d.next) {
		return
	}
	d.next = due
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

// Reconcile is told of every Finding that is open at a moment of the clock, once the State
// has seen what it missed: what was told and is not among them is over, what is among them
// and was never told is new. It is for what changes do not say: what a State forgot, or did
// not do because it was killed.
func (d *Dispatcher) Reconcile(open []detect.Finding, at time.Time) {
	if len(d.outlets) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Clock.Now()
	there := make(map[string]bool, len(open))
	for i := range open {
		f := &open[i]
		there[f.Fingerprint] = true
		e := d.entries[f.Fingerprint]
		switch {
		case e == nil && d.ended[f.Fingerprint].After(at), e != nil && e.touched.After(at):
			continue // the list is older than what was told since
		case e != nil && e.finding.Count == f.Count && e.finding.Last.Equal(f.Last) && e.finding.Severity == f.Severity && f.Muted == "":
			continue
		}
		d.take(false, f, now)
	}
	for fingerprint, e := range d.entries {
		if !there[fingerprint] && !e.touched.After(at) {
			d.end(e, &e.finding, CauseOver, now)
		}
	}
	for fingerprint, when := range d.ended {
		if !when.After(at) {
			delete(d.ended, fingerprint)
		}
	}
}

// Flush returns when all that was told before is on the disk: in the queues, or to be put
// there when it is due. A State is saved after it, so that what the State holds to be told
// is.
func (d *Dispatcher) Flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.save()
}
