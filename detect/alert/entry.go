package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gatehouse-io/gatehouse/api/v1alpha1"
	"github.com/gatehouse-io/gatehouse/detect"
	"github.com/gatehouse-io/gatehouse/detect/alert/queue"
)

// entry is a Finding, and what of it was told.
type entry struct {
	// id is its number in the journal.
	id      uint64
	finding detect.Finding
	// told says that it was told at all; toldAt when last, by the clock, with what count
	// and severity.
	told     bool
	toldAt   time.Time
	count    int64
	severity v1alpha1.DetectionSeverity
	// due is when it is to be told; zero for not.
	due time.Time
	// end is why it is over; empty while it is not.
	end Cause
	// touched is when something of it last came, by the clock.
	touched time.Time
	// dirty says that the journal has it otherwise.
	dirty bool
}

// cause is why it would be told now.
func (e *entry) cause() Cause {
	switch {
	case !e.told:
		return CauseNew
	case e.end != "":
		return e.end
	case e.finding.Count > e.count || rank(e.finding.Severity) != rank(e.severity):
		return CauseAgain
	}
	return CauseRepeat
}

// saved is an entry in the journal.
type saved struct {
	// Alert is how it was told last; nil where it was not.
	Alert *Alert `json:"alert,omitempty"`
	// Finding is how it is now, where that is something else.
	Finding *detect.Finding `json:"finding,omitempty"`
	End     Cause           `json:"end,omitempty"`
}

const toldFile = "told.jsonl"

// load reads what was told before. It is all told again when it is due, or ends.
func (d *Dispatcher) load() error {
	journal, records, err := queue.OpenJournal(filepath.Join(d.o.Dir, toldFile))
	if err != nil {
		return fmt.Errorf("open alerts: %w", err)
	}
	d.journal = journal
	now := d.o.Clock.Now()
	for _, r := range records {
		d.nextID = r.ID + 1
		body, _, err := journal.Read(r.ID)
		if err != nil {
			return fmt.Errorf("open alerts: %w", err)
		}
		var s saved
		if err := json.Unmarshal(body, &s); err != nil || s.Alert == nil && s.Finding == nil {
			d.o.Log("a finding that was told cannot be read, and is told anew")
			if err := journal.Remove(r.ID); err != nil {
				return fmt.Errorf("open alerts: %w", err)
			}
			continue
		}
		e := &entry{id: r.ID, end: s.End, due: now}
		if a := s.Alert; a != nil {
			e.told, e.toldAt, e.count, e.severity = true, a.At, a.Finding.Count, a.Finding.Severity
			e.finding, e.due = a.Finding, a.At.Add(d.o.RepeatInterval)
		}
		if s.Finding != nil {
			e.finding = *s.Finding
		}
		switch {
		case e.end != "":
			d.ending = append(d.ending, e)
			continue
		case e.told && e.cause() == CauseAgain:
			e.due = e.toldAt.Add(d.o.GroupInterval)
		}
		d.entries[e.finding.Fingerprint] = e
		d.sooner(e.due)
	}
	return nil
}

// record is an entry for the journal. alert is how it was told last; where that is nil, it
// is what the journal has.
func (d *Dispatcher) record(e *entry, alert *Alert) (queue.Record, error) {
	s := saved{Alert: alert, End: e.end}
	if alert == nil && e.told {
		s.Alert = d.last(e.id)
	}
	if s.Alert == nil || e.dirty {
		s.Finding = &e.finding
	}
	body, err := json.Marshal(s)
	return queue.Record{ID: e.id, Body: body}, err
}

// last is how something was told last; nil where that is not known.
func (d *Dispatcher) last(id uint64) *Alert {
	body, ok, err := d.journal.Read(id)
	var s saved
	if err != nil || !ok || json.Unmarshal(body, &s) != nil {
		return nil
	}
	return s.Alert
}

// save writes what changed since it was written.
func (d *Dispatcher) save() error {
	d.disk.Lock()
	defer d.disk.Unlock()
	d.mu.Lock()
	var dirty []*entry
	for _, e := range d.entries {
		if e.dirty {
			dirty = append(dirty, e)
		}
	}
	for _, e := range d.ending {
		if e.dirty {
			dirty = append(dirty, e)
		}
	}
	var records []queue.Record
	for _, e := range dirty {
		r, err := d.record(e, nil)
		if err != nil {
			d.mu.Unlock()
			return fmt.Errorf("save alerts: %w", err)
		}
		records = append(records, r)
		e.dirty = false
	}
	d.mu.Unlock()
	errs := []error{d.journal.Put(records...)} // what cannot be written is later
	for _, out := range d.outlets {
		errs = append(errs, out.queue.Sync())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("save alerts: %w", err)
	}
	return nil
}
