package store

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// losses are the gaps that are not written yet: one a reason.
type losses struct {
	mu   sync.Mutex
	open map[string]*loss
	// told are gaps that somebody else knows of, whole.
	told []audit.Gap
}

func (l *losses) tell(g audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, g)
}

// loss is a time in which events are being lost.
type loss struct {
	start, last time.Time
	count       int64
	announced   bool // its beginning is in the write-ahead log
}

func (l *losses) add(reason string, now time.Time, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[string]*loss{}
	}
	o := l.open[reason]
	if o == nil {
		o = &loss{start: now, last: now}
		l.open[reason] = o
	}
	if now.Before(o.start) {
		o.start = now // the clock was set back: the gap has both times
	}
	if now.After(o.last) {
		o.last = now
	}
	o.count += count
}

// gaps are those that are not written yet, without an end while they last.
func (l *losses) gaps() (found []audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found = slices.Clone(l.told)
	for reason, o := range l.open {
		found = append(found, audit.Gap{Start: o.start, Count: o.count, Reason: reason})
	}
	return found
}

// quiet is how long nothing was lost when a gap is over, and longest how long one goes on
// before it is written: it is then followed by another.
const (
	quiet   = time.Second
	longest = 10 * time.Second
)

// over are the gaps to be written now, by those rules or at once. That of a full disk is
// over when the disk is not full any more.
func (l *losses) over(now time.Time, atOnce, full bool) (found []audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found = slices.Clone(l.told)
	for reason, o := range l.open {
		if atOnce || reason == audit.GapFull && !full || now.Sub(o.last) >= quiet || now.Sub(o.start) >= longest || now.Before(o.start) {
			// A gap has a length, or it would overlap no time.
			found = append(found, audit.Gap{Start: o.start, End: o.last.Add(time.Microsecond), Count: o.count, Reason: reason})
		}
	}
	return found
}

// announce are the gaps whose beginning is to be written.
func (l *losses) announce() (found []audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, o := range l.open {
		if !o.announced {
			found = append(found, audit.Gap{Start: o.start, Count: -1, Reason: reason})
		}
	}
	return found
}

func (l *losses) announced(g audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.open[g.Reason]; o != nil {
		o.announced = true
	}
}

// written takes what was written off the open ones.
func (l *losses) written(g audit.Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.told, g); i >= 0 {
		l.told = slices.Delete(l.told, i, i+1)
		return
	}
	o := l.open[g.Reason]
	if o == nil {
		return
	}
	if o.count -= g.Count; o.count <= 0 {
		delete(l.open, g.Reason)
		return
	}
	o.start, o.announced = g.End, false
}

// gapRecord is a gap in the write-ahead log and in the file of gaps.
type gapRecord struct {
	Start  time.Time  `json:"start"`
	End    *time.Time `json:"end,omitempty"`
	Count  int64      `json:"count"`
	Reason string     `json:"reason"`
}

func encodeGap(g audit.Gap) []byte {
	r := gapRecord{Start: g.Start.UTC(), Count: g.Count, Reason: g.Reason}
	if !g.End.IsZero() {
		end := g.End.UTC()
		r.End = &end
	}
	b, err := json.Marshal(r)
	if err != nil { // a year beyond 9999: the clock is out of its mind, the count is not
		b, _ = json.Marshal(gapRecord{Count: g.Count, Reason: g.Reason})
	}
	return b
}

func decodeGap(b []byte) (audit.Gap, error) {
	var r gapRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return audit.Gap{}, err
	}
	g := audit.Gap{Start: r.Start, Count: r.Count, Reason: r.Reason}
	if r.End != nil {
		g.End = *r.End
	}
	return g, nil
}
