package segment

import (
	"context"
	"encoding/binary"
	"strings"
	"time"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Tally counts the events that are meant by the values of some fields, without making
// events of them: it reads the columns of the filter, and of these fields. What it adds are
// the counts of each row group, so that it holds no more than one has.
func (s *Segment) Tally(ctx context.Context, f audit.Filter, by audit.Fields, add func(audit.Tallied)) error {
	var of *counting
	err := s.matches(ctx, &f, audit.OldestFirst, 0, len(s.groups), func(g *rowGroup, rows []int32) (bool, error) {
		if of == nil || of.group != g {
			of.finish(add)
			of = newCounting(g, by)
		}
		return true, of.add(rows)
	})
	if err == nil {
		of.finish(add)
	}
	return err
}

// tallied are the leaves of fields, and how an event gets their values.
var tallied = [...]struct {
	field audit.Fields
	leaf  int
	set   func(e *audit.Event, v counted)
}{
	{audit.FieldUser, colUser, func(e *audit.Event, v counted) { e.User = v.text }},
	{audit.FieldAsUser, colAsUser, func(e *audit.Event, v counted) { e.AsUser = v.text }},
	{audit.FieldGroups, colGroups, func(e *audit.Event, v counted) { e.Groups = v.list }},
	{audit.FieldVerb, colVerb, func(e *audit.Event, v counted) { e.Verb = v.text }},
	{audit.FieldAPIGroup, colAPIGroup, func(e *audit.Event, v counted) { e.APIGroup = v.text }},
	{audit.FieldResource, colResource, func(e *audit.Event, v counted) { e.Resource = v.text }},
	{audit.FieldSubresource, colSubresource, func(e *audit.Event, v counted) { e.Subresource = v.text }},
	{audit.FieldNamespace, colNamespace, func(e *audit.Event, v counted) { e.Namespace = v.text }},
	{audit.FieldName, colName, func(e *audit.Event, v counted) { e.Name = v.text }},
	{audit.FieldCode, colCode, func(e *audit.Event, v counted) { e.Code = int32(v.number) }},
	{audit.FieldDecision, colDecision, func(e *audit.Event, v counted) { annotate(e, audit.AnnotationDecision, v) }},
	{audit.FieldReason, colReason, func(e *audit.Event, v counted) { annotate(e, audit.AnnotationReason, v) }},
	{audit.FieldSourceIPs, colIPs, func(e *audit.Event, v counted) { e.SourceIPs = v.list }},
	{audit.FieldUserAgent, colUserAgent, func(e *audit.Event, v counted) { e.UserAgent = v.text }},
	{audit.FieldPath, colURI, func(e *audit.Event, v counted) { e.URI = v.text }},
	{audit.FieldStage, colStage, func(e *audit.Event, v counted) { e.Stage = v.text }},
	{audit.FieldLevel, colLevel, func(e *audit.Event, v counted) { e.Level = v.text }},
	{audit.FieldSource, colSource, func(e *audit.Event, v counted) { e.Source = v.text }},
	{audit.FieldUnknown, colUnknown, func(e *audit.Event, v counted) { e.Unknown = v.list }},
	{audit.FieldMinute, colTime, func(e *audit.Event, v counted) { e.Time = microseconds(v.number) }},
	{audit.FieldHour, colTime, func(e *audit.Event, v counted) { e.Time = microseconds(v.number) }},
	{audit.FieldDay, colTime, func(e *audit.Event, v counted) { e.Time = microseconds(v.number) }},
}

func annotate(e *audit.Event, key string, v counted) {
	if v.null {
		return
	}
	if e.Annotations == nil {
		e.Annotations = map[string]string{}
	}
	e.Annotations[key] = v.text
}

// units are what times are counted by, in microseconds.
var units = map[audit.Fields]int64{
	audit.FieldMinute: int64(time.Minute / time.Microsecond),
	audit.FieldHour:   int64(time.Hour / time.Microsecond),
	audit.FieldDay:    int64(24 * time.Hour / time.Microsecond),
}

// counting counts the rows of one row group by numbers that stand for values, and these by
// numbers that stand for the values of several columns.
type counting struct {
	group *rowGroup
	by    []*coder
	times *reader
	sums  []sum // by the last number
}

// sum is how many rows there are of the same values.
type sum struct {
	rows        int64
	first, last int64
}

// coder gives numbers to the values of one column.
type coder struct {
	*reader
	leaf int
	set  func(e *audit.Event, v counted)
	unit int64 // of a column of times
	path bool  // of the URI

	values  []counted // by number
	texts   map[string]uint32
	lists   map[string]uint32 // by the numbers of their items
	numbers map[int64]uint32
	null    uint32   // less 1 it is the number of NULL
	entries []uint32 // by entry of the dictionary; less 1 it is the number
	key     []byte

	// pairs are numbers of what the columns before have and this has, and whole what they
	// stand for.
	pairs map[uint64]uint32
	whole []pair
	// Of the row before, which often has the same.
	lastPair   uint64
	lastNumber uint32
	lastTime   int64
	lastCode   uint32
}

// pair is the number of what the columns before have, and of what this has.
type pair struct{ before, value uint32 }

// counted is a value.
type counted struct {
	text   string
	list   []string
	number int64
	null   bool
}

func newCounting(g *rowGroup, by audit.Fields) *counting {
	c := &counting{group: g}
	for _, t := range tallied {
		if by&t.field != 0 {
			c.by = append(c.by, &coder{
				leaf: t.leaf, set: t.set, unit: units[t.field], path: t.leaf == colURI, texts: map[string]uint32{}, lists: map[string]uint32{},
				numbers: map[int64]uint32{}, pairs: map[uint64]uint32{}, lastPair: ^uint64(0),
			})
		}
	}
	return c
}

func (c *counting) add(rows []int32) (err error) {
	defer rescue(&err, "count events of segment")
	if c.times == nil {
		c.times = c.group.column(colTime)
		for _, by := range c.by {
			by.reader = c.group.column(by.leaf)
		}
	}
	for _, row := range rows {
		at, _ := c.times.number(int(row))
		number := uint32(0)
		for _, by := range c.by {
			number = by.pair(number, by.code(int(row), at))
		}
		if int(number) >= len(c.sums) {
			c.sums = append(c.sums, sum{first: at, last: at})
		}
		s := &c.sums[number]
		s.rows++
		s.first, s.last = min(s.first, at), max(s.last, at)
	}
	return nil
}

// pair is the number of a value behind those of the columns before.
func (c *coder) pair(before, value uint32) uint32 {
	key := uint64(before)<<32 | uint64(value)
	if key == c.lastPair {
		return c.lastNumber
	}
	n, ok := c.pairs[key]
	if !ok {
		n = uint32(len(c.whole))
		c.pairs[key] = n
		c.whole = append(c.whole, pair{before, value})
	}
	c.lastPair, c.lastNumber = key, n
	return n
}

// code is the number of the value that a row has.
func (c *coder) code(row int, at int64) uint32 {
	switch {
	case c.unit > 0:
		return c.time(floor(at, c.unit) * c.unit)
	case maxLevels[c.leaf].repetition > 0:
		return c.items(row)
	}
	if same, ok := c.same(row); ok && c.leaf != colCode {
		return c.text(same)
	}
	if c.bounds.allNull(c.pageOf(row)) {
		return c.absent()
	}
	c.load(row)
	if i := c.at(row); i >= 0 {
		return c.value(i)
	}
	return c.absent()
}

func floor(a, b int64) int64 {
	if a < 0 && a%b != 0 {
		return a/b - 1
	}
	return a / b
}

func (c *coder) add(v counted) uint32 {
	c.values = append(c.values, v)
	return uint32(len(c.values) - 1)
}

func (c *coder) absent() uint32 {
	if c.null == 0 {
		c.null = c.add(counted{null: true}) + 1
	}
	return c.null - 1
}

func (c *coder) time(at int64) uint32 {
	if at != c.lastTime || len(c.values) == 0 {
		c.lastTime, c.lastCode = at, c.integer(at)
	}
	return c.lastCode
}

func (c *coder) integer(v int64) uint32 {
	n, ok := c.numbers[v]
	if !ok {
		n = c.add(counted{number: v})
		c.numbers[v] = n
	}
	return n
}

func (c *coder) text(s string) uint32 {
	if c.path {
		s, _, _ = strings.Cut(s, "?")
	}
	n, ok := c.texts[s]
	if !ok {
		s = strings.Clone(s)
		n = c.add(counted{text: s})
		c.texts[s] = n
	}
	return n
}

// value is the number of a value of the page.
func (c *coder) value(i int) uint32 {
	v := &c.reader.values
	if !v.indexed {
		if c.leaf == colCode {
			return c.integer(v.numbers[i])
		}
		return c.text(view(v.text(i)))
	}
	entry := v.index(i)
	if c.entries == nil {
		c.entries = make([]uint32, c.dict().n)
	}
	if c.entries[entry] == 0 {
		d := &c.dict().values
		if c.leaf == colCode {
			c.entries[entry] = c.integer(d.numbers[entry]) + 1
		} else {
			c.entries[entry] = c.text(view(d.text(int(entry)))) + 1
		}
	}
	return c.entries[entry] - 1
}

// items is the number of a list.
func (c *coder) items(row int) uint32 {
	c.key = c.key[:0]
	if !c.bounds.allNull(c.pageOf(row)) {
		c.load(row)
		from, to, at := c.reader.entries(row)
		for e := from; e < to; e++ {
			if c.has(e) {
				c.key = binary.LittleEndian.AppendUint32(c.key, c.value(at))
				at++
			}
		}
	}
	n, ok := c.lists[string(c.key)]
	if !ok {
		var list []string
		for rest := c.key; len(rest) > 0; rest = rest[4:] {
			list = append(list, c.values[binary.LittleEndian.Uint32(rest)].text)
		}
		n = c.add(counted{list: list})
		c.lists[string(c.key)] = n
	}
	return n
}

// finish adds what was counted of a row group.
func (c *counting) finish(add func(audit.Tallied)) {
	if c == nil {
		return
	}
	for number, s := range c.sums {
		e, at := &audit.Event{}, uint32(number)
		for i := len(c.by) - 1; i >= 0; i-- {
			p := c.by[i].whole[at]
			c.by[i].set(e, c.by[i].values[p.value])
			at = p.before
		}
		add(audit.Tallied{Event: e, Count: s.rows, First: microseconds(s.first), Last: microseconds(s.last)})
	}
}
