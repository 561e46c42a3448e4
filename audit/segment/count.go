package segment

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Tally counts the events of segments by the values of columns, without making events of
// them. It is not safe for concurrent use.
//
//	t, err := segment.NewTally("user_name", "hour")
//	for _, s := range segments { err = t.Add(ctx, s, filter) }
//	for _, g := range t.Groups() { fmt.Println(g.Values, g.Events) }
type Tally struct {
	by     []int // leaves, or one of the below
	groups map[string]*Group
}

// Group are the events that have the same values.
type Group struct {
	// Values are in the order of the columns, NULL as empty.
	Values []string
	// Events are how many, and First and Last when the oldest and newest of them were.
	Events      int64
	First, Last time.Time
}

// What a Tally counts by besides columns.
const (
	byHour = -1 - iota
	byDay
)

// maxBy is how many columns a Tally counts by at most.
const maxBy = 6

// NewTally is a tally by columns of Columns, and by hour and day of stage_timestamp. Of a
// list, an event counts once for each distinct item, and as empty where there is none.
// Maps, times, truncated and bodies are not counted by.
func NewTally(by ...string) (*Tally, error) {
	t := &Tally{groups: map[string]*Group{}}
	if len(by) > maxBy {
		return nil, fmt.Errorf("count events: by %d columns; %d are the most", len(by), maxBy)
	}
	for _, name := range by {
		leaf := leafOf(name)
		switch {
		case name == "hour":
			leaf = byHour
		case name == "day":
			leaf = byDay
		case leaf < 0 || leaf == colTime || leaf == colReceived || leaf == colTruncated || leaf == colRequest || leaf == colResponse:
			return nil, fmt.Errorf("count events: by %q, which is nothing to count by", name)
		}
		t.by = append(t.by, leaf)
	}
	return t, nil
}

// leafOf is the leaf of a column that is no map; -1 where there is none.
func leafOf(name string) int {
	return slices.IndexFunc(newSchema().Columns(), func(path []string) bool {
		return path[0] == name && (len(path) == 1 || path[1] == "list")
	})
}

// Add counts the events of a segment that are meant.
func (t *Tally) Add(ctx context.Context, s *Segment, f audit.Filter) error {
	var of *counting
	err := s.matches(ctx, &f, audit.OldestFirst, 0, len(s.groups), func(g *rowGroup, rows []int32) (bool, error) {
		if of == nil || of.group != g {
			of.finish(t)
			of = newCounting(g, t.by)
		}
		return true, of.add(rows)
	})
	if err == nil {
		of.finish(t)
	}
	return err
}

// Merge adds the counts of another tally by the same columns: segments can be counted side
// by side, each goroutine into a tally of its own.
func (t *Tally) Merge(other *Tally) {
	for name, g := range other.groups {
		t.add(name, g.Values, g.Events, g.First, g.Last)
	}
}

func (t *Tally) add(name string, values []string, events int64, first, last time.Time) {
	g := t.groups[name]
	if g == nil {
		g = &Group{Values: values, First: first, Last: last}
		t.groups[name] = g
	}
	g.Events += events
	if first.Before(g.First) {
		g.First = first
	}
	if last.After(g.Last) {
		g.Last = last
	}
}

// Groups are the counts, the largest first, and by values where they are equal.
func (t *Tally) Groups() []Group {
	all := make([]Group, 0, len(t.groups))
	for _, g := range t.groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		if a.Events != b.Events {
			return int(min(1, max(-1, b.Events-a.Events)))
		}
		return slices.Compare(a.Values, b.Values)
	})
	return all
}

// counting counts the rows of one row group by numbers that stand for values: entries of
// a dictionary, or numbers that are given out.
type counting struct {
	group   *rowGroup
	by      []int
	readers []*reader
	names   []naming
	times   *reader
	counts  map[[maxBy]int32]*count
}

type count struct {
	events      int64
	first, last int64
}

// naming gives numbers to the texts of a column, and to the entries of its dictionary.
type naming struct {
	numbers map[string]int32
	texts   []string
	entries []int32 // by entry of the dictionary, 0 for none; less 1 it is the number
}

func (n *naming) of(text string) int32 {
	if i, ok := n.numbers[text]; ok {
		return i
	}
	i := int32(len(n.texts))
	text = strings.Clone(text)
	n.numbers[text] = i
	n.texts = append(n.texts, text)
	return i
}

func newCounting(g *rowGroup, by []int) *counting {
	c := &counting{group: g, by: by, readers: make([]*reader, len(by)), names: make([]naming, len(by)), counts: map[[maxBy]int32]*count{}}
	for i := range by {
		c.names[i].numbers = map[string]int32{}
	}
	return c
}

func (c *counting) add(rows []int32) (err error) {
	defer rescue(&err, "count events of segment")
	c.times = c.group.column(colTime)
	for i, leaf := range c.by {
		if leaf >= 0 {
			c.readers[i] = c.group.column(leaf)
		}
	}
	var key [maxBy]int32
	var last *count // rows beside each other often have the same values
	var lastKey [maxBy]int32
	for _, row := range rows {
		at, _ := c.times.number(int(row))
		c.each(&key, 0, int(row), at, func() {
			if last == nil || key != lastKey {
				last, lastKey = c.counts[key], key
				if last == nil {
					last = &count{first: at}
					c.counts[key] = last
				}
			}
			last.events++
			last.first, last.last = min(last.first, at), max(last.last, at)
		})
	}
	return nil
}

// each calls add for each combination of values that a row has from the i-th column on.
func (c *counting) each(key *[maxBy]int32, i, row int, at int64, add func()) {
	if i == len(c.by) {
		add()
		return
	}
	switch leaf := c.by[i]; {
	case leaf == byHour:
		key[i] = int32(floor(at, int64(time.Hour/time.Microsecond)))
	case leaf == byDay:
		key[i] = int32(floor(at, int64(24*time.Hour/time.Microsecond)))
	case maxLevels[leaf].repetition == 0:
		key[i] = c.number(i, row)
	default:
		items := c.items(i, row)
		for _, item := range items {
			key[i] = item
			c.each(key, i+1, row, at, add)
		}
		return
	}
	c.each(key, i+1, row, at, add)
}

func floor(a, b int64) int64 {
	if a < 0 {
		return (a - b + 1) / b
	}
	return a / b
}

// number is the number of the value of a flat column.
func (c *counting) number(i, row int) int32 {
	r, n := c.readers[i], &c.names[i]
	if c.by[i] == colCode {
		code, _ := r.number(row)
		return int32(code)
	}
	if same, ok := r.same(row); ok {
		return n.of(same)
	}
	if r.bounds.allNull(r.pageOf(row)) {
		return n.of("")
	}
	r.load(row)
	at := r.at(row)
	if at < 0 {
		return n.of("")
	}
	return c.value(i, at)
}

// value is the number of a value of the page.
func (c *counting) value(i, at int) int32 {
	r, n := c.readers[i], &c.names[i]
	if !r.values.indexed {
		return n.of(view(r.values.text(at)))
	}
	entry := r.values.index(at)
	if n.entries == nil {
		n.entries = make([]int32, r.dict().n)
	}
	if n.entries[entry] == 0 {
		n.entries[entry] = n.of(view(r.dict().values.text(int(entry)))) + 1
	}
	return n.entries[entry] - 1
}

// items are the distinct items of a list.
func (c *counting) items(i, row int) []int32 {
	r := c.readers[i]
	if r.bounds.allNull(r.pageOf(row)) {
		return []int32{c.names[i].of("")}
	}
	r.load(row)
	from, to, at := r.entries(row)
	var all []int32
	for e := from; e < to; e++ {
		if r.definitions.get(e) != r.definitions.target {
			continue
		}
		if v := c.value(i, at); !slices.Contains(all, v) {
			all = append(all, v)
		}
		at++
	}
	if len(all) == 0 {
		return []int32{c.names[i].of("")}
	}
	return all
}

// finish adds what was counted of a row group to the tally.
func (c *counting) finish(t *Tally) {
	if c == nil {
		return
	}
	for key, n := range c.counts {
		values := make([]string, len(c.by))
		for i, leaf := range c.by {
			switch {
			case leaf == byHour:
				values[i] = microseconds(int64(key[i]) * int64(time.Hour/time.Microsecond)).Format(time.RFC3339)
			case leaf == byDay:
				values[i] = microseconds(int64(key[i]) * int64(24*time.Hour/time.Microsecond)).Format(time.DateOnly)
			case leaf == colCode:
				values[i] = fmt.Sprint(key[i])
			default:
				values[i] = c.names[i].texts[key[i]]
			}
		}
		t.add(joined(values), values, n.events, microseconds(n.first), microseconds(n.last))
	}
}

// joined is a text of its own for each list of texts.
func joined(values []string) string {
	var b strings.Builder
	for _, v := range values {
		fmt.Fprintf(&b, "%d:%s", len(v), v)
	}
	return b.String()
}
