package operator

import (
	"container/list"
	"encoding/json"
	"fmt"
	"time"
)

// Observation is what a rule saw in one event.
type Observation struct {
	At time.Time
	// ID is the event's auditID.
	ID string
	// Value is what Distinct and FirstSeen look at.
	Value string
	// Weight is what Rate adds up.
	Weight float64
	// Steps are those of a Sequence that the event may be: bit 0 for the first. For an
	// Absence bit 0 is what is waited for, and bit 1 what it is waited for after.
	Steps uint16
}

// Fire says that it is enough, and what it stands on.
type Fire struct {
	// At is the event's time; for an Absence, when it should have come at the latest.
	At time.Time
	// Since is when the oldest of what counts was.
	Since time.Time
	// Count is how many requests, values or steps there are; what a Rate has added up.
	Count int64
	// IDs are auditIDs behind it, the newest last, and Values some of the values: not
	// more than are worth showing.
	IDs, Values []string
	// Key is set by Advance.
	Key string
}

// Limits bound a Memory. The zero value is usable.
type Limits struct {
	// Keys is how many are remembered. Default: 10000.
	Keys int
	// Late is how late an event may come. Default: one minute.
	Late time.Duration
}

const (
	// maxIDs and maxValues are how many are shown.
	maxIDs    = 20
	maxValues = 5
	// maxShown bounds the text of a value that is shown.
	maxShown = 256
)

// Operator is one of Count, Distinct, Rate, FirstSeen, Sequence and Absence.
type Operator interface {
	// cell makes an empty one.
	cell() cell
	// window is the time within which events count together.
	window() time.Duration
}

// cell is what is remembered of one key. Its exported fields are what is written.
type cell interface {
	observe(op Operator, late int64, o Observation) (Fire, bool)
	// size is about how many numbers it holds.
	size() int
	// valid is asked of one that was read.
	valid(op Operator) bool
}

// waiting is a cell that fires when time goes by.
type waiting interface {
	cell
	// deadline is when, in microseconds; 0 for never.
	deadline(op Operator) int64
	// expire takes the answer.
	expire(op Operator) Fire
	// postpone waits from a later time on, in microseconds.
	postpone(at int64)
}

// entry is one key in the list of a Memory.
type entry struct {
	key  string
	cell cell
	size int
}

// Memory is what one rule remembers.
type Memory struct {
	op     Operator
	limits Limits
	keys   map[string]*list.Element // of *entry; exactly what is in order
	order  *list.List               // front is what was seen last
	size   int                      // the sum of the entries' sizes
	// next is no later than the first deadline there is; 0 for none. Only cells that are
	// waiting have one.
	next    int64
	evicted int64
}

// NewMemory makes an empty Memory.
func NewMemory(op Operator, limits Limits) *Memory {
	if limits.Keys <= 0 {
		limits.Keys = 10000
	}
	if limits.Late <= 0 {
		limits.Late = time.Minute
	}
	return &Memory{op: op, limits: limits, keys: map[string]*list.Element{}, order: list.New()}
}

// Observe adds what was seen under a key.
func (m *Memory) Observe(key string, o Observation) (Fire, bool) {
	element, ok := m.keys[key]
	if !ok {
		if len(m.keys) >= m.limits.Keys {
			m.Evict()
		}
		element = m.order.PushFront(&entry{key: key, cell: m.op.cell()})
		m.keys[key] = element
	}
	m.order.MoveToFront(element)
	e := element.Value.(*entry)
	fire, yes := e.cell.observe(m.op, m.limits.Late.Microseconds(), o)
	m.resize(e)
	if w, ok := e.cell.(waiting); ok {
		if d := w.deadline(m.op); d != 0 && (m.next == 0 || d < m.next) {
			m.next = d
		}
	}
	return fire, yes
}

func (m *Memory) resize(e *entry) {
	size := e.cell.size() + 8
	m.size += size - e.size
	e.size = size
}

// Advance says that it is later now. What should have come by now, and could not come
// late any more, is told in the order of keys that were seen first.
func (m *Memory) Advance(now time.Time) (fires []Fire) {
	due := now.Add(-m.limits.Late).UnixMicro()
	if m.next == 0 || due < m.next {
		return nil
	}
	m.next = 0
	for element := m.order.Back(); element != nil; element = element.Prev() {
		e := element.Value.(*entry)
		w := e.cell.(waiting)
		d := w.deadline(m.op)
		if d != 0 && d <= due {
			fire := w.expire(m.op)
			fire.Key = e.key
			fires = append(fires, fire)
			d = w.deadline(m.op)
		}
		if d != 0 && (m.next == 0 || d < m.next) {
			m.next = d
		}
	}
	return fires
}

// Postpone waits from now on for what is waited for.
func (m *Memory) Postpone(now time.Time) {
	m.next = 0
	for element := m.order.Front(); element != nil; element = element.Next() {
		e := element.Value.(*entry)
		w, ok := e.cell.(waiting)
		if !ok {
			return // they are all of one kind
		}
		w.postpone(now.UnixMicro())
		if d := w.deadline(m.op); d != 0 && (m.next == 0 || d < m.next) {
			m.next = d
		}
	}
}

// Evict forgets the key that was not seen for longest, and reports whether there was one.
func (m *Memory) Evict() bool {
	element := m.order.Back()
	if element == nil {
		return false
	}
	e := m.order.Remove(element).(*entry)
	delete(m.keys, e.key)
	m.size -= e.size
	m.evicted++
	return true
}

// Evicted is how many keys were forgotten because there were too many.
func (m *Memory) Evicted() int64 { return m.evicted }

// Len is how many keys are remembered, and Size about how many numbers.
func (m *Memory) Len() int  { return len(m.keys) }
func (m *Memory) Size() int { return m.size }

// Each hands on every key with what is to be written of it, those seen last at the end.
func (m *Memory) Each(yield func(key string, state json.RawMessage) error) error {
	for element := m.order.Back(); element != nil; element = element.Prev() {
		e := element.Value.(*entry)
		state, err := json.Marshal(e.cell)
		if err != nil {
			return fmt.Errorf("write state: %w", err)
		}
		if err := yield(e.key, state); err != nil {
			return err
		}
	}
	return nil
}

// Put puts back what Each handed on, in its order.
func (m *Memory) Put(key string, state json.RawMessage) error {
	c := m.op.cell()
	if err := json.Unmarshal(state, c); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if !c.valid(m.op) {
		return fmt.Errorf("read state: it is none of this operator")
	}
	if old, ok := m.keys[key]; ok {
		m.size -= old.Value.(*entry).size
		m.order.Remove(old)
	} else if len(m.keys) >= m.limits.Keys {
		m.Evict()
	}
	e := &entry{key: key, cell: c}
	m.keys[key] = m.order.PushFront(e)
	m.resize(e)
	if w, ok := c.(waiting); ok {
		if d := w.deadline(m.op); d != 0 && (m.next == 0 || d < m.next) {
			m.next = d
		}
	}
	return nil
}

// micros is a time as cells keep it. No event is of 1970 or before, so that 0 is none.
func micros(t time.Time) int64 { return max(t.UnixMicro(), 1) }

func ofMicros(t int64) time.Time { return time.UnixMicro(t).UTC() }

// keepID appends an auditID, and lets the oldest go where there are more than are shown.
func keepID(ids []string, id string) []string {
	if len(ids) == maxIDs {
		copy(ids, ids[1:])
		ids = ids[:maxIDs-1]
	}
	return append(ids, shown(id))
}

// shown is a text short enough to be kept.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown]
	}
	return text
}
