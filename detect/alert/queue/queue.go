package queue

import (
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Item is something that waits.
type Item struct {
	// Level is how much it matters, from 0 to 4: what matters most is handed out first.
	Level int
	// Key names what it speaks of: Items with the same are handed out in their order,
	// whatever their Levels; and one that is added takes the place of the newest where
	// nobody has been handed that yet. Empty is for one that stands alone.
	Key string
	// Last says that it takes nobody's place, and nobody takes its.
	Last bool
	// Body is JSON.
	Body json.RawMessage

	id uint64
}

// meta is what of an Item is in memory.
type meta struct {
	Level int    `json:"level,omitempty"`
	Key   string `json:"key,omitempty"`
	Last  bool   `json:"last,omitempty"`
}

const levels = 5

// Options are those of a Queue.
type Options struct {
	// Most is how many Items wait. Default: 10000.
	Most int
}

// Queue is what waits for one sink. It is safe for concurrent use.
type Queue struct {
	journal *Journal
	most    int

	mu sync.Mutex
	// order has the waiting Items of each level, the oldest first, and elements where
	// each is in it.
	order    [levels]*list.List
	elements map[uint64]*list.Element
	// keys are those of what waits.
	keys map[string]chain
	// busy are those that were handed out.
	busy    map[uint64]bool
	next    uint64
	dropped int64
	more    chan struct{}
}

type waiting struct {
	id uint64
	meta
}

// chain is what waits with one Key. All of it is of one level, so that it stays in order.
type chain struct {
	newest uint64
	count  int
}

// Open opens a Queue, with what it had.
func Open(path string, o Options) (*Queue, error) {
	if o.Most == 0 {
		o.Most = 10000
	}
	journal, records, err := OpenJournal(path)
	if err != nil {
		return nil, err
	}
	q := &Queue{journal: journal, most: o.Most, elements: map[uint64]*list.Element{}, keys: map[string]chain{}, busy: map[uint64]bool{}, next: 1, more: make(chan struct{}, 1)}
	for i := range q.order {
		q.order[i] = list.New()
	}
	for _, r := range records {
		var m meta
		if json.Unmarshal(r.Meta, &m) != nil || m.Level < 0 || m.Level >= levels {
			m = meta{} // its body may be good still
		}
		q.insert(waiting{r.ID, m})
		q.next = r.ID + 1
	}
	if err := journal.Remove(q.shed()...); err != nil {
		return nil, errors.Join(err, journal.Close())
	}
	q.wake()
	return q, nil
}

func (q *Queue) insert(w waiting) {
	q.elements[w.id] = q.order[w.Level].PushBack(w)
	if w.Key != "" {
		q.keys[w.Key] = chain{w.id, q.keys[w.Key].count + 1}
	}
}

func (q *Queue) remove(id uint64) bool {
	element, ok := q.elements[id]
	if !ok {
		return false
	}
	w := element.Value.(waiting)
	q.order[w.Level].Remove(element)
	delete(q.elements, id)
	delete(q.busy, id)
	if c := q.keys[w.Key]; c.count == 1 {
		delete(q.keys, w.Key)
	} else if c.count > 1 {
		q.keys[w.Key] = chain{c.newest, c.count - 1}
	}
	return true
}

// shed drops what is too much, and returns what that was.
func (q *Queue) shed() (dropped []uint64) {
	for level := range q.order {
		for e := q.order[level].Front(); e != nil && len(q.elements) > q.most; {
			id, next := e.Value.(waiting).id, e.Next()
			if !q.busy[id] {
				q.remove(id)
				dropped = append(dropped, id)
			}
			e = next
		}
	}
	q.dropped += int64(len(dropped))
	return dropped
}

// Add adds items. Where it returns an error because they could not be written, they wait
// all the same.
func (q *Queue) Add(items ...Item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	var records []Record
	var gone []uint64
	for _, it := range items {
		if it.Level < 0 || it.Level >= levels || !json.Valid(it.Body) {
			errs = append(errs, fmt.Errorf("add to queue: level %d, or a body that is no JSON", it.Level))
			continue
		}
		w, replaced := q.place(meta{it.Level, it.Key, it.Last})
		if replaced != 0 {
			gone = append(gone, replaced)
		}
		text, err := json.Marshal(w.meta)
		if err != nil {
			errs = append(errs, fmt.Errorf("add to queue: %w", err))
		}
		records = append(records, Record{ID: w.id, Meta: text, Body: it.Body})
	}
	gone = append(gone, q.shed()...)
	records = slices.DeleteFunc(records, func(r Record) bool { return q.elements[r.ID] == nil })
	errs = append(errs, q.journal.Put(records...))
	if len(gone) > 0 {
		errs = append(errs, q.journal.Remove(gone...))
	}
	q.wake()
	return errors.Join(errs...)
}

// place finds the place of what is added: a new one, or that of the newest with its Key.
// Where that matters less, and is alone, it goes.
func (q *Queue) place(m meta) (w waiting, replaced uint64) {
	c, there := q.keys[m.Key]
	if there {
		newest, ok := q.elements[c.newest]
		switch {
		case !ok: // it was dropped, and what is older was not
		case newest.Value.(waiting).Last || m.Last || q.busy[c.newest]:
			m.Level = newest.Value.(waiting).Level
		case c.count == 1 && m.Level > newest.Value.(waiting).Level:
			q.remove(c.newest)
			replaced = c.newest
		default:
			return newest.Value.(waiting), 0
		}
	}
	w = waiting{q.next, m}
	q.next++
	q.insert(w)
	return w, replaced
}

// wake lets whoever waits for More go on, where there is something.
func (q *Queue) wake() {
	if len(q.elements) == 0 {
		return
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// More has something where there may be more to do.
func (q *Queue) More() <-chan struct{} { return q.more }

// Next hands out the items that matter most, and of those the oldest. They stay in the Queue, until Done removes them, or
// Back takes them back. What cannot be read is dropped, and in the error.
func (q *Queue) Next(most int) (items []Item, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var errs []error
	for level := levels - 1; level >= 0; level-- {
		var next *list.Element
		for e := q.order[level].Front(); e != nil && len(items) < most; e = next {
			next = e.Next()
			w := e.Value.(waiting)
			body, _, err := q.journal.Read(w.id)
			if err != nil {
				q.remove(w.id)
				q.dropped++
				errs = append(errs, err, q.journal.Remove(w.id))
				continue
			}
			q.busy[w.id] = true
			items = append(items, Item{w.Level, w.Key, w.Last, body, w.id})
		}
	}
	return items, errors.Join(errs...)
}

// Back takes items back that were not sent.
func (q *Queue) Back(items ...Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, it := range items {
		delete(q.busy, it.id)
	}
	if gone := q.shed(); len(gone) > 0 { // what was not, while it was handed out
		_ = q.journal.Remove(gone...) // where that fails it is written with what comes next
	}
	q.wake()
}

// Done removes items.
func (q *Queue) Done(items ...Item) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	ids := make([]uint64, 0, len(items))
	for _, it := range items {
		if q.remove(it.id) {
			ids = append(ids, it.id)
		}
	}
	q.wake()
	return q.journal.Remove(ids...)
}

// Len is how many items wait, those handed out among them.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.elements)
}

// Dropped is how many were too many, or could not be read, since it was opened.
func (q *Queue) Dropped() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, damaged := q.journal.Size()
	return q.dropped + int64(damaged)
}

// Sync writes what could not be written before.
func (q *Queue) Sync() error { return q.journal.Sync() }

// Close closes the file. What waits is there when it is opened again.
func (q *Queue) Close() error { return q.journal.Close() }
