package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert/queue"
)

const (
	// mostInRound is how many entries are told at a time, so that a flood of them does
	// not keep the worst waiting.
	mostInRound = 256
	// enrichers is how many of them are found out about at the same time.
	enrichers = 4
	// settling is how soon something is told again whose response was not known.
	settling = 2 * time.Second
)

// tellAll tells what is due until ctx ends.
func (d *Dispatcher) tellAll(ctx context.Context) {
	for ctx.Err() == nil {
		d.mu.Lock()
		now := d.o.Clock.Now()
		pause, due := time.Hour, len(d.ending) > 0
		if !d.next.IsZero() {
			pause = d.next.Sub(now)
		}
		d.mu.Unlock()
		if due || pause <= 0 {
			d.round(ctx)
			continue
		}
		timer := d.o.Clock.NewTimer(pause)
		select {
		case <-timer.C():
		case <-d.poke:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// telling is an entry that is told, as it was when that began.
type telling struct {
	entry   *entry
	finding detect.Finding
	ended   bool
	context Context
	// alerts are one, or two where nobody had been told before it was over.
	alerts []Alert
}

// round tells what is due: it finds out about it, puts it into the queues, and notes that
// it is told. It holds disk, so that Flush does not return in between.
func (d *Dispatcher) round(ctx context.Context) {
	d.disk.Lock()
	defer d.disk.Unlock()
	now := d.o.Clock.Now()
	all := d.due(now)
	d.enrich(ctx, all)
	if ctx.Err() != nil && d.o.Enrich != nil {
		d.mu.Lock()
		d.next = now // whoever runs next tells it
		d.mu.Unlock()
		return
	}
	for _, t := range all {
		d.compose(t, now)
	}
	d.enqueue(all)
	d.note(all)
}

// due takes what is due, the gravest first, and finds out when the next is.
func (d *Dispatcher) due(now time.Time) (all []*telling) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.ending {
		all = append(all, &telling{entry: e, finding: e.finding, ended: true})
	}
	d.next = time.Time{}
	for _, e := range d.entries {
		switch {
		case e.due.IsZero():
		case !e.due.After(now):
			all = append(all, &telling{entry: e, finding: e.finding})
		case d.next.IsZero() || e.due.Before(d.next):
			d.next = e.due
		}
	}
	slices.SortFunc(all, func(a, b *telling) int {
		return cmp.Or(rank(b.finding.Severity)-rank(a.finding.Severity), a.finding.First.Compare(b.finding.First), cmp.Compare(a.entry.id, b.entry.id))
	})
	if len(all) > mostInRound {
		all, d.next = all[:mostInRound], now
	}
	return all
}

// enrich finds out about all of them, in the time there is.
func (d *Dispatcher) enrich(ctx context.Context, all []*telling) {
	if d.o.Enrich == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, d.o.EnrichTimeout)
	defer cancel()
	work := make(chan *telling)
	var done sync.WaitGroup
	for range min(enrichers, len(all)) {
		done.Go(func() {
			for t := range work {
				if ctx.Err() != nil {
					t.context.Problems = []string{"There was no time to find out more: too much was found at once."}
					continue
				}
				t.context = d.o.Enrich(ctx, &t.finding).bounded()
			}
		})
	}
	for _, t := range all {
		if d.wanted(t) {
			work <- t
		}
	}
	close(work)
	done.Wait()
}

// wanted reports whether any sink takes it.
func (d *Dispatcher) wanted(t *telling) bool {
	return (!t.ended || t.entry.end != CauseMuted) && slices.ContainsFunc(d.outlets, func(o *outlet) bool { return o.wants(t) })
}

// wants reports whether the sink takes something as grave as it is, or was when it was told.
func (o *outlet) wants(t *telling) bool {
	return max(rank(t.finding.Severity), rank(t.entry.severity)) >= rank(o.traits.Least)
}

// bounded cuts off what is too much.
func (c Context) bounded() Context {
	if n := len(c.Related) - MaxRelated; n > 0 {
		c.Related, c.RelatedMore = c.Related[:MaxRelated], c.RelatedMore+n
	}
	if r := c.Reach; r != nil && len(r.Can) > MaxReach {
		cut := *r
		cut.Can, cut.More = r.Can[:MaxReach], r.More+len(r.Can)-MaxReach
		c.Reach = &cut
	}
	return c
}

// compose makes the Alerts of a telling.
func (d *Dispatcher) compose(t *telling, now time.Time) {
	e := t.entry
	add := func(status Status, cause Cause) {
		t.alerts = append(t.alerts, Alert{
			ID: idOf(&t.finding, cause, e.toldAt), Status: status, Cause: cause, Cluster: d.o.Cluster, At: now,
			RunbookURL: d.o.runbook(t.finding.Runbook), Finding: t.finding, Context: t.context,
		})
	}
	switch {
	case !t.ended:
		probe := entry{finding: t.finding, told: e.told, count: e.count, severity: e.severity}
		add(Firing, probe.cause())
	case e.told:
		add(Resolved, e.end)
	case e.end == CauseOver: // it was over before anybody was told
		add(Firing, CauseNew)
		add(Resolved, CauseOver)
	}
}

// enqueue puts Alerts into the queues.
func (d *Dispatcher) enqueue(all []*telling) {
	bodies := map[*Alert][]byte{}
	for _, t := range all {
		for i := range t.alerts {
			body, err := json.Marshal(&t.alerts[i])
			if err != nil { // there is nothing in it that could be the cause
				d.o.Log(fmt.Sprintf("an alert of rule %s cannot be written: %v", t.finding.Rule, err))
				continue
			}
			bodies[&t.alerts[i]] = body
		}
	}
	for _, out := range d.outlets {
		var items []queue.Item
		for _, t := range all {
			if !out.wants(t) {
				continue
			}
			for i := range t.alerts {
				a := &t.alerts[i]
				if body := bodies[a]; body != nil {
					items = append(items, queue.Item{Level: rank(a.Finding.Severity), Key: a.Finding.Fingerprint, Last: a.Status == Resolved, Body: body})
				}
			}
		}
		if len(items) == 0 {
			continue
		}
		if err := out.queue.Add(items...); err != nil {
			d.o.Log(fmt.Sprintf("alerts for %s wait in memory alone: %v", out.name(), err))
		}
	}
}

// note notes what was told.
func (d *Dispatcher) note(all []*telling) {
	d.mu.Lock()
	var records []queue.Record
	var gone []uint64
	var errs []error
	for _, t := range all {
		e := t.entry
		if t.ended {
			gone = append(gone, e.id)
			d.ending = slices.DeleteFunc(d.ending, func(other *entry) bool { return other == e })
			continue
		}
		a := &t.alerts[0]
		e.told, e.toldAt, e.count, e.severity = true, a.At, a.Finding.Count, a.Finding.Severity
		e.due = a.At.Add(d.o.RepeatInterval)
		if e.dirty = e.finding.Count != a.Finding.Count || e.end != ""; e.dirty && e.end == "" {
			e.due = a.At.Add(d.o.GroupInterval)
		}
		if t.context.Unsettled {
			e.due = a.At.Add(settling)
		}
		if e.end == "" {
			if d.next.IsZero() || e.due.Before(d.next) {
				d.next = e.due
			}
		}
		r, err := d.record(e, a)
		records, errs = append(records, r), append(errs, err)
	}
	d.mu.Unlock()
	errs = append(errs, d.journal.Put(records...))
	if len(gone) > 0 {
		errs = append(errs, d.journal.Remove(gone...))
	}
	if err := errors.Join(errs...); err != nil {
		d.o.Log(fmt.Sprintf("what was told is noted in memory alone, and may be told again: %v", err))
	}
}
