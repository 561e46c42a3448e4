package query

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-io/gatehouse/audit"
)

// Bounds of a Counter.
const (
	// DefaultGroups is how many groups are counted exactly.
	DefaultGroups = 100_000
	// maxValue is how many bytes of a value tell groups apart.
	maxValue = 256
	// maxCombinations is how many groups one event counts for.
	maxCombinations = 1024
)

// Group is how often one combination of values was seen.
type Group struct {
	Values []string
	Count  int64
	// Excess is how much too large Count may be; it is never too small. 0 is exact.
	Excess      int64
	First, Last time.Time
}

// Counts are groups, the largest first.
type Counts struct {
	Fields []string
	Groups []Group
	// Events is how many events were counted, and Distinct how many groups there are.
	Events, Distinct int64
	// Exact says that there were no more groups than could be kept. Else Distinct is
	// their bound, and each group with more than Threshold events is among Groups.
	Exact     bool
	Threshold int64
}

// Counter counts events by fields, in bounded memory. Up to its bound of groups it is
// exact. Beyond it, it finds heavy hitters as the space-saving algorithm does (Metwally,
// Agrawal, El Abbadi 2005): the smallest group gives way to the new one and leaves it
// its count.
type Counter struct {
	fields []Field
	most   int

	groups map[string]*counted
	// heap has the groups, the smallest first, once there are as many as may be.
	heap   groupHeap
	events int64
	// added is how often any group was counted.
	added int64
	exact bool
	key   []byte
}

type counted struct {
	Group
	key string
	at  int // in the heap
}

// NewCounter counts by fields with so many groups; 0 is DefaultGroups.
func NewCounter(fields []Field, groups int) *Counter {
	if groups <= 0 {
		groups = DefaultGroups
	}
	return &Counter{fields: fields, most: groups, groups: map[string]*counted{}, exact: true}
}

// Count counts the events of a query by fields, with so many groups as NewCounter says. A
// reader that tallies is not asked for whole events, where there is no condition that looks
// at them. u may be nil.
func Count(ctx context.Context, r audit.Reader, q Query, fields []Field, groups int, u *Unjudged) (*Counter, error) {
	c := NewCounter(fields, groups)
	if t, ok := r.(audit.Tallier); ok && q.Where == nil && q.After.IsZero() && q.Limit == 0 {
		err := t.Tally(ctx, q.Filter, needs(fields), func() func(audit.Tallied) {
			c = NewCounter(fields, groups)
			return c.AddTallied
		})
		return c, err
	}
	q.Bodies = false
	for e, err := range q.Run(ctx, r, u) {
		if err != nil {
			return nil, err
		}
		c.Add(e)
	}
	return c, nil
}

// needs is what fields look at in an event. The finest of times tells the others.
func needs(list []Field) (all audit.Fields) {
	for _, f := range list {
		all |= f.needs
	}
	switch {
	case all&audit.FieldMinute != 0:
		all &^= audit.FieldHour | audit.FieldDay
	case all&audit.FieldHour != 0:
		all &^= audit.FieldDay
	}
	return all
}

// Add counts an event.
func (c *Counter) Add(e *audit.Event) {
	c.AddTallied(audit.Tallied{Event: e, Count: 1, First: e.Time, Last: e.Time})
}

// AddTallied counts events that are equal in what the fields of the Counter look at.
func (c *Counter) AddTallied(t audit.Tallied) {
	c.events += t.Count
	values := make([][]string, len(c.fields))
	combinations := 1
	for i, f := range c.fields {
		values[i] = f.of(t.Event)
		combinations *= max(len(values[i]), 1)
	}
	if combinations > maxCombinations {
		combinations, c.exact = maxCombinations, false
	}
	for n := range combinations {
		rest := n
		c.key = c.key[:0]
		for _, list := range values {
			value := clip(list[rest%len(list)])
			rest /= len(list)
			// Lengths come before values, which can have any character in them.
			c.key = binary.AppendUvarint(c.key, uint64(len(value)))
			c.key = append(c.key, value...)
		}
		c.count(&t)
	}
}

func (c *Counter) count(t *audit.Tallied) {
	c.added += t.Count
	g := c.groups[string(c.key)]
	switch {
	case g != nil:
	case len(c.groups) < c.most:
		g = &counted{key: string(c.key), Group: Group{First: t.First, Last: t.Last}}
		c.groups[g.key] = g
		if len(c.groups) == c.most {
			for _, g := range c.groups {
				g.at = len(c.heap)
				c.heap = append(c.heap, g)
			}
			heap.Init(&c.heap)
		}
	default:
		g = c.heap[0]
		delete(c.groups, g.key)
		g.key = string(c.key)
		g.Excess, g.First, g.Last = g.Count, t.First, t.Last
		c.groups[g.key] = g
		c.exact = false
	}
	g.Count += t.Count
	if t.First.Before(g.First) {
		g.First = t.First
	}
	if t.Last.After(g.Last) {
		g.Last = t.Last
	}
	if c.heap != nil {
		heap.Fix(&c.heap, g.at)
	}
}

// Counts are the largest groups, as many as limit says; 0 is all.
func (c *Counter) Counts(limit int) *Counts {
	result := &Counts{Events: c.events, Distinct: int64(len(c.groups)), Exact: c.exact}
	if !c.exact {
		result.Threshold = c.added / int64(c.most)
	}
	for _, f := range c.fields {
		result.Fields = append(result.Fields, f.Name)
	}
	for key, g := range c.groups {
		group := g.Group
		for rest := []byte(key); len(rest) > 0; {
			n, size := binary.Uvarint(rest)
			group.Values = append(group.Values, string(rest[size:size+int(n)]))
			rest = rest[size+int(n):]
		}
		result.Groups = append(result.Groups, group)
	}
	slices.SortFunc(result.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.Compare(a.Values, b.Values))
	})
	if limit > 0 && len(result.Groups) > limit {
		result.Groups = result.Groups[:limit:limit]
	}
	return result
}

// clip is a value that is no longer than what is kept of one, as valid UTF-8.
func clip(value string) string {
	if len(value) <= maxValue {
		return value
	}
	end := maxValue
	for end > maxValue-utf8.UTFMax && !utf8.RuneStart(value[end]) {
		end--
	}
	return strings.Clone(value[:end]) + "…" // not holding on to the long one
}

type groupHeap []*counted

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].Count < h[j].Count }
func (h groupHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }
func (h *groupHeap) Push(x any)        { *h = append(*h, x.(*counted)) }
func (h *groupHeap) Pop() any          { old := *h; x := old[len(old)-1]; *h = old[:len(old)-1]; return x }
